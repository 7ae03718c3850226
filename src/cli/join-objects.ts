// What agents need of the cluster before they are part of it: cluster-info for those who hold a token, the rights to ask for a
// certificate and to have it approved, the cluster's addresses, and the rights of a node's network part.
import { type ConfigMap, configMaps } from '../api/core/config-map.ts'
import { ApiError, isReason } from '../api/machinery/errors.ts'
import { equal } from '../api/machinery/equal.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { clusterRoleBindings, clusterRoles, rbacGroup, roleBindings, roles } from '../api/rbac/rbac.ts'
import type { Client } from '../client/client.ts'
import type { ClusterNetwork } from '../node.ts'

/** Whoever joins with a token of `cox token create` (or of kubeadm) is in this group. */
export const joiningGroup = 'system:bootstrappers:kubeadm:default-node-token'
const nodesGroup = 'system:nodes'
export const networkConfigMap = { namespace: 'kube-system', name: 'coxswain-network' } as const
const infoConfigMap = { namespace: 'kube-public', name: 'cluster-info' } as const

const group = (name: string) => ({ kind: 'Group', apiGroup: rbacGroup, name })
const roleRef = (kind: 'Role' | 'ClusterRole', name: string) => ({ apiGroup: rbacGroup, kind, name })
const csr = 'system:certificates.k8s.io:certificatesigningrequests'
const binding = (name: string, role: string, ...groups: readonly string[]) => ({
  metadata: { name },
  roleRef: roleRef('ClusterRole', role),
  subjects: groups.map(group),
})
const read = (apiGroup: string, ...resources: readonly string[]) => ({
  verbs: ['get', 'list', 'watch'],
  apiGroups: [apiGroup],
  resources,
})
/** A role over one ConfigMap, and who has it. */
const reader = ({ namespace, name }: { namespace: string; name: string }, ...groups: readonly string[]) => ({
  role: {
    metadata: { name: `coxswain:${name}`, namespace },
    rules: [{ verbs: ['get'], apiGroups: [''], resources: ['configmaps'], resourceNames: [name] }],
  },
  binding: {
    metadata: { name: `coxswain:${name}`, namespace },
    roleRef: roleRef('Role', `coxswain:${name}`),
    subjects: groups.map(group),
  },
})

export interface JoinFacts {
  /** How agents reach the API. */
  readonly url: string
  readonly caPem: string
  readonly network: ClusterNetwork
}

/** Creates what is missing and makes the two ConfigMaps say what is true now. */
export async function keepJoinObjects(client: Client, facts: JoinFacts): Promise<void> {
  const info = reader(infoConfigMap, 'system:unauthenticated', 'system:authenticated')
  const network = reader(networkConfigMap, nodesGroup, joiningGroup)
  await Promise.all([
    ensure(client, clusterRoleBindings, binding('coxswain:node-bootstrap', 'system:node-bootstrapper', joiningGroup)),
    ensure(client, clusterRoleBindings, binding('coxswain:node-approval', `${csr}:nodeclient`, joiningGroup)),
    ensure(client, clusterRoleBindings, binding('coxswain:node-renewal', `${csr}:selfnodeclient`, nodesGroup)),
    ensure(client, clusterRoles, {
      metadata: { name: 'coxswain:node-names' },
      rules: [{ verbs: ['get'], apiGroups: [''], resources: ['nodes'] }],
    }),
    ensure(client, clusterRoleBindings, binding('coxswain:node-names', 'coxswain:node-names', joiningGroup)),
    ensure(client, clusterRoles, {
      metadata: { name: 'coxswain:node-network' },
      rules: [
        read('', 'services', 'endpoints', 'nodes', 'namespaces', 'pods'),
        read('discovery.k8s.io', 'endpointslices'),
        read('networking.k8s.io', 'networkpolicies', 'servicecidrs', 'ingresses', 'ingressclasses'),
      ],
    }),
    ensure(client, clusterRoleBindings, binding('coxswain:node-network', 'coxswain:node-network', nodesGroup)),
    ...[info, network].flatMap((r) => [ensure(client, roles, r.role), ensure(client, roleBindings, r.binding)]),
    keepData(client, infoConfigMap, { kubeconfig: kubeconfigOf(facts) }),
    keepData(client, networkConfigMap, networkData(facts.network)),
  ])
}

/** Names an address and an authority and nobody: who reads it has still to prove who he is. */
function kubeconfigOf({ url, caPem }: JoinFacts): string {
  const cluster = { 'certificate-authority-data': Buffer.from(caPem).toString('base64'), server: url }
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [{ name: '', cluster }] })}\n`
}
const networkData = (network: ClusterNetwork): Record<string, string> => ({
  clusterCIDR: network.clusterCidrs.join(),
  serviceCIDR: network.serviceCidrs.join(),
  clusterDNS: network.dnsAddresses.join(),
  clusterDomain: network.domain ?? 'cluster.local',
  loadBalancerPool: (network.loadBalancerPool ?? []).join(),
})
/** What networkData wrote. */
export function networkOf(map: ConfigMap): ClusterNetwork {
  const list = (key: string) => (map.data?.[key] ?? '').split(',').filter((text) => text !== '')
  return {
    clusterCidrs: list('clusterCIDR'),
    serviceCidrs: list('serviceCIDR'),
    dnsAddresses: list('clusterDNS'),
    loadBalancerPool: list('loadBalancerPool'),
    domain: map.data?.['clusterDomain'] ?? 'cluster.local',
  }
}

async function ensure<T extends KubeObject>(client: Client, kind: Kind<T>, object: object): Promise<void> {
  try {
    await client.resource(kind).create(object as never)
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) throw error
  }
}
/** Our keys in a ConfigMap; what others put beside them (signatures) stays. */
async function keepData(
  client: Client,
  { namespace, name }: { namespace: string; name: string },
  data: Record<string, string>,
): Promise<void> {
  const maps = client.resource(configMaps)
  const present = await maps.find(name, namespace)
  if (present === undefined) {
    try {
      await maps.create({ metadata: { name, namespace }, data })
      return
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error
    }
  }
  if (!equal({ ...present?.data, ...data }, present?.data)) await maps.patch(name, namespace, 'merge', { data })
}
