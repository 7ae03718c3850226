// A KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1) as settings of this scheduler: profiles, their plugins and
// the arguments of plugins. Read strictly, arguments too. One field is ours: pluginModules names files with plugins of one's own.
// https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
import { type ConfigKind, ConfigError, readConfig } from './api/machinery/config-file.ts'
import { type FieldError, invalidField, requiredField } from './api/machinery/errors.ts'
import {
  any,
  array,
  boolean,
  type Infer,
  int32,
  int64,
  object,
  type ObjectSchema,
  optional,
  string,
} from './api/machinery/schema.ts'
import { isExtendedResource } from './api/core/resource-validation.ts'
import { parseDuration } from './api/machinery/duration.ts'
import { validatePluginArgs } from './scheduler-plugin-args.ts'
import type { ExtenderSettings } from './scheduler/extenders/extender.ts'
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
  readonly extenders?: readonly ExtenderSettings[]
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
const extender = object('', {
  urlPrefix: optional(0, string()),
  filterVerb: optional(0, string()),
  preemptVerb: optional(0, string()),
  prioritizeVerb: optional(0, string()),
  bindVerb: optional(0, string()),
  weight: optional(0, int64()),
  enableHTTPS: optional(0, boolean()),
  httpTimeout: optional(0, string()),
  nodeCacheCapable: optional(0, boolean()),
  ignorable: optional(0, boolean()),
  managedResources: optional(
    0,
    array(object('', { name: optional(0, string()), ignoredByScheduler: optional(0, boolean()) })),
  ),
  tlsConfig: optional(
    0,
    object('', {
      insecure: optional(0, boolean()),
      serverName: optional(0, string()),
      certFile: optional(0, string()),
      keyFile: optional(0, string()),
      caFile: optional(0, string()),
      certData: optional(0, string()),
      keyData: optional(0, string()),
      caData: optional(0, string()),
    }),
  ),
})
type ExtenderConfig = Infer<typeof extender>
const schema = object('', {
  apiVersion: optional(0, string()),
  kind: optional(0, string()),
  percentageOfNodesToScore: optional(0, int32()),
  podInitialBackoffSeconds: optional(0, int64()),
  podMaxBackoffSeconds: optional(0, int64()),
  profiles: optional(0, array(profile)),
  pluginModules: optional(0, array(string())),
  extenders: optional(0, array(extender)),
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

const percentAt = (value: number | undefined, at: string): FieldError[] =>
  value === undefined || (value >= 0 && value <= 100) ? [] : [invalidField(at, value, 'not in valid range [0-100]')]

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
    errors.push(...validatePluginArgs(name, args, `${where}.args`))
  })
  return errors
}
function validateExtenders(extenders: readonly ExtenderConfig[]): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  extenders.forEach(({ urlPrefix = '', prioritizeVerb, weight = 0, httpTimeout, managedResources, tlsConfig }, i) => {
    const at = `extenders[${i}]`
    if (urlPrefix === '') errors.push(requiredField(`${at}.urlPrefix`))
    else if (!/^https?:\/\/[^/]/.test(urlPrefix) || !URL.canParse(urlPrefix))
      errors.push(invalidField(`${at}.urlPrefix`, urlPrefix, 'must be an http or https URL'))
    if (prioritizeVerb && weight <= 0)
      errors.push(invalidField(`${at}.weight`, weight, 'must have a positive weight applied to it'))
    if (httpTimeout !== undefined && !((parseDuration(httpTimeout) ?? -1) >= 0))
      errors.push(invalidField(`${at}.httpTimeout`, httpTimeout, 'must be a duration such as 5s'))
    managedResources?.forEach(({ name = '' }, j) => {
      const where = `${at}.managedResources[${j}].name`
      if (!isExtendedResource(name))
        errors.push(invalidField(where, name, "doesn't follow extended resource name standard"))
      if (seen.has(name)) errors.push(invalidField(where, name, 'duplicate extender managed resource name'))
      seen.add(name)
    })
    const { certFile, certData = certFile, keyFile, keyData = keyFile } = tlsConfig ?? {}
    if ((certData === undefined) !== (keyData === undefined))
      errors.push(invalidField(`${at}.tlsConfig`, null, 'a client certificate needs both a certificate and a key'))
  })
  const binders = extenders.filter(({ bindVerb }) => bindVerb).length
  if (binders > 1)
    errors.push(
      invalidField('extenders', `found ${binders} extenders implementing bind`, 'only one extender can implement bind'),
    )
  return errors
}
function validate(config: Configuration): FieldError[] {
  const errors = percentAt(config.percentageOfNodesToScore, 'percentageOfNodesToScore')
  const { parallelism } = config
  if (parallelism !== undefined && parallelism <= 0)
    errors.push(invalidField('parallelism', parallelism, 'should be an integer value greater than zero'))
  const { podInitialBackoffSeconds: initial = 1, podMaxBackoffSeconds: most = 10, profiles } = config
  if (initial <= 0) errors.push(invalidField('podInitialBackoffSeconds', initial, 'must be greater than 0'))
  if (most < initial)
    errors.push(invalidField('podMaxBackoffSeconds', most, 'must be greater than or equal to podInitialBackoffSeconds'))
  errors.push(...validateExtenders(config.extenders ?? []))
  if (profiles !== undefined && profiles.length === 0) errors.push(requiredField('profiles', 'at least one is needed'))
  const names = new Set<string>()
  profiles?.forEach((one, i) => {
    const name = one.schedulerName ?? ''
    if (name === '' && profiles.length > 1) errors.push(requiredField(`profiles[${i}].schedulerName`))
    if (names.has(name)) errors.push(invalidField(`profiles[${i}].schedulerName`, name, 'Duplicate value'))
    names.add(name)
    errors.push(...validateProfile(one, undefined, `profiles[${i}]`))
    if (JSON.stringify(one.plugins?.['queueSort']) !== JSON.stringify(profiles[0]?.plugins?.['queueSort']))
      errors.push(
        invalidField(
          `profiles[${i}].plugins.queueSort`,
          (one.plugins?.['queueSort'] ?? null) as never,
          'queueSort plugins must be the same for all profiles',
        ),
      )
  })
  return errors
}
const configurations: ConfigKind<Configuration> = {
  apiVersion: 'kubescheduler.config.k8s.io/v1',
  kind: 'KubeSchedulerConfiguration',
  schema: schema as ObjectSchema<Configuration>,
  validate,
}

