// PUT of an object or of its status, and the part of PATCH that comes after the patch: carry over what clients may not
// change, admit, validate, store; on a conflict that the client did not ask to see, again from the new state.
import {
  conflict,
  invalid,
  invalidField,
  modified,
  notFound,
  ApiError,
  badRequest,
} from '../../api/machinery/errors.ts'
import { equal } from '../../api/machinery/equal.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { WriteContext } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { validateStatusUpdate, validateUpdate } from '../../api/machinery/validate.ts'
import {
  type AdmissionRequest,
  type Facade,
  mutateAdmission,
  validateAdmission,
  writeOptions,
} from '../admission/admission.ts'
import { decodeObject, type ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import { objectIn, storedForm } from '../storage/boundary.ts'
import type { Entry } from '../storage/collection.ts'
import { type Companion, removeObject, replaceObject } from '../storage/write.ts'
import { strategyOf } from '../strategies/all.ts'
import { type ChangeValidation, settleNamespace, take, validateChanged } from './checks.ts'
import { createDraft, dropVersion } from './create.ts'
import { recordWrite } from './field-managers.ts'
import { mostRecent } from './freshness.ts'
import { resourceName } from './names.ts'

/** How often a write is tried again when somebody else was first. */
export const conflictRetries = 20

/** How one view of an object may be changed: the whole object, its status, or another subresource. */
export interface UpdateRule {
  /** Subresource in paths and admission; '' for the object itself. */
  readonly subresource: string
  /** Puts into `draft` (what the client sent) everything of `old` that this view may not change. */
  carryOver(draft: ObjectDraft, old: KubeObject): void
  readonly prepare?: ((draft: ObjectDraft, old: KubeObject, context: WriteContext) => void) | undefined
  readonly validate: ChangeValidation
  /** How webhooks and policies see the object, where it is shown as a kind of its own. */
  readonly facade?: Facade
}

export function mainRule(call: ResourceRequest): UpdateRule {
  const { kind } = call.resource
  return {
    subresource: '',
    carryOver(draft, old) {
      if (kind.subresources?.status === true) {
        take('status', draft, draftOf({ status: (old as { status?: unknown }).status }))
      }
    },
    prepare: kind.prepareForUpdate,
    validate: (object, old, context) => validateUpdate(kind, object, old, context),
  }
}
export function statusRule(call: ResourceRequest): UpdateRule {
  const { kind } = call.resource
  return {
    subresource: 'status',
    carryOver(draft, old) {
      for (const key of new Set([...Object.keys(draft), ...Object.keys(old)])) {
        if (key !== 'status' && key !== 'metadata') take(key, draft, old)
      }
    },
    prepare: kind.prepareForStatusUpdate,
    validate: (object, old, context) => validateStatusUpdate(kind, object, old, context),
  }
}
export async function update(call: ResourceRequest): Promise<Outcome> {
  return updateUnder(call, mainRule(call))
}
export async function updateStatus(call: ResourceRequest): Promise<Outcome> {
  return updateUnder(call, statusRule(call))
}

/** PUT under a rule. */
export async function updateUnder(call: ResourceRequest, rule: UpdateRule): Promise<Outcome> {
  const { resource, info, server } = call
  const { collection } = resource.storage
  const sent = await decodeObject(call)
  settleNamespace(call, sent)
  const name = sent.metadata.name ?? ''
  if (name === '') sent.metadata.name = info.name
  else if (name !== info.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${info.name})`)
  }
  await mostRecent(server, collection)
  const entry = collection.find(info.namespace, info.name)
  if (entry === undefined) {
    if (resource.kind.createOnUpdate !== true || rule.subresource !== '')
      throw notFound(resourceName(resource), info.name)
    if ((sent.metadata.uid ?? '') !== '') throw uidConflict(call, sent.metadata.uid, '')
    dropVersion(sent.metadata)
    return createDraft(call, sent)
  }
  const retry = isUnpinned(sent) && resource.kind.unconditionalUpdate === true
  // A lost race begins again from what was sent, not from what the last attempt made of it.
  return writeChanged(call, rule, entry, () => (retry ? (draftOf(sent) as ObjectDraft) : sent), { retry })
}

/** Writes what `produce` makes of the current object. With `retry`, a lost race begins again with the new state. */
export async function writeChanged(
  call: ResourceRequest,
  rule: UpdateRule,
  first: Entry,
  produce: (attempt: number, entry: Entry) => ObjectDraft | Promise<ObjectDraft>,
  /** `tracked`: the drafts' managedFields are right as they are. */
  options: { readonly retry: boolean; readonly tracked?: boolean },
): Promise<Outcome> {
  const { resource } = call
  let entry: Entry | undefined = first
  for (let attempt = 0; entry !== undefined; attempt++) {
    const draft = await produce(attempt, entry)
    const result = await writeOnce(call, rule, entry, draft, options.tracked === true)
    if (result.done) return result.outcome
    if (!options.retry || attempt >= conflictRetries) throw modified(resourceName(resource), call.info.name)
    entry = result.current
  }
  throw notFound(resourceName(resource), call.info.name)
}

type Attempt =
  | { readonly done: true; readonly outcome: Outcome }
  | { readonly done: false; readonly current: Entry | undefined }

async function writeOnce(
  call: ResourceRequest,
  rule: UpdateRule,
  entry: Entry,
  draft: ObjectDraft,
  tracked: boolean,
): Promise<Attempt> {
  const { server, resource } = call
  const { kind } = resource
  const found = objectIn(resource, entry)
  const old = found instanceof Promise ? await found : found
  checkVersion(call, draft, old)
  carryMetadata(draft, old)
  rule.carryOver(draft, old)
  const admission: AdmissionRequest = {
    operation: 'UPDATE',
    resource,
    namespace: call.info.namespace,
    name: call.info.name,
    subresource: rule.subresource,
    user: call.user,
    dryRun: call.dryRun,
    object: draft,
    oldObject: old,
    options: writeOptions(call, 'UpdateOptions'),
    facade: rule.facade,
    warnings: call.warnings,
    audit: call.request.audit,
  }
  // What admission changes is nobody's.
  if (!tracked) recordWrite(call, draft, old, rule.subresource)
  const { managedFields } = draft.metadata
  if (await mutateAdmission(admission, server)) {
    settleNamespace(call, draft)
    take('managedFields', draft.metadata, { managedFields })
    carryMetadata(draft, old)
    rule.carryOver(draft, old)
  }
  rule.prepare?.(draft, old, { nowMs: server.clock.now() })
  if (kind.generation === true) settleGeneration(draft, old, kind.subresources?.status === true)
  validateChanged(call, draft, old, rule.validate)
  const strategy = strategyOf(kind)
  if (rule.subresource !== '' || strategy?.allocate === undefined) {
    await validateAdmission(admission, server)
    return store(call, entry, old, draft)
  }
  // Each attempt begins from what the client wanted: what one attempt chose may be what was taken.
  for (;;) {
    const made = draftOf(draft) as ObjectDraft
    const companions = await strategy.allocate(server, made, old)
    await validateAdmission({ ...admission, object: made }, server)
    const attempt = await store(call, entry, old, made, companions)
    if (attempt !== 'taken') return attempt
  }
}

async function store(call: ResourceRequest, entry: Entry, old: KubeObject, draft: ObjectDraft): Promise<Attempt>
async function store(
  call: ResourceRequest,
  entry: Entry,
  old: KubeObject,
  draft: ObjectDraft,
  companions: readonly Companion[],
): Promise<Attempt | 'taken'>
async function store(
  call: ResourceRequest,
  entry: Entry,
  old: KubeObject,
  draft: ObjectDraft,
  companions: readonly Companion[] = [],
): Promise<Attempt | 'taken'> {
  const { server, resource } = call
  const { collection } = resource.storage
  if (call.dryRun) return { done: true, outcome: { kind: 'unstored', status: 200, object: draft } }
  const strategy = strategyOf(resource.kind)
  if (isFinished(draft as KubeObject) && strategy?.holdsOn?.(draft as KubeObject) !== true) {
    const removed = await removeObject(server, collection, entry, strategy?.release?.(server, old))
    if (!removed.ok) return { done: false, current: removed.current }
    const last = { ...draft, metadata: { ...draft.metadata, resourceVersion: String(removed.revision) } }
    return { done: true, outcome: { kind: 'unstored', status: 200, object: last } }
  }
  if (companions.length === 0 && entry.stale !== true && equal(draft, old))
    return { done: true, outcome: { kind: 'entry', status: 200, entry } }
  const form = storedForm(resource, draft as KubeObject)
  const object = form instanceof Promise ? await form : form
  const result = await replaceObject(server, collection, entry, object, companions)
  if (result.ok) return { done: true, outcome: { kind: 'entry', status: 200, entry: result.entry } }
  return result.taken ? 'taken' : { done: false, current: result.current }
}

/** The last finalizer is gone from an object whose deletion was asked for and needs no more time. */
function isFinished({ metadata }: KubeObject): boolean {
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0
  )
}

/** No version, or 0, means whatever is there. */
const isUnpinned = ({ metadata }: ObjectDraft): boolean => ['', '0'].includes(metadata.resourceVersion ?? '')

function checkVersion(call: ResourceRequest, draft: ObjectDraft, old: KubeObject): void {
  const { metadata } = draft
  const uid = metadata.uid ?? ''
  if (uid !== '' && uid !== old.metadata.uid) throw uidConflict(call, uid, old.metadata.uid)
  if (isUnpinned(draft)) {
    if (call.resource.kind.unconditionalUpdate === true || call.info.verb === 'patch') {
      metadata.resourceVersion = old.metadata.resourceVersion
      return
    }
    const { group, kind } = call.resource
    throw invalid(group, kind.plural, call.info.name, [
      invalidField('metadata.resourceVersion', 0, 'must be specified for an update'),
    ])
  }
  if (metadata.resourceVersion !== old.metadata.resourceVersion)
    throw modified(resourceName(call.resource), call.info.name)
}

const uidConflict = (call: ResourceRequest, asked: string, found: string): ApiError => {
  const key = call.resource.storage.collection.keyOf(call.info.namespace, call.info.name)
  return conflict(
    resourceName(call.resource),
    call.info.name,
    `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${asked}, UID in object meta: ${found}`,
  )
}

/** Metadata that only the server sets. */
function carryMetadata(draft: ObjectDraft, old: KubeObject): void {
  const target = draft.metadata as Record<string, unknown>
  for (const key of ['uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation']) {
    take(key, target, old.metadata)
  }
  delete target['selfLink']
  if ((target['generateName'] ?? '') === '') take('generateName', target, old.metadata)
}

/** metadata.generation grows with every change outside metadata and status. */
function settleGeneration(draft: ObjectDraft, old: KubeObject, statusApart: boolean): void {
  const before = old as unknown as Record<string, unknown>
  const now = draft as unknown as Record<string, unknown>
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (key === 'metadata' || key === 'apiVersion' || key === 'kind') continue
    // Without a way of its own for the status, it is a part like any other.
    if (key === 'status' && statusApart) continue
    if (!equal(before[key], now[key])) {
      draft.metadata.generation = (old.metadata.generation ?? 0) + 1
      return
    }
  }
}
