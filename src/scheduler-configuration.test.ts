import { expect, it } from 'vitest'
import { readSchedulerConfiguration } from './scheduler-configuration.ts'

const head = 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n'
const own = { name: 'Own', create: () => ({ name: 'Own' }) }
const read = (text: string) =>
  readSchedulerConfiguration(head + text, (module) => Promise.resolve(module === 'own.ts' ? [own] : []))

it('reads profiles, plugins and their arguments', async () => {
  const settings = await read(`
leaderElection: {leaderElect: false}
percentageOfNodesToScore: 40
podInitialBackoffSeconds: 2
pluginModules: [own.ts]
profiles:
- schedulerName: packer
  plugins:
    score: {disabled: [{name: ImageLocality}], enabled: [{name: Own, weight: 5}]}
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}
- schedulerName: default-scheduler
`)
  expect(settings).toMatchObject({
    percentageOfNodesToScore: 40,
    podInitialBackoffMs: 2000,
    plugins: [own],
    profiles: [{ schedulerName: 'packer' }, { schedulerName: 'default-scheduler' }],
  })
  expect(settings.profiles[0]?.pluginConfig?.[0]?.args).toMatchObject({ scoringStrategy: { type: 'MostAllocated' } })
  expect((await read('')).profiles).toEqual([{ schedulerName: 'default-scheduler' }])
})
it('reads extenders, with the files they name; what they answer for is not counted by the scheduler', async () => {
  const text = `
extenders:
- urlPrefix: https://127.0.0.1:1/x
  filterVerb: filter
  weight: 3
  httpTimeout: 1m
  enableHTTPS: true
  managedResources: [{name: a.com/x, ignoredByScheduler: true}, {name: a.com/y}]
  tlsConfig: {certFile: cert.pem, keyData: a2V5, serverName: ext}
`
  const settings = await readSchedulerConfiguration(
    head + text,
    () => Promise.resolve([]),
    (path) => `text of ${path}`,
  )
  expect(settings.extenders).toEqual([
    {
      urlPrefix: 'https://127.0.0.1:1/x',
      filterVerb: 'filter',
      weight: 3,
      timeoutMs: 60_000,
      managedResources: ['a.com/x', 'a.com/y'],
      tls: { insecure: true, serverName: 'ext', client: { certificatePem: 'text of cert.pem', keyPem: 'key' } },
    },
  ])
  expect(settings.profiles[0]?.pluginConfig).toEqual([
    { name: 'NodeResourcesFit', args: { ignoredResources: ['a.com/x'] } },
  ])
})
it.each<readonly [text: string, message: string]>([
  ['profiles: [{schedulerName: a, plugin: {}}]', 'unknown field "profiles[0].plugin"'],
  [
    'profiles: [{schedulerName: a}, {schedulerName: a}]',
    'profiles[1].schedulerName: Invalid value: "a": Duplicate value',
  ],
  ['profiles: [{}, {schedulerName: b}]', 'profiles[0].schedulerName: Required value'],
  ['percentageOfNodesToScore: 101', 'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]'],
  ['podInitialBackoffSeconds: 20', 'podMaxBackoffSeconds: Invalid value: 10'],
  ['extenders: [{}]', 'extenders[0].urlPrefix: Required value'],
  [
    'extenders: [{urlPrefix: "ftp://a"}]',
    'extenders[0].urlPrefix: Invalid value: "ftp://a": must be an http or https URL',
  ],
  [
    'extenders: [{urlPrefix: "http://a", prioritizeVerb: p}]',
    'extenders[0].weight: Invalid value: 0: must have a positive weight applied to it',
  ],
  [
    'extenders: [{urlPrefix: "http://a", bindVerb: b}, {urlPrefix: "http://b", bindVerb: b}]',
    'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
  ],
  [
    'extenders: [{urlPrefix: "http://a", managedResources: [{name: a.com/x}, {name: a.com/x}, {name: cpu}]}]',
    'extenders[0].managedResources[1].name: Invalid value: "a.com/x": duplicate extender managed resource name',
  ],
  ['extenders: [{urlPrefix: "http://a", httpTimeout: soon}]', 'extenders[0].httpTimeout: Invalid value: "soon"'],
  ['extenders: [{urlPrefix: "http://a", tlsConfig: {caFile: none.pem}}]', 'extenders[0].tlsConfig.caFile: none.pem'],
  [
    'profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]',
    'profiles[0].plugins.filter.enabled[0].name: Invalid value: "Nope": there is no such plugin',
  ],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {strategy: x}}]}]',
    'profiles[0].pluginConfig[0].args.strategy: Forbidden: NodeResourcesFitArgs has no such field',
  ],
  ['parallelism: 0', 'parallelism: Invalid value: 0: should be an integer value greater than zero'],
  [
    'profiles: [{schedulerName: a}, {schedulerName: b, plugins: {queueSort: {enabled: [{name: Own}]}}}]',
    'profiles[1].plugins.queueSort: Invalid value: {"enabled":[{"name":"Own"}]}: queueSort plugins must be the same for all profiles',
  ],
  ...(
    [
      [
        'DefaultPreemption',
        'minCandidateNodesPercentage: 101',
        'minCandidateNodesPercentage: Invalid value: 101: not in valid range [0-100]',
      ],
      [
        'DefaultPreemption',
        'minCandidateNodesAbsolute: -1',
        'minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)',
      ],
      [
        'DefaultPreemption',
        'minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0',
        'minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute',
      ],
      [
        'InterPodAffinity',
        'hardPodAffinityWeight: 101',
        'hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]',
      ],
      [
        'NodeAffinity',
        'addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}',
        'addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term',
      ],
      [
        'NodeResourcesBalancedAllocation',
        'resources: [{name: cpu, weight: 2}]',
        'resources[0].weight: Invalid value: 2: resource weight must be 1',
      ],
      [
        'NodeResourcesFit',
        'ignoredResources: [cpu]',
        'ignoredResources[0]: Invalid value: "cpu": doesn\'t follow extended resource name standard',
      ],
      [
        'NodeResourcesFit',
        'ignoredResourceGroups: [a.com/x]',
        "ignoredResourceGroups[0]: Invalid value: \"a.com/x\": resource group name can't contain '/'",
      ],
      [
        'NodeResourcesFit',
        'scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}',
        'scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range [1, 100]',
      ],
      [
        'NodeResourcesFit',
        'scoringStrategy: {type: RequestedToCapacityRatio}',
        'scoringStrategy.requestedToCapacityRatio: Required value: requestedToCapacityRatio is required',
      ],
      [
        'NodeResourcesFit',
        'scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, score: 11}, {utilization: 50, score: 1}]}}',
        'scoringStrategy.requestedToCapacityRatio.shape[0].score: Invalid value: 11: not in valid range [0-10]',
      ],
      [
        'NodeResourcesFit',
        'scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, score: 1}, {utilization: 50, score: 1}]}}',
        'shape[1].utilization: Invalid value: 50: utilization values must be sorted in increasing order',
      ],
      [
        'PodTopologySpread',
        'defaultConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]',
        'defaultingType: Invalid value: "System": when .defaultConstraints are not empty',
      ],
      [
        'PodTopologySpread',
        'defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}]',
        'defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod',
      ],
      ['VolumeBinding', 'bindTimeoutSeconds: -1', 'bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds'],
    ] as const
  ).map(
    ([plugin, args, message]) => [`profiles: [{pluginConfig: [{name: ${plugin}, args: {${args}}}]}]`, message] as const,
  ),
  [
    'profiles: [{pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: soon}}]}]',
    'profiles[0].pluginConfig[0].args: Invalid value: "VolumeBinding": json: cannot unmarshal string',
  ],
])('%s is refused', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message)
})
