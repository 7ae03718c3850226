// What a schema itself demands of an object: required fields, enums, immutable fields, constraints. Subtrees that demand
// nothing are not walked. The path of an error is a stack, turned into text only when something is wrong.
import { compileConstraints } from './constraints.ts'
import { type Solid, solid } from './compile.ts'
import { equal } from './equal.ts'
import {
  duplicateField,
  type FieldError,
  invalidField,
  notSupportedField,
  requiredField,
  typeInvalidField,
} from './errors.ts'
import { ownMember } from './freeze.ts'
import type { ArraySchema, Field, Json, JsonObject, MapSchema, ObjectSchema, Schema } from './schema.ts'

interface Run {
  readonly errors: FieldError[]
  readonly path: (string | number)[]
  depth: number
}
/** `old` is the value that stood at the same place before an update. */
type Check = (value: Json, old: Json | undefined, run: Run) => void
/** Upstream does not ask for the presence of anything below a built-in kind's status. */
interface Mode {
  readonly presence: boolean
  /** CRDs: types are checked here, and what was already wrong before an update may stay (ratcheting, KEP-4008). */
  readonly custom: boolean
}
const strict: Mode = { presence: true, custom: false }
const lenient: Mode = { presence: false, custom: false }
const custom: Mode = { presence: true, custom: true }

/** Field errors of a decoded and defaulted object; `old` on update. */
export function validateSchema(schema: Schema, value: unknown, old?: unknown): FieldError[] {
  const run: Run = { errors: [], path: [], depth: 0 }
  rootCheck(schema)?.(value as Json, old as Json | undefined, run)
  return run.errors
}

const caches = new Map<Mode, WeakMap<Schema, { readonly check: Check | undefined }>>([
  [strict, new WeakMap()],
  [lenient, new WeakMap()],
  [custom, new WeakMap()],
])
const rootCheck = (schema: Schema): Check | undefined => checkOf(schema, strict, true)
function checkOf(schema: Schema, mode: Mode, root = false): Check | undefined {
  const cache = caches.get(mode)
  const known = cache?.get(schema)
  if (known !== undefined) return known.check
  const check = compile(schema, mode, root)
  cache?.set(schema, { check })
  return check
}

function compile(schema: Schema, mode: Mode, root: boolean): Check | undefined {
  if (schema.type === 'lazy') return (value, old, run) => checkOf(solid(schema), mode)?.(value, old, run)
  const steps: Check[] = []
  const { constraints } = schema
  if (schema.type === 'string' && schema.enum !== undefined) {
    const values: readonly string[] = schema.enum
    steps.push((value, _, run) => {
      if (typeof value !== 'string' || !values.includes(value)) {
        run.errors.push(notSupportedField(here(run), value, values))
      }
    })
  }
  if (schema.type === 'array') steps.push(...arraySteps(schema, mode))
  else if (schema.type === 'map') steps.push(...mapSteps(schema, mode))
  else if (schema.type === 'object') steps.push(...objectSteps(schema, mode, root))
  const own = constraints === undefined ? undefined : compileConstraints(constraints)
  if (own !== undefined) steps.push((value, _, run) => own(value, () => here(run), run.errors))
  const typed = mode.custom || (schema.type === 'object' && schema.structural === true) ? jsonTypes(schema) : undefined
  if (typed !== undefined) return customCheck(schema, typed, steps)
  if (steps.length === 0) return undefined
  return (value, old, run) => {
    for (const step of steps) step(value, old, run)
  }
}

/** The JSON types that a schema accepts; undefined for all. */
function jsonTypes(schema: Solid): readonly string[] | undefined {
  switch (schema.type) {
    case 'any':
      return undefined
    case 'map':
      return ['object']
    case 'quantity':
    case 'int-or-string':
      return ['integer', 'string']
    case 'string':
    case 'integer':
    case 'number':
    case 'boolean':
    case 'array':
    case 'object':
      return [schema.type]
  }
}
function jsonType(value: Json): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value
}
function customCheck(schema: Solid, types: readonly string[], steps: readonly Check[]): Check {
  const nullable = schema.constraints?.nullable === true
  return (value, old, run) => {
    if (value === null && nullable) return
    const before = run.errors.length
    const type = jsonType(value)
    if (!types.includes(type) && !(type === 'integer' && types.includes('number'))) {
      const at = here(run)
      const wanted = types.join(',')
      run.errors.push(typeInvalidField(at, type, `${at} in body must be of type ${wanted}: ${JSON.stringify(type)}`))
    } else for (const step of steps) step(value, old, run)
    if (run.errors.length > before && old !== undefined && equal(value, old)) run.errors.length = before
  }
}

