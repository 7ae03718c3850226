// Request bodies: bytes of some media type into an object of the resource's stored version, with the complaints in
// upstream's words. What is unknown or doubled is refused, warned of or ignored as fieldValidation says.
import { splitApiVersion } from '../api/machinery/api-version.ts'
import { decode, DecodeError } from '../api/machinery/decode.ts'
import { applyDefaults } from '../api/machinery/defaults.ts'
import { ApiError, badRequest, invalid, invalidField, notSupportedField } from '../api/machinery/errors.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import {
  type FieldValidation,
  type Parsed,
  ParseError,
  parseJson,
  parseYaml,
  strictFindings,
} from '../api/machinery/parse.ts'
import { decodeMessage, openEnvelope, ProtobufError, protobufMediaType } from '../api/machinery/protobuf.ts'
import type { Draft, Json, JsonObject, ObjectSchema } from '../api/machinery/schema.ts'
import type { ResourceRequest } from './context.ts'
import type { ServedResource } from './resources.ts'

/** Bodies are refused beyond this. */
export const bodyLimitBytes = 3 * 1024 * 1024
export type ObjectDraft = Draft<KubeObject>

export const mediaTypeOf = (contentType: string | undefined): string =>
  (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
const accepted = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']
export const unsupportedMediaType = (types: readonly string[]): ApiError =>
  new ApiError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
  )

/** The request's body as JSON data; `schema` is what a protobuf body is read with. Undefined for an empty body; ParseError for malformed text. */
export async function readBody(
  call: Pick<ResourceRequest, 'request' | 'info'>,
  schema: ObjectSchema,
): Promise<(Parsed & { readonly bytes: Uint8Array | undefined }) | undefined> {
  const { request } = call
  if (request.object !== undefined) {
    return { value: request.object as Json, duplicates: [], yaml: false, bytes: undefined }
  }
  const bytes = await request.body?.bytes(bodyLimitBytes)
  if (bytes === undefined || bytes.length === 0) return undefined
  const options = { duplicates: fieldValidationOf(call) !== 'Ignore' }
  switch (mediaTypeOf(request.headers['content-type'])) {
    case '':
    case '*/*':
    case 'application/json':
      return { ...parseJson(bytes, options), bytes }
    case 'application/yaml':
      return { ...parseYaml(bytes, options), bytes }
    case protobufMediaType:
      return { value: fromProtobuf(bytes, schema), duplicates: [], yaml: false, bytes }
    default:
      throw unsupportedMediaType(accepted)
  }
}

/** An enveloped message of this schema as JSON data. */
function fromProtobuf(bytes: Uint8Array, schema: ObjectSchema): Json {
  try {
    const { apiVersion, kind, raw } = openEnvelope(bytes)
    return {
      ...decodeMessage(schema, raw),
      ...(apiVersion === '' ? {} : { apiVersion }),
      ...(kind === '' ? {} : { kind }),
    }
  } catch (error) {
    if (error instanceof ProtobufError) throw new ParseError(error.message)
    throw error
  }
}

/** The kind of the query parameters of a verb, as errors name it. */
export const optionsKindOf = (verb: string): string =>
  ({ create: 'CreateOptions', update: 'UpdateOptions', patch: 'PatchOptions' })[verb] ?? 'DeleteOptions'

export function fieldValidationOf(call: Pick<ResourceRequest, 'info'>): FieldValidation {
  const value = call.info.query.get('fieldValidation')
  if (value === null || value === '') return 'Warn'
  if (value === 'Ignore' || value === 'Warn' || value === 'Strict') return value
  throw invalid('meta.k8s.io', optionsKindOf(call.info.verb), '', [
    notSupportedField('fieldValidation', value, ['', 'Ignore', 'Strict', 'Warn']),
  ])
}

/** Decodes the body of a create or an update of `resource` into its stored version, defaults applied. */
export async function decodeObject(call: ResourceRequest): Promise<ObjectDraft> {
  const { resource } = call
  const expected = resource.kind.kind
  let parsed: Awaited<ReturnType<typeof readBody>>
  try {
    parsed = await readBody(call, resource.schema)
  } catch (error) {
    if (error instanceof ParseError) throw await malformed(call, error)
    throw error
  }
  if (parsed === undefined) throw unrecognized(expected, jsonProblem('unexpected end of JSON input'), undefined)
  return toStored(resource, decodeVersioned(call, parsed))
}

/** 400 for a body that its media type does not describe. */
async function malformed(call: ResourceRequest, { message }: ParseError): Promise<ApiError> {
  const bytes = await call.request.body?.bytes(bodyLimitBytes)
  const isYaml = mediaTypeOf(call.request.headers['content-type']) === 'application/yaml'
  const why = isYaml ? message.replace(/^error converting YAML to JSON: /, '') : jsonProblem(message)
  return unrecognized(call.resource.kind.kind, why, bytes)
}

