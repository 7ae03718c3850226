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
it.each([
  ['profiles: [{schedulerName: a, plugin: {}}]', 'unknown field "profiles[0].plugin"'],
  [
    'profiles: [{schedulerName: a}, {schedulerName: a}]',
    'profiles[1].schedulerName: Invalid value: "a": Duplicate value',
  ],
  ['profiles: [{}, {schedulerName: b}]', 'profiles[0].schedulerName: Required value'],
  ['percentageOfNodesToScore: 101', 'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]'],
  ['podInitialBackoffSeconds: 20', 'podMaxBackoffSeconds: Invalid value: 10'],
  ['extenders: []', 'extenders: Forbidden: webhook extenders are not called'],
  [
    'profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]',
    'profiles[0].plugins.filter.enabled[0].name: Invalid value: "Nope": there is no such plugin',
  ],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {strategy: x}}]}]',
    'profiles[0].pluginConfig[0].args.strategy: Forbidden: NodeResourcesFitArgs has no such field',
  ],
  [
    'profiles: [{pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: soon}}]}]',
    'profiles[0].pluginConfig[0].args: Invalid value: "VolumeBinding": json: cannot unmarshal string',
  ],
])('%s is refused', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message)
})
