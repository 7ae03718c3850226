// POST of an object: decode, fill in what the server decides, admit, validate, admit again, store.
import { ApiError, alreadyExists, badRequest, forbidden } from '../../api/machinery/errors.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import { generateName } from '../../api/machinery/validate-meta.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission, writeOptions } from '../admission/admission.ts'
import { decodeObject, type ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import { storedForm } from '../storage/boundary.ts'
import { type Companion, createObject } from '../storage/write.ts'
import { strategyOf } from '../strategies/all.ts'
import { settleNamespace, take, validateNew } from './checks.ts'
import { recordWrite } from './field-managers.ts'
import { mostRecent } from './freshness.ts'
import { resourceName } from './names.ts'

/** How often another name is tried when a generated one is taken. */
const nameAttempts = 8

export async function create(call: ResourceRequest): Promise<Outcome> {
  const draft = await decodeObject(call)
  return createDraft(call, draft)
}

/** Creates a decoded object (also what PUT and apply do where the object is absent). */
export async function createDraft(
  call: ResourceRequest,
  draft: ObjectDraft,
  /** The draft's managedFields are right as they are. */
  options: { readonly tracked?: boolean } = {},
): Promise<Outcome> {
  const { server, resource } = call
  const { collection } = resource.storage
  settleNamespace(call, draft)
  if (resource.closed !== undefined) throw forbidden(resourceName(resource), draft.metadata.name ?? '', resource.closed)
  const { metadata } = draft
  if ((metadata.resourceVersion ?? '') !== '')
    throw badRequest('resourceVersion should not be set on objects to be created')
  dropVersion(metadata)
  const generated = (metadata.name ?? '') === '' && (metadata.generateName ?? '') !== ''
  const base = metadata.generateName ?? ''
  if (!collection.loaded) await mostRecent(server, collection)
  for (let attempt = 1; ; attempt++) {
    if (generated) metadata.name = generateName(base, () => server.random.float())
    const made = generated && attempt < nameAttempts ? (draftOf(draft) as ObjectDraft) : draft
    const outcome = await createNamed(call, made, options.tracked === true)
    if (outcome !== undefined) return outcome
    if (!generated || attempt >= nameAttempts) {
      throw generated ? nameTaken(call, metadata.name) : alreadyExists(resourceName(resource), metadata.name)
    }
  }
}

/** Undefined when the name is taken. */
async function createNamed(call: ResourceRequest, draft: ObjectDraft, tracked: boolean): Promise<Outcome | undefined> {
  const { server, resource, info } = call
  const { collection } = resource.storage
  const { kind } = resource
  const { metadata } = draft
  const uid = server.random.uuid()
  const creationTimestamp = rfc3339(server.clock.now())
  /** What only the server says. */
  const claim = () => {
    metadata.uid = uid
    metadata.creationTimestamp = creationTimestamp
    delete metadata.deletionTimestamp
    delete metadata.deletionGracePeriodSeconds
    delete metadata.selfLink
    delete metadata.generation
  }
  claim()
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource,
    namespace: info.namespace,
    name: metadata.name ?? '',
    subresource: '',
    user: call.user,
    dryRun: call.dryRun,
    object: draft,
    oldObject: undefined,
    options: writeOptions(call, 'CreateOptions'),
    warnings: call.warnings,
    audit: call.request.audit,
  }
  // What admission adds is nobody's.
  if (!tracked) recordWrite(call, draft, undefined, '')
  const { managedFields } = metadata
  if (await mutateAdmission(admission, server)) {
    claim()
    settleNamespace(call, draft)
    take('managedFields', metadata, { managedFields })
  }
  kind.prepareForCreate?.(draft, { nowMs: server.clock.now() })
  strategyOf(kind)?.claim?.(draft, call.user)
  if (kind.generation === true) metadata.generation = 1
  validateNew(call, draft)
  const key = collection.keyOf(info.namespace, metadata.name)
  if (collection.get(key) !== undefined && metadata.generateName === undefined) {
    throw alreadyExists(resourceName(resource), metadata.name)
  }
  return store(call, key, draft, admission)
}

/** Undefined when the key is taken. */
async function store(
  call: ResourceRequest,
  key: string,
  draft: ObjectDraft,
  admission: AdmissionRequest,
): Promise<Outcome | undefined> {
  const { server, resource, dryRun } = call
  const { collection } = resource.storage
  const strategy = strategyOf(resource.kind)
  if (strategy?.allocate === undefined) {
    await validateAdmission(admission, server)
    return write(draft)
  }
  // Each attempt begins from what the client wanted: what one attempt chose may be what was taken.
  for (;;) {
    const made = draftOf(draft) as ObjectDraft
    const companions = await strategy.allocate(server, made, undefined)
    await validateAdmission({ ...admission, object: made }, server)
    const outcome = await write(made, companions)
    if (outcome !== 'taken') return outcome
  }

  async function write(object: ObjectDraft): Promise<Outcome | undefined>
  async function write(object: ObjectDraft, companions: readonly Companion[]): Promise<Outcome | undefined | 'taken'>
  async function write(object: ObjectDraft, companions?: readonly Companion[]): Promise<Outcome | undefined | 'taken'> {
    if (dryRun) {
      return collection.get(key) === undefined ? { kind: 'unstored', status: 201, object } : undefined
    }
    const form = storedForm(resource, object as KubeObject)
    const stored = form instanceof Promise ? await form : form
    const result = await createObject(server, collection, key, stored, companions)
    if (result.ok) return { kind: 'entry', status: 201, entry: result.entry }
    return result.taken ? 'taken' : undefined
  }
}

const nameTaken = (call: ResourceRequest, name: string): ApiError =>
  new ApiError(
    'AlreadyExists',
    `${alreadyExists(resourceName(call.resource), name).message}, the server was not able to generate a unique name for the object`,
    { name, group: call.resource.group, kind: call.resource.kind.plural, retryAfterSeconds: 1 },
  )

/** Takes the resourceVersion out of an object that is not stored yet. */
export function dropVersion(metadata: { resourceVersion?: string }): void {
  delete metadata.resourceVersion
}
