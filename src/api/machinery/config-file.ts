// Configuration files: YAML or JSON of one kind, read strictly. What nobody knows, what comes twice and what has the wrong
// type is an error that names the field, because a misspelt line of such a file would otherwise be silently without effect.
import { decode, DecodeError } from './decode.ts'
import type { FieldError } from './errors.ts'
import { ParseError, parseYaml } from './parse.ts'
import type { JsonObject, ObjectSchema } from './schema.ts'

/** What is wrong with a configuration file, in one line. */
export class ConfigError extends Error {}

export interface ConfigKind<T> {
  readonly apiVersion: string
  readonly kind: string
  readonly schema: ObjectSchema<T>
  readonly validate: (config: T) => readonly FieldError[]
}

/** Reads a configuration. Throws ConfigError. */
export function readConfig<T>(text: string, { apiVersion, kind, schema, validate }: ConfigKind<T>): T {
  try {
    const { value, duplicates } = parseYaml(text, { duplicates: true })
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new ConfigError(`expected a ${kind} of ${apiVersion}, found no object`)
    const found = value as JsonObject
    if (found['apiVersion'] !== apiVersion || found['kind'] !== kind) {
      const what = `apiVersion ${JSON.stringify(found['apiVersion'] ?? '')}, kind ${JSON.stringify(found['kind'] ?? '')}`
      throw new ConfigError(
        `expected apiVersion ${JSON.stringify(apiVersion)}, kind ${JSON.stringify(kind)}, found ${what}`,
      )
    }
    const [twice] = duplicates
    if (twice !== undefined) throw new ConfigError(`duplicate field: ${twice}`)
    const decoded = decode<T>(schema, value)
    const [unknown] = decoded.unknownFields
    if (unknown !== undefined) throw new ConfigError(`unknown field ${JSON.stringify(unknown)}`)
    const config = decoded.value as T
    const errors = validate(config)
    if (errors.length > 0) throw new ConfigError(errors.map(({ field, message }) => `${field}: ${message}`).join('; '))
    return config
  } catch (error) {
    if (error instanceof ParseError || error instanceof DecodeError) throw new ConfigError(error.message)
    throw error
  }
}
