// Bodies of subresources that are no object of the resource: Binding, Eviction, Scale, TokenRequest.
import { splitApiVersion } from '../../api/machinery/api-version.ts'
import { decode, DecodeError } from '../../api/machinery/decode.ts'
import { badRequest } from '../../api/machinery/errors.ts'
import { ParseError } from '../../api/machinery/parse.ts'
import type { ObjectSchema, JsonObject } from '../../api/machinery/schema.ts'
import { readBody, wordOf } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'

/** What such a body must be. */
export interface BodyKind {
  readonly kind: string
  readonly apiVersions: readonly string[]
  readonly schema: ObjectSchema
}

/** Decodes the body. Throws BadRequest in upstream's words. */
export async function readBodyOf<T>(call: ResourceRequest, expected: BodyKind): Promise<T> {
  try {
    const parsed = await readBody(call, expected.schema)
    if (parsed === undefined) throw new ParseError('unexpected end of JSON input')
    return decodeBody<T>(parsed.value, expected)
  } catch (error) {
    if (error instanceof ParseError) {
      throw badRequest(
        `the object provided is unrecognized (must be of type ${expected.kind}): couldn't get version/kind; json parse error: ${error.message}`,
      )
    }
    throw error
  }
}

export function decodeBody<T>(value: unknown, expected: BodyKind): T {
  const data = (typeof value === 'object' && value !== null ? value : {}) as JsonObject
  const apiVersion = wordOf(data['apiVersion'], expected.apiVersions[0] ?? '')
  const kind = wordOf(data['kind'], expected.kind)
  const [, version] = splitApiVersion(apiVersion)
  if (!expected.apiVersions.includes(apiVersion) || kind !== expected.kind) {
    throw badRequest(
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
    )
  }
  try {
    return decode<JsonObject>(expected.schema, value).value as T
  } catch (error) {
    if (error instanceof DecodeError) {
      throw badRequest(
        `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: ${error.message}`,
      )
    }
    throw error
  }
}
