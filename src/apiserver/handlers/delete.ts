// DELETE of one object and of a collection. An object goes at once when nothing holds it: no grace period, no
// finalizers. Otherwise the request only marks it; whoever holds it lets go with a later write.
import {
  ApiError,
  badRequest,
  conflict,
  type FieldError,
  invalid,
  invalidField,
  notFound,
} from '../../api/machinery/errors.ts'
import { decode, DecodeError } from '../../api/machinery/decode.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import { type DeleteOptions, deleteOptions, type KubeObject } from '../../api/machinery/meta.ts'
import { returnsDeleted } from '../../api/machinery/openapi-paths.ts'
import { ParseError } from '../../api/machinery/parse.ts'
import type { JsonObject } from '../../api/machinery/schema.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission } from '../admission/admission.ts'
import { type ObjectDraft, readBody } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import { objectIn, storedForm } from '../storage/boundary.ts'
import type { Entry } from '../storage/collection.ts'
import { removeObject, replaceObject } from '../storage/write.ts'
import { strategyOf } from '../strategies/all.ts'
import { dryRunOf } from './checks.ts'
import { mostRecent } from './freshness.ts'
import { filterOfRequest, shownFieldsOf } from './list.ts'
import { resourceName } from './names.ts'
import { conflictRetries } from './update.ts'

const orphanFinalizer = 'orphan'
const foregroundFinalizer = 'foregroundDeletion'

