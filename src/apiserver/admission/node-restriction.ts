// NodeRestriction: a kubelet changes only its own Node, the pods bound to it, and its own lease, and may not give itself
// labels by which workloads are isolated.
// (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction)
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import { equal } from '../../api/machinery/equal.ts'
import { type ApiError, forbidden } from '../../api/machinery/errors.ts'
import { nodeNameOf } from '../authorization/node.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { lookUp } from './lookup.ts'

const mirrorAnnotation = 'kubernetes.io/config.mirror'
/** Labels under kubernetes.io that kubelets do set. */
const kubeletLabels = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/arch',
  'kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
])
const kubeletLabelPrefixes = ['kubelet.kubernetes.io/', 'node.kubernetes.io/']
const isolationPrefix = 'node-restriction.kubernetes.io/'

export const nodeRestriction: AdmissionPlugin = {
  name: 'NodeRestriction',
  handles: ({ user, operation }) => operation !== 'CONNECT' && nodeNameOf(user) !== undefined,
  validate(request, server) {
    const node = nodeNameOf(request.user) ?? ''
    const { group, plural } = request.resource.kind
    switch (`${group}/${plural}`) {
      case '/pods':
        return podRequest(request, server, node)
      case '/nodes':
        return nodeRequest(request, node)
      case '/serviceaccounts':
        return request.subresource === 'token' ? tokenRequest(request, server, node) : undefined
      case 'coordination.k8s.io/leases':
        return leaseRequest(request, node)
      default:
        return undefined
    }
  },
}

const refuse = (request: AdmissionRequest, why: string): ApiError =>
  forbidden({ group: request.resource.group, resource: request.resource.kind.plural }, request.name, why)

async function podRequest(request: AdmissionRequest, server: ServerContext, node: string): Promise<void> {
  const { operation, subresource } = request
  const pod = (request.object ?? request.oldObject) as unknown as Pod
  if (subresource === 'status') {
    const old = request.oldObject as unknown as Pod
    if (old.spec.nodeName !== node)
      throw refuse(
        request,
        `node ${JSON.stringify(node)} can only update pod status for pods with spec.nodeName set to itself`,
      )
    if (!equal(old.metadata.labels, pod.metadata.labels)) {
      throw refuse(request, `node ${JSON.stringify(node)} cannot update labels through pod status`)
    }
    return
  }
  if (subresource === 'eviction') {
    const target = await lookUp<Pod>(server, '', 'pods', request.namespace, request.name)
    if (target !== undefined && target.spec.nodeName !== node) {
      throw refuse(request, `node ${JSON.stringify(node)} can only evict pods with spec.nodeName set to itself`)
    }
    return
  }
  if (subresource !== '')
    throw refuse(
      request,
      `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`,
    )
  if (operation === 'DELETE') {
    if (pod.spec.nodeName !== node)
      throw refuse(request, `node ${JSON.stringify(node)} can only delete pods with spec.nodeName set to itself`)
    return
  }
  if (operation !== 'CREATE')
    throw refuse(
      request,
      `unexpected operation ${JSON.stringify(operation)}, node ${JSON.stringify(node)} can only create and delete mirror pods`,
    )
  createPod(request, pod, node)
}

function createPod(request: AdmissionRequest, pod: Pod, node: string): void {
  const { spec, metadata } = pod
  if (metadata.annotations?.[mirrorAnnotation] === undefined) {
    throw refuse(
      request,
      `pod does not have ${JSON.stringify(mirrorAnnotation)} annotation, node ${JSON.stringify(node)} can only create mirror pods`,
    )
  }
  if (spec.nodeName !== node)
    throw refuse(request, `node ${JSON.stringify(node)} can only create pods with spec.nodeName set to itself`)
  const [owner, ...others] = metadata.ownerReferences ?? []
  if (others.length > 0)
    throw refuse(
      request,
      `node ${JSON.stringify(node)} can only create pods with a single owner reference set to itself`,
    )
  if (owner === undefined)
    throw refuse(request, `node ${JSON.stringify(node)} can only create pods with an owner reference set to itself`)
  if (owner.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node) {
    throw refuse(request, `node ${JSON.stringify(node)} can only create pods with an owner reference set to itself`)
  }
  if (spec.serviceAccountName !== undefined && spec.serviceAccountName !== '') {
    throw refuse(request, `node ${JSON.stringify(node)} can not create pods that reference a service account`)
  }
}

