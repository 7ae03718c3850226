// POST pods/NAME/binding and POST bindings: puts a pod on a node, once.
import { conflict, type FieldError, invalid, notFound, requiredField } from '../../api/machinery/errors.ts'
import type { PartialObjectMeta } from '../../api/machinery/meta.ts'
import { bindings } from '../../api/core/binding.ts'
import type { Pod } from '../../api/core/pod.ts'
import { rfc3339 } from '../../ports/clock.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission, writeOptions } from '../admission/admission.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import { mostRecent } from '../handlers/freshness.ts'
import { conflictRetries } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import { replaceObject } from '../storage/write.ts'
import { readBodyOf } from './body.ts'
import { created } from './status-answer.ts'

const unsupportedKind = (kind: string): FieldError => ({
  type: 'FieldValueNotSupported',
  field: 'target.kind',
  message: `Unsupported value: ${JSON.stringify(kind)}: supported values: "Node", "<empty>"`,
})
interface Binding {
  readonly metadata: PartialObjectMeta
  readonly target: { readonly kind?: string; readonly name?: string }
}
const resource = { group: '', resource: 'pods/binding' }

/** Binds the pod of the path, or of the body for POST bindings. */
export async function bindPod(call: ResourceRequest): Promise<Outcome> {
  const binding = await readBodyOf<Binding>(call, { kind: 'Binding', apiVersions: ['v1'], schema: bindings.schema })
  const podName = call.info.resource === 'bindings' ? (binding.metadata.name ?? '') : call.info.name
  const nodeName = binding.target.name ?? ''
  const errors: FieldError[] = []
  const kind = binding.target.kind ?? ''
  if (kind !== '' && kind !== 'Node') errors.push(unsupportedKind(kind))
  if (nodeName === '') errors.push(requiredField('target.name', ''))
  if (errors.length > 0) throw invalid('', 'Binding', podName, errors)
  const { server } = call
  const { collection } = server.resources.required('', 'pods')
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: call.resource,
    namespace: call.info.namespace,
    name: podName,
    subresource: 'binding',
    user: call.user,
    dryRun: call.dryRun,
    object: binding as unknown as ObjectDraft,
    oldObject: undefined,
    shape: { apiVersion: 'v1', kind: 'Binding', schema: bindings.schema },
    options: writeOptions(call, 'CreateOptions'),
    warnings: call.warnings,
    audit: call.request.audit,
  }
  await mutateAdmission(admission, server)
  await validateAdmission(admission, server)
  await mostRecent(server, collection)
  let entry = collection.find(call.info.namespace, podName)
  for (let attempt = 0; entry !== undefined; attempt++) {
    const pod = collection.object(entry) as unknown as Pod
    const bound = bind(pod, binding, nodeName, rfc3339(server.clock.now()))
    if (call.dryRun) return created()
    const result = await replaceObject(server, collection, entry, bound)
    if (result.ok) return created()
    if (attempt >= conflictRetries) throw conflict(resource, podName, 'the pod has been modified too often')
    entry = result.taken ? entry : result.current
  }
  throw notFound({ group: '', resource: 'pods' }, podName)
}

/** The pod on its node. Throws Conflict where it may not be put there. */
function bind(pod: Pod, binding: Binding, nodeName: string, now: string): Pod {
  const { name, uid, deletionTimestamp } = pod.metadata
  const refuse = (why: string) => conflict(resource, name, why)
  const wanted = binding.metadata.uid ?? ''
  if (wanted !== '' && wanted !== uid) {
    throw refuse(`Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${uid}`)
  }
  if (deletionTimestamp !== undefined) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`)
  const at = pod.spec.nodeName ?? ''
  if (at !== '') throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(at)}`)
  if ((pod.spec.schedulingGates ?? []).length > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`)
  const conditions = (pod.status.conditions ?? []).filter((condition) => condition.type !== 'PodScheduled')
  const { annotations, labels } = binding.metadata
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(annotations === undefined ? {} : { annotations: { ...pod.metadata.annotations, ...annotations } }),
      ...(labels === undefined ? {} : { labels: { ...pod.metadata.labels, ...labels } }),
    },
    spec: { ...pod.spec, nodeName },
    status: {
      ...pod.status,
      conditions: [...conditions, { type: 'PodScheduled', status: 'True', lastTransitionTime: now }],
    },
  }
}
