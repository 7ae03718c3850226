// PATCH with an apply configuration (server-side apply): the object is created where it is absent, and made to say what
// the configuration says where it exists, unless others own what would change.
import { applyConfiguration } from '../../api/machinery/apply.ts'
import { DecodeError, decodeSparse } from '../../api/machinery/decode.ts'
import { ApiError, badRequest, conflict, notFound, requiredField, invalid } from '../../api/machinery/errors.ts'
import { type Parsed, ParseError, parseYaml, strictFindings } from '../../api/machinery/parse.ts'
import type { Json, JsonObject } from '../../api/machinery/schema.ts'
import { bodyLimitBytes, decodeVersioned, fieldValidationOf, toStored, wordOf } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import { versionedObject } from '../responders/view.ts'
import { objectIn } from '../storage/boundary.ts'
import { settleNamespace } from './checks.ts'
import { createDraft } from './create.ts'
import { forceOf, writerOf } from './field-managers.ts'
import { mostRecent } from './freshness.ts'
import { resourceName } from './names.ts'
import { type UpdateRule, writeChanged } from './update.ts'

export async function apply(call: ResourceRequest, rule: UpdateRule): Promise<Outcome> {
  const { resource, info, server } = call
  const { collection } = resource.storage
  if ((info.query.get('fieldManager') ?? '') === '') {
    throw invalid('meta.k8s.io', 'PatchOptions', '', [requiredField('fieldManager', 'is required for apply patch')])
  }
  const applier = { ...writerOf(call, rule.subresource), force: forceOf(call, true) }
  const config = await configurationOf(call)
  await mostRecent(server, collection)
  for (;;) {
    const entry = collection.find(info.namespace, info.name)
    if (entry === undefined) {
      const { uid } = metadataOf(config)
      if (rule.subresource !== '') throw notFound(resourceName(resource), info.name)
      if (typeof uid === 'string' && uid !== '') {
        throw conflict(
          resourceName(resource),
          info.name,
          `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
        )
      }
      const made = applyConfiguration(resource.schema, undefined, config, applier)
      const draft = toStored(resource, decodeVersioned(call, known(made)))
      try {
        return await createDraft(call, draft, { tracked: true })
      } catch (error) {
        // Somebody else has created it meanwhile: apply to that.
        if (error instanceof ApiError && error.reason === 'AlreadyExists') continue
        throw error
      }
    }
    return writeChanged(
      call,
      rule,
      entry,
      async (_attempt, current) => {
        const found = objectIn(resource, current)
        const stored = found instanceof Promise ? await found : found
        const live = versionedObject(resource, stored) as unknown as JsonObject
        const made = applyConfiguration(resource.schema, live, config, applier)
        const draft = decodeVersioned(call, known(made))
        settleNamespace(call, draft)
        return toStored(resource, draft)
      },
      { retry: true, tracked: true },
    )
  }
}

/** Data that this server made itself: nothing in it is unknown. */
const known = (value: JsonObject): Parsed => ({ value, duplicates: [], yaml: false })
const metadataOf = (object: JsonObject): JsonObject => (object['metadata'] ?? {}) as JsonObject

/** The body as a configuration: only what it says. Throws BadRequest. */
async function configurationOf(call: ResourceRequest): Promise<JsonObject> {
  const { request, resource, info } = call
  let parsed: Parsed
  if (request.object !== undefined) parsed = { value: request.object as Json, duplicates: [], yaml: false }
  else {
    const bytes = (await request.body?.bytes(bodyLimitBytes)) ?? new Uint8Array()
    try {
      parsed = parseYaml(bytes, { duplicates: fieldValidationOf(call) !== 'Ignore' })
    } catch (error) {
      if (error instanceof ParseError) throw badRequest(`error decoding YAML: ${error.message}`)
      throw error
    }
  }
  const { value } = parsed
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest('error decoding YAML: the body of an apply patch must be an object')
  }
  const data = value as JsonObject
  const kind = wordOf(data['kind'], '')
  const apiVersion = wordOf(data['apiVersion'], '')
  if (apiVersion !== resource.apiVersion || kind !== resource.kind.kind) {
    if (apiVersion === '' || kind === '') throw badRequest(`invalid object type: ${apiVersion}/, Kind=${kind}`)
    throw badRequest(
      `failed to create manager for existing fields: incorrect version specified in apply patch. Specified patch version: ${apiVersion}, ${kind}, expected: ${resource.apiVersion}, ${resource.kind.kind}`,
    )
  }
  const cannot = (why: string) =>
    badRequest(`${kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${kind}: ${why}`)
  try {
    const decoded = decodeSparse<JsonObject>(resource.schema, data)
    if (decoded.unknownFields.length > 0) throw notTyped(data, decoded.unknownFields)
    const findings = strictFindings(parsed, [])
    if (findings !== undefined && fieldValidationOf(call) === 'Strict') throw cannot(findings.error)
    if (decoded.unknownFields.length > 0)
      throw undeclared(call, wordOf(metadataOf(data)['namespace'], ''), decoded.unknownFields)
    if (findings !== undefined && fieldValidationOf(call) === 'Warn') call.warnings.push(...findings.warnings)
    const config = decoded.value as JsonObject
    checkNames(metadataOf(config), info.name)
    return config
  } catch (error) {
    if (error instanceof DecodeError) throw cannot(error.message)
    throw error
  }
}

/** A configuration may not hold fields that no schema knows: nobody could own them. */
function undeclared({ info, resource }: ResourceRequest, namespace: string, fields: readonly string[]): ApiError {
  const lines = fields.map((path) => `.${path}: field not declared in schema`)
  const what = lines.length === 1 ? (lines[0] ?? '') : `errors:\n${lines.map((line) => `  ${line}`).join('\n')}`
  const type = `${resource.group}/${resource.version}, Kind=${resource.kind.kind}`
  const message = `failed to create typed patch object (${namespace}/${info.name}; ${type}): ${what}`
  return badRequest(message)
}

/** What the schema does not know cannot be owned: refused whatever the field validation. */
function notTyped(data: JsonObject, unknown: readonly string[]): ApiError {
  const { name, namespace } = metadataOf(data)
  const apiVersion = wordOf(data['apiVersion'], '')
  const groupVersion = apiVersion.includes('/') ? apiVersion : `/${apiVersion}`
  const what = `${wordOf(namespace, '')}/${wordOf(name, '')}; ${groupVersion}, Kind=${wordOf(data['kind'], '')}`
  const errors = unknown.map((path) => `.${path}: field not declared in schema`)
  const list = errors.length === 1 ? errors[0] : `errors:\n${errors.map((line) => `  ${line}`).join('\n')}`
  return badRequest(`failed to create typed patch object (${what}): ${list}`)
}

function checkNames(metadata: JsonObject, name: string): void {
  if (metadata['managedFields'] !== undefined) throw badRequest('metadata.managedFields must be nil')
  const given = wordOf(metadata['name'], '')
  if (given !== '' && given !== name) {
    throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`)
  }
  ;(metadata as Record<string, Json>)['name'] = name
}
