// A schema is recursive in three ways; where a place takes a schema or something else (items, additionalProperties ...),
// it is held as plain JSON. Here what is a schema there is read as one, so that it looks the same at every depth.
import { decode, DecodeError } from '../machinery/decode.ts'
import { badRequest } from '../machinery/errors.ts'
import type { Draft, Json } from '../machinery/schema.ts'
import { type JsonSchemaProps, jsonSchemaProps } from './json-schema-props.ts'

type Props = Draft<JsonSchemaProps> & Record<string, unknown>
const isObject = (value: unknown): value is Props =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Reads every schema below `props` (a draft of JSONSchemaProps) as a schema, in place. Throws BadRequest where it is
 * none. */
export function settleSchema(props: unknown): void {
  if (!isObject(props)) return
  const own = props
  for (const name of ['items', 'additionalProperties', 'additionalItems'] as const) {
    const value: unknown = own[name]
    if (isObject(value)) Object.assign(own, { [name]: read(value) })
    else if (Array.isArray(value))
      Object.assign(own, { [name]: value.map((item: unknown) => (isObject(item) ? read(item) : item)) })
  }
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const) for (const item of own[name] ?? []) settleSchema(item)
  if (own.not !== undefined) settleSchema(own.not)
  for (const name of ['properties', 'patternProperties', 'definitions'] as const) {
    const members: unknown = own[name]
    if (isObject(members)) for (const member of Object.values(members)) if (isObject(member)) settleSchema(member)
  }
}
function read(value: Props): Draft<JsonSchemaProps> {
  try {
    const decoded = decode<JsonSchemaProps>(jsonSchemaProps, value as unknown as Json).value
    settleSchema(decoded)
    return decoded
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    const kind = 'CustomResourceDefinition'
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${error.message}`)
  }
}
