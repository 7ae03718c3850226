// Fills in the defaults that a schema states. Subtrees without any default are not walked at all.
import { perSchema, solid } from './compile.ts'
import { draftOf, ownMember, setKey } from './freeze.ts'
import type { Json, ObjectSchema, Schema } from './schema.ts'

type Draft = Record<string, unknown>
/** Undefined where nothing below can have a default. */
type Defaulter = ((value: unknown) => void) | undefined

/** Applies defaults in place. `draft` was decoded with the same schema. */
export function applyDefaults(schema: Schema, draft: unknown): void {
  defaulterOf(schema)?.(draft)
}

const defaulterOf: (schema: Schema) => Defaulter = (schema) => cached(schema).run
const cached = perSchema<{ readonly run: Defaulter }>((schema) => ({ run: compile(schema) }))

function compile(schema: Schema): Defaulter {
  if (schema.type === 'lazy') return (value) => defaulterOf(solid(schema))?.(value)
  if (schema.type === 'array') {
    const item = defaulterOf(schema.items)
    return item === undefined
      ? undefined
      : (value) => {
          if (Array.isArray(value)) for (const member of value) item(member)
        }
  }
  if (schema.type === 'map') {
    const item = defaulterOf(schema.values)
    return item === undefined
      ? undefined
      : (value) => {
          if (isObject(value)) for (const member of Object.values(value)) item(member)
        }
  }
  return schema.type === 'object' ? compileObject(schema) : undefined
}

function compileObject(schema: ObjectSchema): Defaulter {
  const steps: ((draft: Draft) => void)[] = []
  for (const [name, field] of Object.entries(schema.fields)) {
    if (field.default !== undefined) {
      const make = fresh(field.default)
      const emptyCounts = schema.structural !== true && solid(field.schema).type === 'string'
      const nullable = solid(field.schema).constraints?.nullable === true
      steps.push((draft) => {
        const value = ownMember(draft, name)
        if (value === undefined || (value === null && !nullable) || (emptyCounts && value === ''))
          setKey(draft, name, make())
      })
    }
    const inner = defaulterOf(field.schema)
    if (inner !== undefined) {
      steps.push((draft) => {
        const value = ownMember(draft, name)
        if (value !== undefined && value !== null) inner(value)
      })
    }
  }
  if (steps.length === 0) return undefined
  return (value) => {
    if (isObject(value)) for (const step of steps) step(value)
  }
}
const fresh = (value: Json): (() => unknown) =>
  typeof value === 'object' && value !== null ? () => draftOf(value) : () => value

const isObject = (value: unknown): value is Draft =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
