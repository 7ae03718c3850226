// Interpreters over a schema turn it into closures once and keep them beside the schema for as long as it lives, so that
// a request pays for the walk over its data and nothing else.
import type { LazySchema, Schema } from './schema.ts'

export type Solid = Exclude<Schema, LazySchema>

/** Reads through lazy(): the schema itself. */
export function solid(schema: Schema): Solid {
  let current = schema
  while (current.type === 'lazy') current = current.get()
  return current
}

/** A function from schema to its compiled form, each schema compiled once. Recursion goes through `lazy` schemas only;
 * an interpreter compiles those to a closure that asks again when it runs. */
export function perSchema<C>(compile: (schema: Schema) => C): (schema: Schema) => C {
  const cache = new WeakMap<Schema, C>()
  return (schema) => {
    const known = cache.get(schema)
    if (known !== undefined) return known
    const made = compile(schema)
    cache.set(schema, made)
    return made
  }
}