function nodeRequest(request: AdmissionRequest, node: string): void {
  const { operation, subresource, name } = request
  const target = name === '' ? (request.object?.metadata.name ?? '') : name
  if (target !== node) {
    throw refuse(request, `node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(target)}`)
  }
  if (operation === 'DELETE') throw refuse(request, `node ${JSON.stringify(node)} cannot delete itself`)
  const object = request.object as unknown as Node
  if (operation === 'CREATE') {
    if (object.spec.configSource !== undefined)
      throw refuse(request, `node ${JSON.stringify(node)} is not allowed to create pods with a non-nil configSource`)
    checkLabels(request, node, {}, object.metadata.labels ?? {})
    return
  }
  if (subresource !== '' && subresource !== 'status') return
  const old = request.oldObject as unknown as Node
  if (!equal(old.spec.taints ?? [], object.spec.taints ?? [])) {
    throw refuse(request, `node ${JSON.stringify(node)} is not allowed to modify taints`)
  }
  if (!equal(old.metadata.ownerReferences ?? [], object.metadata.ownerReferences ?? [])) {
    throw refuse(request, `node ${JSON.stringify(node)} is not allowed to modify ownerReferences`)
  }
  checkLabels(request, node, old.metadata.labels ?? {}, object.metadata.labels ?? {})
}

type Labels = Readonly<Record<string, string>>
/** Labels that a kubelet touches must be its own to set. */
function checkLabels(request: AdmissionRequest, node: string, before: Labels, after: Labels): void {
  const touched = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => before[key] !== after[key],
  )
  const bad = touched.filter(
    (key) =>
      key.startsWith(isolationPrefix) ||
      (isKubernetes(key) && !kubeletLabels.has(key) && !kubeletLabelPrefixes.some((prefix) => key.startsWith(prefix))),
  )
  if (bad.length > 0) {
    throw refuse(request, `is not allowed to modify labels: ${bad.sort().join(', ')}`)
  }
}
const isKubernetes = (key: string): boolean => {
  const domain = key.includes('/') ? key.slice(0, key.indexOf('/')) : ''
  return /(^|\.)(kubernetes\.io|k8s\.io)$/.test(domain)
}

async function tokenRequest(request: AdmissionRequest, server: ServerContext, node: string): Promise<void> {
  const body = request.object as unknown as {
    spec: { boundObjectRef?: { apiVersion?: string; kind?: string; name?: string; uid?: string } }
  }
  const { apiVersion, kind, name, uid } = body.spec.boundObjectRef ?? {}
  if (apiVersion !== 'v1' || kind !== 'Pod' || name === undefined) {
    throw refuse(request, 'node requested token not bound to a pod')
  }
  if (uid === undefined || uid === '') throw refuse(request, 'node requested token with a pod binding without a uid')
  const pod = await lookUp<Pod>(server, '', 'pods', request.namespace, name)
  if (pod === undefined || pod.metadata.uid !== uid) {
    throw refuse(request, `node requested token bound to a pod that does not exist or is another one`)
  }
  if (pod.spec.nodeName !== node)
    throw refuse(request, `node requested token bound to a pod scheduled on a different node`)
}

function leaseRequest(request: AdmissionRequest, node: string): void {
  const name = request.name === '' ? (request.object?.metadata.name ?? '') : request.name
  if (request.namespace !== 'kube-node-lease' || name !== node) {
    throw refuse(request, `can only access node lease with the same name as the requesting node`)
  }
}