/** 400 for a body that is not even an object with a kind. */
function unrecognized(expected: string, why: string, bytes: Uint8Array | undefined): ApiError {
  return badRequest(`the object provided is unrecognized (must be of type ${expected}): ${why} (${summary(bytes)})`)
}
/** The beginning of a body: JSON as it is, anything else in hexadecimal. */
function summary(bytes: Uint8Array | undefined): string {
  if (bytes === undefined || bytes.length === 0) return '<empty>'
  const start = bytes.subarray(0, summaryBytes)
  const isJson = start[0] === 0x7b
  const text = isJson
    ? new TextDecoder().decode(start)
    : Array.from(start, (b) => b.toString(16).padStart(2, '0')).join('')
  return bytes.length > summaryBytes ? `${text} ...` : text
}
const summaryBytes = 30
const jsonProblem = (why: string): string => `couldn't get version/kind; json parse error: ${why}`

/** Decodes JSON data as an object of the served version, defaults applied. */
export function decodeVersioned(
  call: ResourceRequest,
  parsed: Parsed & { readonly bytes?: Uint8Array | undefined },
  /** Says what is wrong with the data; default: 400 as for a body. */
  complain?: (why: string) => ApiError,
): ObjectDraft {
  const { resource } = call
  const { value } = parsed
  const expected = resource.kind.kind
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw unrecognized(
      expected,
      jsonProblem(
        `json: cannot unmarshal ${goNameOf(value)} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`,
      ),
      parsed.bytes,
    )
  }
  const data = value as JsonObject
  if (parsed.bytes !== undefined && resource.schema.structural === true && wordOf(data['kind'], '') === '') {
    const text = new TextDecoder().decode(parsed.bytes)
    throw unrecognized(expected, `Object 'Kind' is missing in '${text}'`, parsed.bytes)
  }
  const kind = wordOf(data['kind'], expected)
  const apiVersion = wordOf(data['apiVersion'], resource.apiVersion)
  const [, version] = splitApiVersion(apiVersion)
  const cannot =
    complain ??
    ((why: string) =>
      badRequest(`${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected}: ${why}`))
  if ((apiVersion !== '' && apiVersion !== resource.apiVersion) || (kind !== '' && kind !== expected)) {
    throw mismatch(call, apiVersion === '' ? resource.apiVersion : apiVersion, kind === '' ? expected : kind, cannot)
  }
  let decoded: ReturnType<typeof decode<JsonObject>>
  try {
    decoded = decode<JsonObject>(resource.schema, data)
  } catch (error) {
    if (error instanceof DecodeError) throw cannot(error.message)
    throw error
  }
  const findings = strictFindings(parsed, decoded.unknownFields)
  if (findings !== undefined) {
    const mode = fieldValidationOf(call)
    if (mode === 'Strict') throw cannot(findings.error)
    if (mode === 'Warn')
      for (const text of findings.warnings) if (!call.warnings.includes(text)) call.warnings.push(text)
  }
  const draft = decoded.value as unknown as ObjectDraft
  draft.apiVersion = resource.apiVersion
  draft.kind = expected
  if (draft.metadata === undefined) draft.metadata = {} as ObjectDraft['metadata']
  defaultObject(resource, draft)
  return draft
}

/** 400 for a body that is an object of another kind: a known one, or one that nobody has heard of. */
function mismatch(
  { server, resource }: ResourceRequest,
  apiVersion: string,
  kind: string,
  cannot: (why: string) => ApiError,
): ApiError {
  if (resource.schema.structural === true) return customMismatch(resource, apiVersion, kind)
  const known = server.resources.all().some((r) => r.apiVersion === apiVersion && r.kind.kind === kind)
  if (!known) {
    return cannot(
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "pkg/api/legacyscheme/scheme.go:30"`,
    )
  }
  if (apiVersion !== resource.apiVersion) {
    return badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${resource.apiVersion})`,
    )
  }
  const group = resource.group === '' ? 'core' : resource.group
  return cannot(`converting (${resource.version}.${kind}) to (${group}.${resource.kind.kind}): unknown conversion`)
}

/** Any kind may be said of a custom resource before it is looked at. */
function customMismatch(resource: ServedResource, apiVersion: string, kind: string): ApiError {
  const expected = resource.kind.kind
  return apiVersion === resource.apiVersion
    ? invalid(resource.group, kind, '', [invalidField('kind', kind, `must be ${expected}`)])
    : badRequest(
        `the API version in the data (${apiVersion}) does not match the expected API version (${resource.apiVersion})`,
      )
}

/** Applies the defaults of the served version. */
export function defaultObject(resource: ServedResource, draft: ObjectDraft): void {
  applyDefaults(resource.schema, draft)
  if (resource.as !== undefined) resource.as.setDefaults?.(draft as unknown as Draft<JsonObject>)
  else resource.kind.setDefaults?.(draft)
}

/** Converts a served version's object into the stored version, whose defaults are applied too. */
export function toStored(resource: ServedResource, draft: ObjectDraft): ObjectDraft {
  const { as, kind, storage } = resource
  if (as === undefined) return draft
  as.toStored(draft as unknown as Draft<JsonObject>)
  draft.apiVersion = storage.collection.layout.apiVersion
  draft.kind = kind.kind
  applyDefaults(kind.schema, draft)
  kind.setDefaults?.(draft)
  return draft
}

/** kind or apiVersion of a body: what is no text is as good as absent. */
export const wordOf = (value: Json | undefined, fallback: string): string =>
  typeof value === 'string' ? value : fallback
const goNameOf = (value: Json): string =>
  typeof value === 'string' ? 'string' : typeof value === 'number' ? 'number' : Array.isArray(value) ? 'array' : 'bool'
