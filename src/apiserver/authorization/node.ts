// The Node authorizer: a kubelet may read what the pods on its node use and nothing else of that kind, keep its own Node
// and Lease, and do what the system:node role says with the rest. "What its pods use" is not kept in a graph: the pods of
// a node are an index away, and what a pod refers to is found once per version of the pod.
import type { Pod } from '../../api/core/pod.ts'
import { claimsOfPod } from '../../api/resource/pod-claims.ts'
import type { Ingress } from '../../api/networking/ingress.ts'
import { exactField } from '../../api/machinery/fields.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ServerContext } from '../context.ts'
import type { UserInfo } from '../request.ts'
import { clusterRoles } from './policy/cluster-roles.ts'
import type { AuthorizationAttributes, Authorizer, Decision } from './authorizer.ts'
import { ruleAllows } from './rbac.ts'

const userPrefix = 'system:node:'
const rules = clusterRoles.find((role) => role.name === 'system:node')?.rules ?? []
const noOpinion: Decision = { decision: 'no-opinion', reason: '' }
const allow: Decision = { decision: 'allow', reason: '' }
const reads = new Set(['get', 'list', 'watch'])

/** The node that a user is the kubelet of. */
export const nodeNameOf = (user: UserInfo): string | undefined =>
  user.groups.includes('system:nodes') && user.name.startsWith(userPrefix) && user.name.length > userPrefix.length
    ? user.name.slice(userPrefix.length)
    : undefined

/** Reads the server late: it is made after the authorizers. */
export function nodeAuthorizer(serverOf: () => ServerContext): Authorizer {
  return {
    name: 'Node',
    authorize(attributes) {
      const node = nodeNameOf(attributes.user)
      if (node === undefined) return noOpinion
      if (attributes.isResource) {
        const special = specialCase(serverOf(), attributes, node)
        if (special !== undefined) return special
      }
      return rules.some((rule) => ruleAllows(rule, attributes)) ? allow : noOpinion
    },
  }
}

/** Resources of which a node may see only its own share. Undefined leaves the decision to the rules. */
function specialCase(
  server: ServerContext,
  attributes: AuthorizationAttributes,
  node: string,
): Decision | Promise<Decision> | undefined {
  const { group, resource, subresource, verb, name } = attributes
  switch (`${group}/${resource}`) {
    case '/secrets':
    case '/configmaps':
      if (subresource !== '' || !reads.has(verb)) return noOpinion
      return used(server, attributes, node)
    case '/persistentvolumeclaims':
      if (verb !== 'get' && !(subresource === 'status' && (verb === 'update' || verb === 'patch'))) return noOpinion
      return used(server, attributes, node)
    case '/persistentvolumes':
      return verb === 'get' && subresource === '' ? used(server, attributes, node) : noOpinion
    case '/serviceaccounts':
      if (subresource === 'token') return verb === 'create' ? used(server, attributes, node) : noOpinion
      return verb === 'get' ? used(server, attributes, node) : noOpinion
    case '/pods':
      return subresource === '' && reads.has(verb) ? ownPods(server, attributes, node) : undefined
    case '/nodes':
      return subresource === '' && reads.has(verb) ? ownNode(attributes, node) : undefined
    case 'resource.k8s.io/resourceclaims':
      return verb === 'get' ? used(server, attributes, node) : noOpinion
    case 'resource.k8s.io/resourceslices':
      // Those of other nodes are their drivers' word.
      return verb !== 'deletecollection' || exactField(attributes.fieldSelector ?? [], 'spec.nodeName') === node
        ? undefined
        : refuse('can only delete a collection of resourceslices with spec.nodeName field selector')
    case 'coordination.k8s.io/leases':
      if (attributes.namespace !== 'kube-node-lease') {
        return refuse('can only access leases in the "kube-node-lease" system namespace')
      }
      return verb === 'create' || name === node
        ? undefined
        : refuse('can only access node lease with the same name as the requesting node')
    case 'storage.k8s.io/csinodes':
      if (verb === 'list' || verb === 'watch' || verb === 'deletecollection')
        return refuse('can only get, create, update, patch, or delete a CSINode')
      return verb === 'create' || name === node
        ? undefined
        : refuse('can only access CSINode with the same name as the requesting node')
    default:
      return undefined
  }
}
/** Of pods a node sees those that are bound to it (KEP-4601). One that is not there is the handler's to tell. */
async function ownPods(server: ServerContext, attributes: AuthorizationAttributes, node: string): Promise<Decision> {
  const { namespace, name, verb, fieldSelector = [] } = attributes
  if (verb !== 'get')
    return exactField(fieldSelector, 'spec.nodeName') === node
      ? allow
      : refuse('can only list/watch pods with spec.nodeName field selector')
  const { collection } = server.resources.required('', 'pods')
  await collection.ready()
  const entry = collection.find(namespace, name)
  const pod = entry === undefined ? undefined : (collection.object(entry) as unknown as Pod)
  return pod === undefined || pod.spec.nodeName === node
    ? allow
    : refuse(`no relationship found between node '${node}' and this object`)
}
function ownNode({ name, fieldSelector = [] }: AuthorizationAttributes, node: string): Decision {
  const asked = name === '' ? exactField(fieldSelector, 'metadata.name') : name
  if (asked === node) return allow
  return refuse(
    asked === undefined
      ? `node '${node}' cannot read all nodes, only its own Node object`
      : `node '${node}' cannot read '${asked}', only its own Node object`,
  )
}
const refuse = (reason: string): Decision => ({ decision: 'no-opinion', reason })