const noFiles = (path: string): string => {
  throw new ConfigError(`${path}: there are no files here`)
}
/** Resources that an extender answers for are none of NodeResourcesFit's business. */
function leavingOut(profile: Profile, resources: readonly string[]): Profile {
  if (resources.length === 0) return profile
  const name = 'NodeResourcesFit'
  const others = (profile.pluginConfig ?? []).filter((one) => one.name !== name)
  const args = (profile.pluginConfig?.find((one) => one.name === name)?.args ?? {}) as {
    readonly ignoredResources?: readonly string[]
  }
  const ignoredResources = [...(args.ignoredResources ?? []), ...resources]
  return { ...profile, pluginConfig: [...others, { name, args: { ...args, ignoredResources } as never }] }
}
function extenderSettings(config: ExtenderConfig, at: string, readFile: (path: string) => string): ExtenderSettings {
  const { urlPrefix = '', httpTimeout, managedResources, tlsConfig = {}, enableHTTPS, ...rest } = config
  const pem = (field: 'cert' | 'key' | 'ca'): string | undefined => {
    const [data, file] = [tlsConfig[`${field}Data`], tlsConfig[`${field}File`]]
    // Boundary: a file that cannot be read is the configuration's fault.
    try {
      return data === undefined ? file && readFile(file) : atob(data)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new ConfigError(`${at}.tlsConfig.${field}${data === undefined ? 'File' : 'Data'}: ${why}`)
    }
  }
  const [certificatePem, keyPem, caPem] = [pem('cert'), pem('key'), pem('ca')]
  const { serverName } = tlsConfig
  return {
    ...rest,
    urlPrefix,
    ...(httpTimeout === undefined ? {} : { timeoutMs: parseDuration(httpTimeout) || 5000 }),
    ...(managedResources === undefined ? {} : { managedResources: managedResources.map(({ name = '' }) => name) }),
    tls: {
      insecure: tlsConfig.insecure === true || (enableHTTPS === true && caPem === undefined),
      ...(serverName === undefined ? {} : { serverName }),
      ...(caPem === undefined ? {} : { caPem }),
      ...(certificatePem === undefined || keyPem === undefined ? {} : { client: { certificatePem, keyPem } }),
    },
  } as ExtenderSettings
}

/**
 * Reads the file's text. `load` brings the plugins of a module that it names (a path as it stands there). Throws ConfigError
 * that names the field. `readFile` reads the certificates that extenders name.
 */
export async function readSchedulerConfiguration(
  text: string,
  load: (module: string) => Promise<readonly PluginFactory[]>,
  readFile: (path: string) => string = noFiles,
): Promise<SchedulerSettings> {
  const config = readConfig(text, configurations)
  const plugins = (await Promise.all((config.pluginModules ?? []).map(load))).flat()
  const known = new Set([...defaultPlugins.map(({ factory }) => factory), ...plugins].map(({ name }) => name))
  const ignored = (config.extenders ?? []).flatMap(({ managedResources = [] }) =>
    managedResources.flatMap(({ name = '', ignoredByScheduler }) => (ignoredByScheduler === true ? [name] : [])),
  )
  const profiles = (config.profiles ?? [{}]).map((one) => leavingOut(one, ignored))
  const errors = profiles.flatMap((one, i) => validateProfile(one, known, `profiles[${i}]`))
  if (errors.length > 0) throw new ConfigError(errors.map(({ field, message }) => `${field}: ${message}`).join('; '))
  const { percentageOfNodesToScore, podInitialBackoffSeconds, podMaxBackoffSeconds } = config
  return {
    profiles: profiles.map(
      (one) => ({ ...one, schedulerName: one.schedulerName || defaultSchedulerName }) as SchedulerProfile,
    ),
    plugins,
    ...(config.extenders === undefined
      ? {}
      : { extenders: config.extenders.map((one, i) => extenderSettings(one, `extenders[${i}]`, readFile)) }),
    ...(percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore }),
    ...(podInitialBackoffSeconds === undefined ? {} : { podInitialBackoffMs: podInitialBackoffSeconds * 1000 }),
    ...(podMaxBackoffSeconds === undefined ? {} : { podMaxBackoffMs: podMaxBackoffSeconds * 1000 }),
  }
}
