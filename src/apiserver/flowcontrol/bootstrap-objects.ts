// The flow schemas and priority levels of every cluster. Two of each are mandatory and always as written here; the others
// are suggestions, kept up to date until an administrator says otherwise in the autoupdate annotation.
// (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults)
export const autoUpdateSpec = 'apf.kubernetes.io/autoupdate-spec'

export interface FlowObject {
  readonly plural: 'flowschemas' | 'prioritylevelconfigurations'
  readonly kind: 'FlowSchema' | 'PriorityLevelConfiguration'
  readonly name: string
  readonly mandatory: boolean
  readonly spec: object
}

const level = (name: string, spec: object, mandatory = false): FlowObject => ({
  plural: 'prioritylevelconfigurations',
  kind: 'PriorityLevelConfiguration',
  name,
  mandatory,
  spec,
})
const queued = (name: string, shares: number, lendablePercent: number, queues: number, handSize: number): FlowObject =>
  level(name, {
    type: 'Limited',
    limited: {
      nominalConcurrencyShares: shares,
      lendablePercent,
      limitResponse: { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: 50 } },
    },
  })

const user = (name: string) => ({ kind: 'User', user: { name } })
const group = (name: string) => ({ kind: 'Group', group: { name } })
const account = (namespace: string, name: string) => ({ kind: 'ServiceAccount', serviceAccount: { namespace, name } })
const everywhere = { clusterScope: true, namespaces: ['*'] }
const anything = { verbs: ['*'], apiGroups: ['*'], resources: ['*'], ...everywhere }
const anyPath = { verbs: ['*'], nonResourceURLs: ['*'] }
const everything = { resourceRules: [anything], nonResourceRules: [anyPath] }
const everybody = [group('system:unauthenticated'), group('system:authenticated')]

function schema(
  name: string,
  precedence: number,
  levelName: string,
  distinguisher: 'ByUser' | 'ByNamespace' | undefined,
  rules: readonly object[],
  mandatory = false,
): FlowObject {
  return {
    plural: 'flowschemas',
    kind: 'FlowSchema',
    name,
    mandatory,
    spec: {
      priorityLevelConfiguration: { name: levelName },
      matchingPrecedence: precedence,
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules,
    },
  }
}
const leases = (namespaces: readonly string[]) => ({
  verbs: ['get', 'create', 'update'],
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  namespaces,
})
const controllerManager = 'system:kube-controller-manager'
const scheduler = 'system:kube-scheduler'

export const flowObjects: readonly FlowObject[] = [
  level('exempt', { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }, true),
  level(
    'catch-all',
    {
      type: 'Limited',
      limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } },
    },
    true,
  ),
  queued('system', 30, 33, 64, 6),
  queued('node-high', 40, 25, 64, 6),
  queued('leader-election', 10, 0, 16, 4),
  queued('workload-high', 40, 50, 128, 6),
  queued('workload-low', 100, 90, 128, 6),
  queued('global-default', 20, 50, 128, 6),

  schema('exempt', 1, 'exempt', undefined, [{ subjects: [group('system:masters')], ...everything }], true),
  schema('catch-all', 10_000, 'catch-all', 'ByUser', [{ subjects: everybody, ...everything }], true),
  schema('probes', 2, 'exempt', undefined, [
    {
      subjects: everybody,
      nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
    },
  ]),
  schema('system-leader-election', 100, 'leader-election', 'ByUser', [
    {
      subjects: [user(controllerManager), user(scheduler), account('kube-system', '*')],
      resourceRules: [leases(['kube-system'])],
    },
  ]),
  schema('endpoint-controller', 150, 'workload-high', 'ByUser', [
    {
      subjects: [
        user(controllerManager),
        account('kube-system', 'endpoint-controller'),
        account('kube-system', 'endpointslicemirroring-controller'),
      ],
      resourceRules: [
        { verbs: ['get', 'create', 'update'], apiGroups: [''], resources: ['endpoints'], namespaces: ['*'] },
      ],
    },
  ]),
  schema('workload-leader-election', 200, 'leader-election', 'ByUser', [
    { subjects: [account('kube-system', '*')], resourceRules: [leases(['*'])] },
  ]),
  schema('system-node-high', 400, 'node-high', 'ByUser', [
    {
      subjects: [group('system:nodes')],
      resourceRules: [
        { verbs: ['*'], apiGroups: [''], resources: ['nodes', 'nodes/status'], ...everywhere },
        { verbs: ['*'], apiGroups: ['coordination.k8s.io'], resources: ['leases'], namespaces: ['*'] },
      ],
    },
  ]),
  schema('system-nodes', 500, 'system', 'ByUser', [{ subjects: [group('system:nodes')], ...everything }]),
  schema('kube-controller-manager', 800, 'workload-high', 'ByNamespace', [
    { subjects: [user(controllerManager)], ...everything },
  ]),
  schema('kube-scheduler', 800, 'workload-high', 'ByNamespace', [{ subjects: [user(scheduler)], ...everything }]),
  schema('kube-system-service-accounts', 900, 'workload-high', 'ByNamespace', [
    { subjects: [account('kube-system', '*')], ...everything },
  ]),
  schema('service-accounts', 9000, 'workload-low', 'ByUser', [
    { subjects: [group('system:serviceaccounts')], ...everything },
  ]),
  schema('global-default', 9900, 'global-default', 'ByUser', [{ subjects: everybody, ...everything }]),
]