async function used(server: ServerContext, attributes: AuthorizationAttributes, node: string): Promise<Decision> {
  const { resource, namespace, name } = attributes
  if (name === '') return refuse(`no relationship found between node ${JSON.stringify(node)} and this object`)
  const { collection } = server.resources.required('', 'pods')
  await collection.ready()
  const key = `${resource}/${namespace}/${name}`
  for (const entry of collection.lookup({ field: 'spec.nodeName' }, node)) {
    const pod = collection.object(entry)
    if (namespace !== '' && pod.metadata.namespace !== namespace) continue
    if ((await referencesOf(server, pod)).has(key)) return allow
  }
  if (resource === 'secrets' && (await servesTls(server, namespace, name))) return allow
  return refuse(`no relationship found between node ${JSON.stringify(node)} and this object`)
}
/** Every node serves Ingresses: it needs the certificates that they name, and no other Secret. */
async function servesTls(server: ServerContext, namespace: string, name: string): Promise<boolean> {
  const collection = server.resources.storage('networking.k8s.io', 'ingresses')?.collection
  if (collection === undefined) return false
  await collection.ready()
  return collection
    .all(namespace)
    .some((entry) =>
      (collection.object(entry) as unknown as Ingress).spec.tls?.some(({ secretName }) => secretName === name),
    )
}

const references = new WeakMap<KubeObject, ReadonlySet<string>>()

/** What a pod uses, as "secrets/NAMESPACE/NAME". */
async function referencesOf(server: ServerContext, object: KubeObject): Promise<ReadonlySet<string>> {
  const known = references.get(object)
  if (known !== undefined) return known
  const found = new Set<string>()
  collect(object as unknown as Pod, found)
  const claims = [...found].filter((key) => key.startsWith('persistentvolumeclaims/'))
  let settled = true
  for (const claim of claims) {
    const [, namespace = '', name = ''] = claim.split('/')
    const { collection } = server.resources.storage('', 'persistentvolumeclaims') ?? {}
    if (collection === undefined) continue
    await collection.ready()
    const entry = collection.find(namespace, name)
    const spec =
      entry === undefined ? undefined : (collection.object(entry) as unknown as { spec: { volumeName?: string } }).spec
    if ((spec?.volumeName ?? '') === '') settled = false
    else found.add(`persistentvolumes//${spec?.volumeName ?? ''}`)
  }
  // A claim that is not bound yet will bring a volume later: look again then.
  if (settled) references.set(object, found)
  return found
}

function collect(pod: Pod, found: Set<string>): void {
  const { metadata, spec } = pod
  const namespace = metadata.namespace ?? ''
  const add = (plural: string, name: string | undefined) => {
    if (name !== undefined && name !== '') found.add(`${plural}/${namespace}/${name}`)
  }
  add('serviceaccounts', spec.serviceAccountName)
  for (const secret of spec.imagePullSecrets ?? []) add('secrets', secret.name)
  for (const container of [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])]) {
    for (const from of container.envFrom ?? []) {
      add('secrets', from.secretRef?.name)
      add('configmaps', from.configMapRef?.name)
    }
    for (const { valueFrom } of container.env ?? []) {
      add('secrets', valueFrom?.secretKeyRef?.name)
      add('configmaps', valueFrom?.configMapKeyRef?.name)
    }
  }
  for (const volume of spec.volumes ?? []) {
    add('secrets', volume.secret?.secretName)
    add('configmaps', volume.configMap?.name)
    add('persistentvolumeclaims', volume.persistentVolumeClaim?.claimName)
    if (volume.ephemeral !== undefined) add('persistentvolumeclaims', `${metadata.name}-${volume.name}`)
    for (const source of volume.projected?.sources ?? []) {
      add('secrets', source.secret?.name)
      add('configmaps', source.configMap?.name)
    }
    add('secrets', volume.csi?.nodePublishSecretRef?.name)
  }
  for (const { name } of claimsOfPod(pod)) add('resourceclaims', name)
}
