// A KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1) as settings of this scheduler: profiles, their plugins and
// the arguments of plugins. Read strictly, arguments too. One field is ours: pluginModules names files with plugins of one's own.
// https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
import { nodeAffinity } from './api/core/affinity.ts'
import { topologySpreadConstraint } from './api/core/topology.ts'
import { type ConfigKind, ConfigError, readConfig } from './api/machinery/config-file.ts'
import { decode, DecodeError } from './api/machinery/decode.ts'
import { type FieldError, forbiddenField, invalidField, requiredField } from './api/machinery/errors.ts'
import {
  any,
  array,
  boolean,
  enumeration,
  type Infer,
  int32,
  int64,
  object,
  type ObjectSchema,
  optional,
  string,
} from './api/machinery/schema.ts'
import type { PluginFactory } from './scheduler/framework.ts'
import { defaultPlugins } from './scheduler/plugins/all.ts'
import { defaultSchedulerName, extensionPoints, type SchedulerProfile } from './scheduler/profiles.ts'

/** What the scheduler is to be like; for whoever may not look into it. */
export interface SchedulerSettings {
  readonly profiles: readonly SchedulerProfile[]
  readonly plugins: readonly PluginFactory[]
  readonly percentageOfNodesToScore?: number
  readonly podInitialBackoffMs?: number
  readonly podMaxBackoffMs?: number
}

const pluginSetting = object('', { name: optional(0, string()), weight: optional(0, int32()) })
const pluginSet = object('', {
  enabled: optional(0, array(pluginSetting)),
  disabled: optional(0, array(pluginSetting)),
})
const points = ['multiPoint', ...extensionPoints] as const
const profile = object('', {
  schedulerName: optional(0, string()),
  percentageOfNodesToScore: optional(0, int32()),
  plugins: optional(0, object('', Object.fromEntries(points.map((point) => [point, optional(0, pluginSet)])))),
  pluginConfig: optional(0, array(object('', { name: optional(0, string()), args: optional(0, any()) }))),
})
const schema = object('', {
  apiVersion: optional(0, string()),
  kind: optional(0, string()),
  percentageOfNodesToScore: optional(0, int32()),
  podInitialBackoffSeconds: optional(0, int64()),
  podMaxBackoffSeconds: optional(0, int64()),
  profiles: optional(0, array(profile)),
  pluginModules: optional(0, array(string())),
  extenders: optional(0, any()),
  // Understood, and without meaning where scheduler and API server are one program.
  parallelism: optional(0, int32()),
  leaderElection: optional(0, any()),
  clientConnection: optional(0, any()),
  enableProfiling: optional(0, boolean()),
  enableContentionProfiling: optional(0, boolean()),
  delayCacheUntilActive: optional(0, boolean()),
})
type Configuration = Infer<typeof schema>
type Profile = Infer<typeof profile>

const typeMeta = { apiVersion: optional(0, string()), kind: optional(0, string()) }
const resourceSpecs = array(object('', { name: optional(0, string()), weight: optional(0, int64()) }))
const shape = array(object('', { utilization: optional(0, int32()), score: optional(0, int32()) }))
/** Arguments of the plugins that take any. */
const argsOf: Readonly<Record<string, ObjectSchema<unknown>>> = {
  DefaultPreemption: object('', {
    ...typeMeta,
    minCandidateNodesPercentage: optional(0, int32()),
    minCandidateNodesAbsolute: optional(0, int32()),
  }),
  DynamicResources: object('', {
    ...typeMeta,
    filterTimeout: optional(0, string()),
    bindingTimeout: optional(0, string()),
  }),
  InterPodAffinity: object('', {
    ...typeMeta,
    hardPodAffinityWeight: optional(0, int32()),
    ignorePreferredTermsOfExistingPods: optional(0, boolean()),
  }),
  NodeAffinity: object('', { ...typeMeta, addedAffinity: optional(0, nodeAffinity) }),
  NodeResourcesBalancedAllocation: object('', { ...typeMeta, resources: optional(0, resourceSpecs) }),
  NodeResourcesFit: object('', {
    ...typeMeta,
    ignoredResources: optional(0, array(string())),
    ignoredResourceGroups: optional(0, array(string())),
    scoringStrategy: optional(
      0,
      object('', {
        type: optional(0, enumeration('LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio')),
        resources: optional(0, resourceSpecs),
        requestedToCapacityRatio: optional(0, object('', { shape: optional(0, shape) })),
      }),
    ),
  }),
  PodTopologySpread: object('', {
    ...typeMeta,
    defaultConstraints: optional(0, array(topologySpreadConstraint)),
    defaultingType: optional(0, enumeration('System', 'List')),
  }),
  VolumeBinding: object('', { ...typeMeta, bindTimeoutSeconds: optional(0, int64()) }),
}

const percentAt = (value: number | undefined, at: string): FieldError[] =>
  value === undefined || (value >= 0 && value <= 100) ? [] : [invalidField(at, value, 'not in valid range [0-100]')]

