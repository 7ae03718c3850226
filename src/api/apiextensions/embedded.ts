// Objects inside custom resources (x-kubernetes-embedded-resource): they must say what they are, and their metadata
// follows the rules of all metadata. Schemas without any are not walked.
import { perSchema, solid } from '../machinery/compile.ts'
import { type FieldError, requiredField, typeInvalidField } from '../machinery/errors.ts'
import type { KubeObject } from '../machinery/meta.ts'
import type { Json, JsonObject, Schema } from '../machinery/schema.ts'
import { validateMeta } from '../machinery/validate-meta.ts'

type Check = ((value: Json, path: string, errors: FieldError[]) => void) | undefined

/** What is wrong with the embedded objects of a custom resource. */
export function validateEmbedded(schema: Schema, object: JsonObject): FieldError[] {
  const errors: FieldError[] = []
  checkOf(schema).run?.(object, '', errors)
  return errors
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const checkOf = perSchema<{ readonly run: Check }>((schema) => ({ run: compile(schema) }))

function compile(schema: Schema): Check {
  const it = solid(schema)
  if (it.type === 'array') {
    const { run } = checkOf(it.items)
    return (
      run &&
      ((value, path, errors) => {
        if (Array.isArray(value)) (value as readonly Json[]).forEach((item, i) => run(item, `${path}[${i}]`, errors))
      })
    )
  }
  if (it.type === 'map') {
    const { run } = checkOf(it.values)
    return (
      run &&
      ((value, path, errors) => {
        if (!isObject(value)) return
        for (const [key, member] of Object.entries(value))
          if (member !== undefined) run(member, `${path}[${key}]`, errors)
      })
    )
  }
  const own = (it.type === 'object' || it.type === 'any') && it.embeddedResource === true
  const fields =
    it.type !== 'object' || it.structural !== true
      ? []
      : Object.entries(it.fields).flatMap(([name, field]) => {
          const { run } = checkOf(field.schema)
          return run === undefined ? [] : [[name, run] as const]
        })
  if (!own && fields.length === 0) return undefined
  return (value, path, errors) => {
    if (!isObject(value)) return
    if (own) checkObject(value, path, errors)
    for (const [name, run] of fields) {
      const member = Object.hasOwn(value, name) ? value[name] : undefined
      if (member !== undefined) run(member, path === '' ? name : `${path}.${name}`, errors)
    }
  }
}

function checkObject(value: JsonObject, path: string, errors: FieldError[]): void {
  for (const name of ['apiVersion', 'kind']) {
    const text = Object.hasOwn(value, name) ? value[name] : undefined
    if (text === undefined || text === '') errors.push(requiredField(`${path}.${name}`, 'must not be empty'))
    else if (typeof text !== 'string') errors.push(typeInvalidField(`${path}.${name}`, text, 'must be a string'))
  }
  const metadata = Object.hasOwn(value, 'metadata') ? value['metadata'] : undefined
  if (metadata === undefined) return
  if (!isObject(metadata)) {
    errors.push(typeInvalidField(`${path}.metadata`, metadata, 'must be an object'))
    return
  }
  // An embedded object may go without a name, and belongs to a namespace or not as it likes.
  const named = { name: 'a', ...metadata } as unknown as KubeObject['metadata']
  const namespaced = metadata['namespace'] !== undefined
  for (const error of validateMeta({ namespaced, plainFinalizers: true }, named))
    errors.push({ ...error, field: `${path}.${error.field}` })
}
