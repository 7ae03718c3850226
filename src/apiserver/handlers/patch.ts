// PATCH: the patch is applied to the object as it is now, in the version of the request; what comes out goes the way of
// an update. When somebody else writes in between, it is applied again to the new state.
import { ApiError, badRequest, invalid, invalidField, notFound } from '../../api/machinery/errors.ts'
import { setKey } from '../../api/machinery/freeze.ts'
import { applyPatch, maxPatchOperations, PatchError, parsePatch } from '../../api/machinery/json-patch.ts'
import { mergePatch } from '../../api/machinery/merge-patch.ts'
import { type FieldValidation, type Parsed, ParseError, parseJson } from '../../api/machinery/parse.ts'
import type { Json, JsonObject, ObjectSchema } from '../../api/machinery/schema.ts'
import { StrategicPatchError, strategicMerge } from '../../api/machinery/strategic-merge.ts'
import {
  bodyLimitBytes,
  decodeVersioned,
  fieldValidationOf,
  mediaTypeOf,
  toStored,
  unsupportedMediaType,
} from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import { versionedObject } from '../responders/view.ts'
import { objectIn } from '../storage/boundary.ts'
import { apply as applyPatchType } from './apply.ts'
import { settleNamespace } from './checks.ts'
import { forceOf } from './field-managers.ts'
import { mostRecent } from './freshness.ts'
import { resourceName } from './names.ts'
import { mainRule, type UpdateRule, writeChanged } from './update.ts'

const applyType = 'application/apply-patch+yaml'
type PatchFunction = (object: Json) => Json

export const patch = (call: ResourceRequest): Promise<Outcome> => patchUnder(call, mainRule(call))

/** PATCH under a rule. */
export async function patchUnder(call: ResourceRequest, rule: UpdateRule): Promise<Outcome> {
  const { resource, info, server } = call
  const { collection } = resource.storage
  const type = mediaTypeOf(call.request.headers['content-type'])
  if (type === applyType) return applyPatchType(call, rule)
  forceOf(call, false)
  const { apply, parsed } = await readPatch(call)
  const shownPatch = (value: Json) =>
    type.startsWith('application/strategic') ? goText(parsed.value) : JSON.stringify(value)
  await mostRecent(server, collection)
  const entry = collection.find(info.namespace, info.name)
  if (entry === undefined) throw notFound(resourceName(resource), info.name)
  return writeChanged(
    call,
    rule,
    entry,
    async (_attempt, current) => {
      const found = objectIn(resource, current)
      const live = found instanceof Promise ? await found : found
      const before = versionedObject(resource, live) as unknown as Json
      const value = apply(before)
      const { read, kept } =
        resource.as === undefined ? untouched(value, before, rule) : { read: value, kept: undefined }
      const draft = decodeVersioned(call, { ...parsed, value: read }, (why) => unfit(shownPatch(value), why))
      if (kept !== undefined) draft.metadata.managedFields = kept as typeof draft.metadata.managedFields
      settleNamespace(call, draft)
      const name = draft.metadata.name ?? ''
      if (name !== info.name) {
        throw badRequest(`the name of the object (${name}) does not match the name on the URL (${info.name})`)
      }
      return toStored(resource, draft)
    },
    { retry: true },
  )
}

/** What a patch has left alone was decoded when it was stored: `read` goes without what the rule carries over anyhow, and
 * without managedFields, which are the live ones still (`kept`). */
function untouched(value: Json, before: Json, rule: UpdateRule): { readonly read: Json; readonly kept: unknown } {
  const [now, was] = [value as JsonObject, before as JsonObject]
  const metadata = now['metadata'] as JsonObject | null | undefined
  const kept = metadata?.['managedFields']
  const same = kept !== undefined && kept === (was['metadata'] as JsonObject)['managedFields']
  const read: Record<string, Json | undefined> = {}
  for (const key of Object.keys(now)) {
    if (rule.subresource === 'status' && carriedOver(key) && now[key] === was[key]) continue
    setKey(read, key, now[key])
  }
  if (!same) return { read: read as JsonObject, kept: undefined }
  const { managedFields: _, ...rest } = metadata as JsonObject
  read['metadata'] = rest
  return { read: read as JsonObject, kept }
}
const decoded = new Set(['apiVersion', 'kind', 'metadata', 'status'])
const carriedOver = (key: string): boolean => !decoded.has(key)

