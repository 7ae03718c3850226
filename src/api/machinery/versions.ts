// The same fields under the names of another version: what a beta or an alpha of a kind is in most cases.
import type { KindVersion } from './kind.ts'
import type { Field, ObjectSchema, Schema } from './schema.ts'

/** A schema whose types that are called "PREFIX..." (such as io.k8s.api.resource.v1.) belong to `version` instead. */
export function inVersion<T>(schema: ObjectSchema<T>, prefix: string, version: string): ObjectSchema<T> {
  const target = prefix.replace(/[^.]+\.$/, `${version}.`)
  const made = new Map<Schema, Schema>()
  function renamed(one: Schema): Schema {
    const known = made.get(one)
    if (known !== undefined) return known
    const copy = copyOf(one)
    made.set(one, copy)
    return copy
  }
  function copyOf(one: Schema): Schema {
    if (one.type === 'array') return { ...one, items: renamed(one.items) }
    if (one.type === 'map') return { ...one, values: renamed(one.values) }
    if (one.type === 'lazy') return { ...one, get: () => renamed(one.get()) }
    if (one.type !== 'object') return one
    const fields: Record<string, Field> = {}
    for (const [name, field] of Object.entries(one.fields)) fields[name] = { ...field, schema: renamed(field.schema) }
    const name = one.name.startsWith(prefix) ? target + one.name.slice(prefix.length) : one.name
    return { ...one, name, fields }
  }
  return renamed(schema) as ObjectSchema<T>
}

/** Another version with the same fields, so there is nothing to convert. */
export const sameShape = (group: string, version: string, schema: ObjectSchema): KindVersion => ({
  group,
  version,
  schema,
  toStored: () => {},
  fromStored: () => {},
})