function arraySteps(schema: ArraySchema, mode: Mode): Check[] {
  const item = checkOf(schema.items, mode)
  const keys = schema.list?.listMapKeys
  const duplicates = mode.custom ? duplicateSteps(schema) : []
  if (item === undefined) return duplicates
  return [
    ...duplicates,
    (value, old, run) => {
      if (!Array.isArray(value)) return
      const before = Array.isArray(old) ? (old as readonly Json[]) : []
      const at = run.depth++
      ;(value as readonly Json[]).forEach((member, i) => {
        run.path[at] = i
        item(member, keys === undefined ? undefined : correlate(before, member, keys), run)
      })
      run.depth = at
    },
  ]
}
/** Custom resources: no two items of a list of type set or map may be the same. */
function duplicateSteps(schema: ArraySchema): Check[] {
  const { listType, listMapKeys } = schema.list ?? {}
  if (listType !== 'set' && listType !== 'map') return []
  const keyOf = (item: Json): Json =>
    listType === 'set' || !isObject(item)
      ? item
      : Object.fromEntries((listMapKeys ?? []).filter((key) => item[key] !== undefined).map((key) => [key, item[key]]))
  return [
    (value, _, run) => {
      if (!Array.isArray(value)) return
      const seen = new Set<string>()
      ;(value as readonly Json[]).forEach((item, i) => {
        const key = keyOf(item)
        const text = JSON.stringify(key)
        if (seen.has(text)) run.errors.push(duplicateField(`${here(run)}[${i}]`, key))
        seen.add(text)
      })
    },
  ]
}
function correlate(list: readonly Json[], item: Json, keys: readonly string[]): Json | undefined {
  if (!isObject(item)) return undefined
  return list.find((other) => isObject(other) && keys.every((key) => equal(other[key], item[key])))
}

function mapSteps(schema: MapSchema, mode: Mode): Check[] {
  const item = checkOf(schema.values, mode)
  if (item === undefined) return []
  return [
    (value, old, run) => {
      if (!isObject(value)) return
      const at = run.depth++
      for (const key in value) {
        const member = value[key]
        if (member === undefined) continue
        run.path[at] = mode.custom ? `.${key}` : `[${key}]`
        item(member, isObject(old) ? ownMember(old, key) : undefined, run)
      }
      run.depth = at
    },
  ]
}

function objectSteps(schema: ObjectSchema, mode: Mode, root: boolean): Check[] {
  const steps: Check[] = []
  for (const [name, field] of Object.entries(schema.fields)) {
    const element = `.${name}`
    const inner = checkOf(
      field.schema,
      schema.structural === true ? custom : root && name === 'status' ? lenient : mode,
    )
    const isMissing = missing(field, schema, mode)
    const { immutable } = field
    if (inner === undefined && isMissing === undefined && immutable !== true) continue
    steps.push((value, old, run) => {
      if (!isObject(value)) return
      const member = ownMember(value, name)
      const before = isObject(old) ? ownMember(old, name) : undefined
      const at = run.depth++
      run.path[at] = element
      if (isMissing?.(member)) run.errors.push(requiredField(here(run)))
      else if (member !== undefined && inner !== undefined) inner(member, before, run)
      if (immutable === true && isObject(old) && !equal(member, before)) {
        run.errors.push(invalidField(here(run), member, 'field is immutable'))
      }
      run.depth = at
    })
  }
  return steps
}

/** When a required field counts as missing; undefined where it never does. */
function missing(field: Field, owner: ObjectSchema, mode: Mode): ((value: Json | undefined) => boolean) | undefined {
  if (field.presence !== 'required') return undefined
  if (owner.structural === true) return (value) => value === undefined
  if (!mode.presence || field.tag === 0 || field.mayBeEmpty === true) return undefined
  const schema = solid(field.schema)
  switch (schema.type) {
    case 'string':
      return (value) => value === undefined || value === ''
    case 'array':
      return (value) => value === undefined || (Array.isArray(value) && value.length === 0)
    case 'object':
    case 'map':
    case 'any':
      return (value) => value === undefined || value === null
    case 'integer':
    case 'number':
    case 'boolean':
    case 'quantity':
    case 'int-or-string':
      return undefined
  }
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
function here(run: Run): string {
  let text = ''
  for (let i = 0; i < run.depth; i++) {
    const element = run.path[i] ?? ''
    text += typeof element === 'number' ? `[${element}]` : element
  }
  return text.startsWith('.') ? text.slice(1) : text
}