function validateArgs(name: string, args: unknown, at: string): FieldError[] {
  const expected = argsOf[name]
  if (args === undefined || expected === undefined) return []
  try {
    const [unknown] = decode(expected, args).unknownFields
    if (unknown !== undefined) return [forbiddenField(`${at}.${unknown}`, `${name}Args has no such field`)]
  } catch (error) {
    if (error instanceof DecodeError) return [invalidField(at, name, error.message)]
    throw error
  }
  const { kind } = args as { readonly kind?: string }
  return kind === undefined || kind === `${name}Args` ? [] : [invalidField(`${at}.kind`, kind, `must be ${name}Args`)]
}
function validateProfile(one: Profile, known: ReadonlySet<string> | undefined, at: string): FieldError[] {
  const errors = percentAt(one.percentageOfNodesToScore, `${at}.percentageOfNodesToScore`)
  const sets = (one.plugins ?? {}) as NonNullable<SchedulerProfile['plugins']>
  for (const point of points)
    for (const list of ['enabled', 'disabled'] as const)
      (sets[point]?.[list] ?? []).forEach(({ name }, i) => {
        const where = `${at}.plugins.${point}.${list}[${i}].name`
        if (!name) errors.push(requiredField(where))
        else if (list === 'enabled' && known !== undefined && !known.has(name))
          errors.push(invalidField(where, name, 'there is no such plugin; pluginModules adds plugins of your own'))
      })
  const seen = new Set<string>()
  one.pluginConfig?.forEach(({ name = '', args }, i) => {
    const where = `${at}.pluginConfig[${i}]`
    if (name === '') errors.push(requiredField(`${where}.name`))
    if (seen.has(name)) errors.push(invalidField(`${where}.name`, name, 'repeated config for plugin'))
    seen.add(name)
    errors.push(...validateArgs(name, args, `${where}.args`))
  })
  return errors
}
function validate(config: Configuration): FieldError[] {
  const errors = percentAt(config.percentageOfNodesToScore, 'percentageOfNodesToScore')
  const { podInitialBackoffSeconds: initial = 1, podMaxBackoffSeconds: most = 10, profiles } = config
  if (initial <= 0) errors.push(invalidField('podInitialBackoffSeconds', initial, 'must be greater than 0'))
  if (most < initial)
    errors.push(invalidField('podMaxBackoffSeconds', most, 'must be greater than or equal to podInitialBackoffSeconds'))
  if (config.extenders !== undefined)
    errors.push(
      forbiddenField('extenders', 'webhook extenders are not called; write a plugin and name it in pluginModules'),
    )
  if (profiles !== undefined && profiles.length === 0) errors.push(requiredField('profiles', 'at least one is needed'))
  const names = new Set<string>()
  profiles?.forEach((one, i) => {
    const name = one.schedulerName ?? ''
    if (name === '' && profiles.length > 1) errors.push(requiredField(`profiles[${i}].schedulerName`))
    if (names.has(name)) errors.push(invalidField(`profiles[${i}].schedulerName`, name, 'Duplicate value'))
    names.add(name)
    errors.push(...validateProfile(one, undefined, `profiles[${i}]`))
  })
  return errors
}
const configurations: ConfigKind<Configuration> = {
  apiVersion: 'kubescheduler.config.k8s.io/v1',
  kind: 'KubeSchedulerConfiguration',
  schema: schema as ObjectSchema<Configuration>,
  validate,
}

/**
 * Reads the file's text. `load` brings the plugins of a module that it names (a path as it stands there). Throws ConfigError
 * that names the field.
 */
export async function readSchedulerConfiguration(
  text: string,
  load: (module: string) => Promise<readonly PluginFactory[]>,
): Promise<SchedulerSettings> {
  const config = readConfig(text, configurations)
  const plugins = (await Promise.all((config.pluginModules ?? []).map(load))).flat()
  const known = new Set([...defaultPlugins.map(({ factory }) => factory), ...plugins].map(({ name }) => name))
  const profiles = config.profiles ?? [{}]
  const errors = profiles.flatMap((one, i) => validateProfile(one, known, `profiles[${i}]`))
  if (errors.length > 0) throw new ConfigError(errors.map(({ field, message }) => `${field}: ${message}`).join('; '))
  const { percentageOfNodesToScore, podInitialBackoffSeconds, podMaxBackoffSeconds } = config
  return {
    profiles: profiles.map(
      (one) => ({ ...one, schedulerName: one.schedulerName || defaultSchedulerName }) as SchedulerProfile,
    ),
    plugins,
    ...(percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore }),
    ...(podInitialBackoffSeconds === undefined ? {} : { podInitialBackoffMs: podInitialBackoffSeconds * 1000 }),
    ...(podMaxBackoffSeconds === undefined ? {} : { podMaxBackoffMs: podMaxBackoffSeconds * 1000 }),
  }
}