/** DeleteOptions of body and query. */
export async function deleteOptionsOf(call: ResourceRequest): Promise<DeleteOptions> {
  const { query } = call.info
  let options: DeleteOptions = {}
  let sent: Awaited<ReturnType<typeof readBody>>
  try {
    sent = await readBody(call, deleteOptions)
    if (sent !== undefined) options = decode<JsonObject>(deleteOptions, sent.value).value as DeleteOptions
  } catch (error) {
    if (error instanceof ParseError) throw badRequest(`couldn't get version/kind; json parse error: ${error.message}`)
    if (error instanceof DecodeError) {
      throw badRequest(`DeleteOptions in version "v1" cannot be handled as a DeleteOptions: ${error.message}`)
    }
    throw error
  }
  if (sent === undefined) {
    const grace = query.get('gracePeriodSeconds')
    const policy = query.get('propagationPolicy')
    const orphan = query.get('orphanDependents')
    if (grace !== null && !/^-?\d+$/.test(grace))
      throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`)
    options = {
      ...(grace === null ? {} : { gracePeriodSeconds: Number(grace) }),
      ...(policy === null || policy === '' ? {} : { propagationPolicy: policy as 'Orphan' }),
      ...(orphan === null ? {} : { orphanDependents: orphan === 'true' }),
    }
  }
  const dryRun = [...(options.dryRun ?? []), ...query.getAll('dryRun')]
  dryRunOf(dryRun, 'delete')
  checkOptions(options)
  return dryRun.length === 0 ? options : { ...options, dryRun }
}

function checkOptions(options: DeleteOptions): void {
  const policy = options.propagationPolicy
  const bad = (error: FieldError) => invalid('meta.k8s.io', 'DeleteOptions', '', [error])
  const field = 'propagationPolicy'
  if (policy !== undefined && options.orphanDependents !== undefined) {
    throw bad(invalidField(field, policy, 'orphanDependents and deletionPropagation cannot be both set'))
  }
  if (policy !== undefined && !['Orphan', 'Background', 'Foreground'].includes(policy)) {
    const supported = '"Foreground", "Background", "Orphan", "nil"'
    const message = `Unsupported value: ${JSON.stringify(policy)}: supported values: ${supported}`
    throw bad({ type: 'FieldValueNotSupported', field, message })
  }
}

export async function deleteOne(call: ResourceRequest): Promise<Outcome> {
  const options = await deleteOptionsOf(call)
  const { collection } = call.resource.storage
  await mostRecent(call.server, collection)
  const entry = collection.find(call.info.namespace, call.info.name)
  if (entry === undefined) throw notFound(resourceName(call.resource), call.info.name)
  const deleted = await deleteEntry(call, entry, options)
  if (deleted.entry !== undefined) {
    const accepted = options.orphanDependents === false
    return { kind: 'entry', status: accepted ? 202 : 200, entry: deleted.entry }
  }
  const { kind } = call.resource
  if (returnsDeleted(kind as never)) return { kind: 'unstored', status: 200, object: deleted.object }
  return { kind: 'object', status: 200, object: successStatus(call, deleted.object) }
}

function successStatus(call: ResourceRequest, object: KubeObject) {
  const { kind, group } = call.resource
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: object.metadata.name,
      ...(group === '' ? {} : { group }),
      kind: kind.plural,
      uid: object.metadata.uid,
    },
  }
}

interface Deleted {
  /** The marked object that remains; undefined when it is gone. */
  readonly entry: Entry | undefined
  /** The object as it was last. */
  readonly object: KubeObject
}

/** Deletes the object of `first`, or marks it. Begins again when somebody else was first. */
export async function deleteEntry(
  call: ResourceRequest,
  first: Entry,
  options: DeleteOptions,
  /** Admission has seen the request in another form. */
  { admitted = false }: { readonly admitted?: boolean } = {},
): Promise<Deleted> {
  let entry: Entry | undefined = first
  for (let attempt = 0; entry !== undefined; attempt++) {
    const result = await deleteOnce(call, entry, options, admitted)
    if (result.done) return result.deleted
    if (attempt >= conflictRetries) break
    entry = result.current
  }
  if (entry === undefined) throw notFound(resourceName(call.resource), first.name)
  throw conflict(
    resourceName(call.resource),
    first.name,
    'the object has been modified too often while it was being deleted',
  )
}

type Attempt =
  | { readonly done: true; readonly deleted: Deleted }
  | { readonly done: false; readonly current: Entry | undefined }

async function deleteOnce(
  call: ResourceRequest,
  entry: Entry,
  options: DeleteOptions,
  admitted: boolean,
): Promise<Attempt> {
  const { server, resource } = call
  const { collection } = resource.storage
  const { kind } = resource
  const found = objectIn(resource, entry)
  const object = found instanceof Promise ? await found : found
  const dryRun = (options.dryRun ?? []).length > 0
  checkPreconditions(call, options, object)
  const admission: AdmissionRequest = {
    operation: 'DELETE',
    resource,
    namespace: entry.namespace,
    name: entry.name,
    subresource: '',
    user: call.user,
    dryRun,
    object: undefined,
    oldObject: object,
    options: { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...(options as JsonObject) },
    warnings: call.warnings,
    audit: call.request.audit,
  }
  if (!admitted) {
    await mutateAdmission(admission, server)
    await validateAdmission(admission, server)
  }
  const strategy = strategyOf(kind)
  const draft = draftOf(object) as ObjectDraft
  const changed = mark(call, draft, object, options)
  const holds =
    (draft.metadata.finalizers ?? []).length > 0 ||
    (draft.metadata.deletionGracePeriodSeconds ?? 0) > 0 ||
    strategy?.holdsOn?.(object) === true
  if (holds) {
    if (!changed || dryRun) return { done: true, deleted: { entry, object } }
    const form = storedForm(resource, draft as KubeObject)
    const result = await replaceObject(server, collection, entry, form instanceof Promise ? await form : form)
    if (result.ok) return { done: true, deleted: { entry: result.entry, object } }
    return { done: false, current: result.taken ? entry : result.current }
  }
  if (dryRun) return { done: true, deleted: { entry: undefined, object } }
  const removed = await removeObject(server, collection, entry, strategy?.release?.(server, object))
  if (!removed.ok) return { done: false, current: removed.current }
  // An object that was going shows how it went; one that went at once is shown as it was.
  const last = object.metadata.deletionTimestamp === undefined ? object : (draft as KubeObject)
  const metadata = { ...last.metadata, resourceVersion: String(removed.revision) }
  return { done: true, deleted: { entry: undefined, object: { ...last, metadata } } }
}

function checkPreconditions(call: ResourceRequest, options: DeleteOptions, object: KubeObject): void {
  const { uid, resourceVersion } = options.preconditions ?? {}
  // Upstream names the kind here, not the resource.
  const fail = (why: string): ApiError =>
    conflict({ group: call.resource.group, resource: call.resource.kind.kind }, object.metadata.name, why)
  const { metadata } = object
  if (uid !== undefined && uid !== metadata.uid) {
    throw fail(
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    )
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw fail(
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    )
  }
}

/** Puts what the request asks for into the object: deletion time, grace period, propagation finalizers. True when the
 * object is different from before. */
function mark(call: ResourceRequest, draft: ObjectDraft, old: KubeObject, options: DeleteOptions): boolean {
  const { kind } = call.resource
  const { metadata } = draft
  const now = call.server.clock.now()
  const finalizers = propagationFinalizers(old.metadata.finalizers ?? [], options)
  let changed = finalizers.join() !== (old.metadata.finalizers ?? []).join()
  if (finalizers.length > 0) metadata.finalizers = finalizers
  else delete metadata.finalizers
  const requested = options.gracePeriodSeconds === undefined ? undefined : Math.max(options.gracePeriodSeconds, -1)
  const negative = requested !== undefined && requested < 0
  const grace = kind.gracePeriodSeconds?.(old, negative ? 1 : requested) ?? 0
  if (old.metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = rfc3339(now + grace * 1000)
    metadata.deletionGracePeriodSeconds = grace
    if ((metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1
    strategyOf(kind)?.markDeleted?.(draft)
    return true
  }
  // Asked again: the period may only become shorter.
  const before = old.metadata.deletionGracePeriodSeconds ?? 0
  if (grace < before && (requested !== undefined || grace === 0)) {
    const started = Date.parse(old.metadata.deletionTimestamp) - before * 1000
    metadata.deletionTimestamp = rfc3339(Math.max(now, started + grace * 1000))
    metadata.deletionGracePeriodSeconds = grace
    changed = true
  }
  return changed
}

/** Which of the garbage collector's finalizers the object carries after this request. */
function propagationFinalizers(current: readonly string[], options: DeleteOptions): string[] {
  const others = current.filter((name) => name !== orphanFinalizer && name !== foregroundFinalizer)
  const { propagationPolicy, orphanDependents } = options
  const said = propagationPolicy !== undefined || orphanDependents !== undefined
  const orphan = said ? orphanDependents === true || propagationPolicy === 'Orphan' : current.includes(orphanFinalizer)
  const foreground = said ? propagationPolicy === 'Foreground' : current.includes(foregroundFinalizer)
  return [...others, ...(orphan ? [orphanFinalizer] : []), ...(foreground ? [foregroundFinalizer] : [])]
}

/** DELETE of a collection: each object on its own, and the list of what was there. */
export async function deleteCollection(call: ResourceRequest): Promise<Outcome> {
  const options = await deleteOptionsOf(call)
  const { collection } = call.resource.storage
  await mostRecent(call.server, collection)
  const selected = filterOfRequest(call).select()
  const fields = shownFieldsOf(call)
  const shown = fields === undefined ? [] : ((await call.resource.boundary?.objects(selected)) ?? [])
  const entries = fields === undefined ? selected : selected.filter((_, i) => fields(shown[i] as KubeObject))
  const revision = collection.revision
  const pending = [...entries]
  const worker = async () => {
    for (let entry = pending.shift(); entry !== undefined; entry = pending.shift()) {
      try {
        await deleteEntry(call, entry, options)
      } catch (error) {
        if (!(error instanceof ApiError && error.reason === 'NotFound')) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(16, entries.length) }, worker))
  return { kind: 'list', entries, revision, continue: undefined, remaining: undefined }
}