/** 422 for a patch after which the object would be none of its kind. */
const unfit = (shown: string, why: string): ApiError => invalid('', '', '', [invalidField('patch', shown, why)])

/** JSON data as Go prints it with %+v. */
function goText(value: Json | undefined): string {
  if (value === null || value === undefined) return '<nil>'
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(goText).join(' ')}]`
  if (typeof value !== 'object') return `${value as string | number | boolean}`
  const members = value as JsonObject
  const pairs = Object.keys(members)
    .sort()
    .map((key) => `${key}:${goText(members[key])}`)
  return `map[${pairs.join(' ')}]`
}

/** The request's patch as a function, for subresources with a shape of their own. */
export const patchedValue = async (call: ResourceRequest, schema: ObjectSchema): Promise<PatchFunction> =>
  (await readPatch(call, schema)).apply

/** Media types that a patch of this resource may have. */
function patchTypes(call: ResourceRequest): readonly string[] {
  const { schema } = call.resource
  return [
    'application/json-patch+json',
    'application/merge-patch+json',
    ...(schema.structural === true ? [] : ['application/strategic-merge-patch+json']),
    applyType,
  ]
}

async function readPatch(
  call: ResourceRequest,
  schema: ObjectSchema = call.resource.schema,
): Promise<{ apply: PatchFunction; parsed: Parsed }> {
  const { request } = call
  const type = mediaTypeOf(request.headers['content-type'])
  if (type === 'application/json' || type === '')
    throw new ApiError('UnsupportedMediaType', '415: Unsupported Media Type', {})
  if (!patchTypes(call).includes(type)) throw unsupportedMediaType(patchTypes(call))
  const parsed = await parsePatchBody(call, fieldValidationOf(call))
  const { value } = parsed
  switch (type) {
    case 'application/json-patch+json':
      return { parsed, apply: jsonPatch(value) }
    case 'application/merge-patch+json':
      mustBeObject(value)
      return { parsed, apply: (object) => merged(() => mergePatch(object, value)) }
    default: {
      mustBeObject(value)
      return { parsed, apply: (object) => merged(() => strategicMerge(schema, object, value)) }
    }
  }
}

async function parsePatchBody(call: ResourceRequest, validation: FieldValidation): Promise<Parsed> {
  const { request } = call
  if (request.object !== undefined) return { value: request.object as Json, duplicates: [], yaml: false }
  const bytes = (await request.body?.bytes(bodyLimitBytes)) ?? new Uint8Array()
  try {
    return parseJson(bytes, { duplicates: validation !== 'Ignore' })
  } catch (error) {
    if (error instanceof ParseError) throw badRequest(`error decoding patch: ${error.message}`)
    throw error
  }
}

function mustBeObject(value: Json): asserts value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into Go value of type map[string]interface {}`,
    )
  }
}

function jsonPatch(value: Json): PatchFunction {
  const reject = (error: unknown): ApiError | undefined =>
    error instanceof PatchError
      ? new ApiError('Invalid', 'the server rejected our request due to an error in our request', {})
      : undefined
  let operations: ReturnType<typeof parsePatch>
  try {
    operations = parsePatch(value)
  } catch (error) {
    if (error instanceof PatchError) throw badRequest(`error decoding patch: ${error.message}`)
    throw error
  }
  if (operations.length > maxPatchOperations) {
    throw new ApiError(
      'RequestEntityTooLarge',
      `Request entity too large: The allowed maximum operations in a JSON patch is ${maxPatchOperations}, got ${operations.length}`,
    )
  }
  return (object) => {
    try {
      return applyPatch(object, operations)
    } catch (error) {
      throw reject(error) ?? error
    }
  }
}

/** A patch that cannot be merged is its sender's fault. */
function merged<T>(merge: () => T): T {
  try {
    return merge()
  } catch (error) {
    if (error instanceof StrategicPatchError || error instanceof PatchError) throw badRequest(error.message)
    throw error
  }
}
