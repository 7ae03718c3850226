// A KubeletConfiguration file (kubelet.config.k8s.io/v1beta1) as settings of this node agent. Read strictly: a field that
// upstream does not have is an error, one that has no meaning here (systemd, cloud, docker) is named and passed over.
// https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
import { parseDuration } from './api/machinery/duration.ts'
import { parseYaml } from './api/machinery/parse.ts'
import { parseQuantity, QuantityError } from './api/machinery/quantity.ts'
import { defaultKubeletConfig, type KubeletConfig } from './kubelet/config.ts'
import { parseCpus } from './kubelet/cpu-list.ts'
import { machineProblems } from './kubelet/machine-problems.ts'
import { verificationPolicies } from './kubelet/pulled-images.ts'
import { topologyPolicies } from './kubelet/topology.ts'
import type { MachineFacts } from './ports/node-host.ts'

export interface ReadConfiguration {
  readonly config: KubeletSettings
  /** Fields that are set and mean nothing here. */
  readonly ignored: readonly string[]
}
/** Every problem of a file, one a line, each with its field. */
export class KubeletConfigurationError extends Error {}

type Draft = { -readonly [K in keyof KubeletConfig]?: KubeletConfig[K] }
type Complain = (problem: string) => void
/** Reads one field into the settings. */
type Field = (value: unknown, into: Draft, complain: Complain) => void

type KeyOf<T> = { [K in keyof KubeletConfig]: T extends KubeletConfig[K] ? K : never }[keyof KubeletConfig]
const put = (into: Draft, key: keyof KubeletConfig, value: unknown) => {
  ;(into as Record<string, unknown>)[key] = value
}

/** The settings, by the words of the file; for whoever may not look into the kubelet. */
export type KubeletSettings = Partial<KubeletConfig>

const boolean =
  (key: KeyOf<boolean>): Field =>
  (value, into, complain) =>
    typeof value === 'boolean' ? put(into, key, value) : complain('expected true or false')
const integer =
  (key: KeyOf<number>, least: number, most = Number.MAX_SAFE_INTEGER): Field =>
  (value, into, complain) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return complain('expected a whole number')
    if (value < least || value > most)
      return complain(
        most === Number.MAX_SAFE_INTEGER ? `must be at least ${least}` : `must be between ${least} and ${most}`,
      )
    put(into, key, value)
  }
const text =
  (key: KeyOf<string>): Field =>
  (value, into, complain) =>
    typeof value === 'string' ? put(into, key, value) : complain('expected a text')
const texts =
  (key: KeyOf<readonly string[]>): Field =>
  (value, into, complain) =>
    isTexts(value) ? put(into, key, value) : complain('expected a list of texts')
const duration =
  (key: KeyOf<number>, unitMs = 1): Field =>
  (value, into, complain) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    if (ms === undefined || ms < 0) return complain('expected a duration such as 10s or 1m30s')
    put(into, key, ms / unitMs)
  }
const oneOf =
  (key: keyof KubeletConfig, ...choices: readonly string[]): Field =>
  (value, into, complain) =>
    choices.includes(value as string) ? put(into, key, value) : complain(`expected one of: ${choices.join(', ')}`)
const quantity =
  (key: KeyOf<number>): Field =>
  (value, into, complain) => {
    const bytes = amountOf(value)
    if (bytes === undefined) return complain('expected an amount such as 10Mi')
    put(into, key, bytes)
  }
const table =
  (key: KeyOf<Readonly<Record<string, string>>>, check: (value: string, name: string) => string | undefined): Field =>
  (value, into, complain) => {
    if (!isTable(value)) return complain('expected names with values')
    const read: Record<string, string> = {}
    for (const [name, entry] of Object.entries(value)) {
      const written = typeof entry === 'number' ? String(entry) : entry
      const problem = typeof written === 'string' ? check(written, name) : 'expected a text'
      if (problem !== undefined) complain(`[${name}]: ${problem}`)
      else read[name] = written as string
    }
    put(into, key, read)
  }

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
/** Complains of words that upstream's type does not have. */
function knownKeys(value: unknown, known: readonly string[], complain: Complain, at = ''): void {
  for (const name of isTable(value) ? Object.keys(value) : [])
    if (!known.includes(name)) complain(`${at}.${name}: strict decoding error: unknown field`)
}
const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string')
function amountOf(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  try {
    const { nanos } = parseQuantity(String(value))
    return nanos < 0n ? undefined : Number(nanos) / 1e9
  } catch (error) {
    if (error instanceof QuantityError) return undefined
    throw error
  }
}

const signals = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'containerfs.available',
  'containerfs.inodesFree',
  'pid.available',
]
const isSignal = (name: string) =>
  signals.includes(name) ? undefined : `unknown eviction signal; there are ${signals.join(', ')}`
const threshold = (value: string, name: string) =>
  isSignal(name) ??
  (/^\d+(\.\d+)?%$/.test(value)
    ? Number(value.slice(0, -1)) <= 100
      ? undefined
      : 'a percentage is at most 100%'
    : amountOf(value) === undefined
      ? 'expected an amount such as 100Mi or a percentage such as 10%'
      : undefined)
const reservation = (value: string, name: string) =>
  ['cpu', 'memory', 'ephemeral-storage', 'pid'].includes(name)
    ? amountOf(value) === undefined
      ? 'expected an amount such as 500m or 1Gi'
      : undefined
    : 'only cpu, memory, ephemeral-storage and pid can be reserved'

const softGrace: Field = (value, into, complain) => {
  if (!isTable(value)) return complain('expected names with durations')
  const read: Record<string, number> = {}
  for (const [name, entry] of Object.entries(value)) {
    const ms = typeof entry === 'string' ? parseDuration(entry) : undefined
    const problem = isSignal(name) ?? (ms === undefined ? 'expected a duration such as 1m30s' : undefined)
    if (problem !== undefined) complain(`[${name}]: ${problem}`)
    else read[name] = ms ?? 0
  }
  into.evictionSoftGraceMs = read
}
const taints: Field = (value, into, complain) => {
  if (!Array.isArray(value)) return complain('expected a list of taints')
  into.nodeTaints = value.flatMap((taint: unknown, i) => {
    knownKeys(taint, ['key', 'value', 'effect', 'timeAdded'], complain, `[${i}]`)
    const { key, value: said, effect } = isTable(taint) ? taint : {}
    const known = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'].includes(effect as string)
    if (typeof key !== 'string' || !known || (said !== undefined && typeof said !== 'string')) {
      complain(`[${i}]: expected key, effect (NoSchedule, PreferNoSchedule or NoExecute) and perhaps value`)
      return []
    }
    return [{ key, effect: effect as string, ...(said === undefined ? {} : { value: said }) }]
  })
}
const byPriority: Field = (value, into, complain) => {
  if (!Array.isArray(value)) return complain('expected a list')
  into.shutdownGraceByPriority = value.flatMap((entry: unknown, i) => {
    knownKeys(entry, ['priority', 'shutdownGracePeriodSeconds'], complain, `[${i}]`)
    const { priority, shutdownGracePeriodSeconds: graceSeconds } = isTable(entry) ? entry : {}
    if (Number.isInteger(priority) && Number.isInteger(graceSeconds) && (graceSeconds as number) >= 0)
      return [{ priority: priority as number, graceSeconds: graceSeconds as number }]
    complain(`[${i}]: expected priority and shutdownGracePeriodSeconds as whole numbers`)
    return []
  })
}
const backOff: Field = (value, into, complain) => {
  knownKeys(value, ['maxContainerRestartPeriod'], complain)
  const period = isTable(value) ? value['maxContainerRestartPeriod'] : undefined
  const ms = typeof period === 'string' ? parseDuration(period) : undefined
  if (ms === undefined || ms < 1000 || ms > 300_000)
    return complain('.maxContainerRestartPeriod: expected a duration between 1s and 300s')
  into.maxCrashBackOffMs = ms
}
const cpus: Field = (value, into, complain) => {
  try {
    parseCpus(String(value))
    into.reservedSystemCpus = String(value)
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error))
  }
}

const cpuOptionFields = {
  'full-pcpus-only': 'fullPcpusOnly',
  'strict-cpu-reservation': 'strictCpuReservation',
} as const
const cpuOptions: Field = (value, into, complain) => {
  if (!isTable(value)) return complain('expected names with "true" or "false"')
  for (const [name, said] of Object.entries(value)) {
    const key = cpuOptionFields[name as keyof typeof cpuOptionFields]
    if (key === undefined) complain(`[${name}]: unknown option; there are ${Object.keys(cpuOptionFields).join(', ')}`)
    else if (said !== 'true' && said !== 'false') complain(`[${name}]: expected "true" or "false"`)
    else put(into, key, said === 'true')
  }
}
const reservedMemory: Field = (value, into, complain) => {
  if (!Array.isArray(value)) return complain('expected a list of numaNode and limits')
  const seen = new Set<string>()
  into.reservedMemory = value.flatMap((entry: unknown, i) => {
    knownKeys(entry, ['numaNode', 'limits'], complain, `[${i}]`)
    const { numaNode, limits } = isTable(entry) ? entry : {}
    if (!Number.isInteger(numaNode) || (numaNode as number) < 0 || !isTable(limits)) {
      complain(`[${i}]: expected numaNode, the number of a NUMA node, and limits, names with amounts`)
      return []
    }
    const read: Record<string, number> = {}
    for (const [type, said] of Object.entries(limits)) {
      const where = `for NUMA node ${String(numaNode)} and resource "${type}"`
      const bytes = amountOf(said)
      if (type !== 'memory' && !type.startsWith('hugepages-'))
        complain(
          `[${i}].limits: the limit type "${type}" ${where} is not supported, only [memory hugepages-] is accepted`,
        )
      else if (bytes === undefined) complain(`[${i}].limits: expected an amount such as 1Gi ${where}`)
      else if (bytes === 0) complain(`[${i}].limits: reserved memory may not be zero ${where}`)
      else if (seen.has(where)) complain(`[${i}].limits: the reserved memory has a duplicate value ${where}`)
      else read[type] = bytes
      seen.add(where)
    }
    return [{ numaNode: numaNode as number, limits: read }]
  })
}
const swap: Field = (value, into, complain) => {
  knownKeys(value, ['swapBehavior'], complain)
  if (!isTable(value)) return complain('expected swapBehavior')
  const behavior = value['swapBehavior'] ?? ''
  if (behavior === '' || behavior === 'NoSwap' || behavior === 'LimitedSwap')
    into.swapBehavior = behavior === '' ? 'NoSwap' : behavior
  else complain('.swapBehavior: expected one of: NoSwap, LimitedSwap')
}
const headers: Field = (value, into, complain) => {
  if (!isTable(value) || !Object.values(value).every(isTexts)) return complain('expected names with lists of texts')
  into.staticPodUrlHeaders = Object.entries(value as Readonly<Record<string, readonly string[]>>).flatMap(
    ([name, values]) => values.map((one) => ({ name, value: one })),
  )
}

const enforceable = [
  'none',
  'pods',
  'system-reserved',
  'kube-reserved',
  'system-reserved-compressible',
  'kube-reserved-compressible',
]

const fields: Readonly<Record<string, Field>> = {
  staticPodPath: text('staticPodPath'),
  staticPodURL: text('staticPodUrl'),
  staticPodURLHeader: headers,
  httpCheckFrequency: duration('staticPodUrlPeriodMs'),
  clusterDomain: text('clusterDomain'),
  clusterDNS: texts('clusterDns'),
  resolvConf: text('resolvConf'),
  providerID: text('providerId'),
  podLogsDir: text('podLogsDirectory'),
  maxPods: integer('maxPods', 0),
  podsPerCore: integer('podsPerCore', 0),
  podPidsLimit: (value, into, complain) =>
    value === -1 ? undefined : integer('podPidsLimit' as KeyOf<number>, 1)(value, into, complain),
  registerNode: boolean('registerNode'),
  registerWithTaints: taints,
  systemReserved: table('systemReserved', reservation),
  kubeReserved: table('kubeReserved', reservation),
  enforceNodeAllocatable: (value, into, complain) => {
    if (!isTexts(value)) return complain('expected a list of texts')
    const unknown = value.filter((one) => !enforceable.includes(one))
    if (unknown.length > 0) return complain(`unknown ${unknown.join(', ')}; there are ${enforceable.join(', ')}`)
    if (value.includes('none') && value.length > 1) return complain('"none" stands alone')
    into.enforceNodeAllocatable = value
  },
  systemReservedCgroup: text('systemReservedCgroup' as KeyOf<string>),
  kubeReservedCgroup: text('kubeReservedCgroup' as KeyOf<string>),
  reservedSystemCPUs: cpus,
  cpuManagerPolicyOptions: cpuOptions,
  cpuCFSQuota: boolean('cpuCfsQuota'),
  singleProcessOOMKill: boolean('singleProcessOomKill'),
  memorySwap: swap,
  cpuManagerPolicy: oneOf('cpuManagerPolicy', 'none', 'static'),
  memoryManagerPolicy: oneOf('memoryManagerPolicy', 'None', 'Static'),
  reservedMemory,
  topologyManagerPolicy: oneOf('topologyManagerPolicy', ...topologyPolicies),
  topologyManagerScope: oneOf('topologyManagerScope', 'container', 'pod'),
  containerLogMaxSize: quantity('containerLogMaxBytes'),
  containerLogMaxFiles: integer('containerLogMaxFiles', 2),
  containerLogMonitorInterval: (value, into, complain) => {
    duration('containerLogMonitorMs')(value, into, complain)
    if ((into.containerLogMonitorMs ?? 3000) < 3000) complain('must be at least 3s')
  },
  enableDebuggingHandlers: boolean('debuggingHandlers'),
  serializeImagePulls: boolean('serializeImagePulls'),
  maxParallelImagePulls: integer('maxParallelImagePulls', 1),
  imagePullCredentialsVerificationPolicy: oneOf('imagePullVerification', ...verificationPolicies),
  preloadedImagesVerificationAllowlist: texts('preloadedImagesAllowlist'),
  allowedUnsafeSysctls: texts('allowedUnsafeSysctls'),
  seccompDefault: boolean('seccompDefault'),
  nodeStatusUpdateFrequency: duration('nodeStatusUpdateMs'),
  nodeStatusReportFrequency: duration('nodeStatusReportMs'),
  nodeStatusMaxImages: integer('nodeStatusMaxImages', -1),
  nodeLeaseDurationSeconds: integer('nodeLeaseSeconds', 1),
  crashLoopBackOff: backOff,
  evictionHard: table('evictionHard', threshold),
  evictionSoft: table('evictionSoft', threshold),
  evictionSoftGracePeriod: softGrace,
  evictionMinimumReclaim: table('evictionMinimumReclaim', threshold),
  evictionMaxPodGracePeriod: integer('evictionMaxPodGraceSeconds', 0),
  evictionPressureTransitionPeriod: duration('evictionTransitionMs'),
  imageGCHighThresholdPercent: integer('imageGcHighPercent', 0, 100),
  imageGCLowThresholdPercent: integer('imageGcLowPercent', 0, 100),
  imageMinimumGCAge: duration('imageGcLeastAgeMs'),
  imageMaximumGCAge: duration('imageGcMostAgeMs'),
  shutdownGracePeriod: duration('shutdownGraceSeconds', 1000),
  shutdownGracePeriodCriticalPods: duration('shutdownGraceCriticalSeconds', 1000),
  shutdownGracePeriodByPodPriority: byPriority,
}

/** Upstream's other fields: what they set is not this agent's to do, or is done without being asked. */
const others = new Set(
  `address authentication authorization cgroupDriver cgroupRoot cgroupsPerQOS configMapAndSecretChangeDetectionStrategy
  containerLogMaxWorkers containerRuntimeEndpoint contentType cpuCFSQuotaPeriod
  cpuManagerReconcilePeriod enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler
  enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery
  eventBurst eventRecordQPS failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode healthzBindAddress healthzPort
  imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit
  kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeletCgroups localStorageCapacityIsolation logging
  makeIPTablesUtilChains maxOpenFiles memoryReservationPolicy memoryThrottlingFactor oomScoreAdj podCIDR
  port protectKernelDefaults qosReserved readOnlyPort registryBurst
  registryPullQPS rotateCertificates runOnce runtimeRequestTimeout serverTLSBootstrap showHiddenMetricsForVersion
  streamingConnectionIdleTimeout syncFrequency systemCgroups
  tlsCertFile tlsCipherSuites tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile
  topologyManagerPolicyOptions tracing userNamespaces volumePluginDir volumeStatsAggPeriod`
    .split(/\s+/)
    .filter(Boolean),
)

/** What a file says. Throws KubeletConfigurationError with every problem in it. */
export function readKubeletConfiguration(content: string): ReadConfiguration {
  const problems: string[] = []
  const { value, duplicates } = parseDocument(content)
  if (!isTable(value)) throw new KubeletConfigurationError('expected one KubeletConfiguration')
  for (const path of duplicates) problems.push(`strict decoding error: ${path}`)
  const { apiVersion, kind, mergeDefaultEvictionSettings: merge, ...rest } = value
  if (apiVersion !== 'kubelet.config.k8s.io/v1beta1' || kind !== 'KubeletConfiguration')
    throw new KubeletConfigurationError(
      `expected apiVersion kubelet.config.k8s.io/v1beta1 and kind KubeletConfiguration, found ${String(apiVersion)} and ${String(kind)}`,
    )
  const draft: Draft = {}
  const ignored: string[] = []
  for (const [name, said] of Object.entries(rest)) {
    const field = fields[name]
    if (said === null || said === undefined) continue
    if (field !== undefined)
      field(said, draft, (problem) => problems.push(`${name}${/^[.[]/.test(problem) ? problem : `: ${problem}`}`))
    else if (others.has(name)) ignored.push(name)
    else problems.push(`strict decoding error: unknown field "${name}"`)
  }
  if (draft.reservedMemory !== undefined && draft.memoryManagerPolicy !== 'Static') ignored.push('reservedMemory')
  if (merge === true) draft.evictionHard = { ...defaultKubeletConfig.evictionHard, ...draft.evictionHard }
  else if (typeof merge !== 'boolean' && merge !== undefined)
    problems.push('mergeDefaultEvictionSettings: expected true or false')
  problems.push(...contradictions(draft))
  if (problems.length > 0) throw new KubeletConfigurationError(problems.join('\n'))
  return { config: draft, ignored }
}
/** Throws KubeletConfigurationError where settings do not fit the machine: before anything of a node is begun. */
export function checkForMachine(config: KubeletSettings, machine: MachineFacts): void {
  const problems = machineProblems({ ...defaultKubeletConfig, ...config }, machine)
  if (problems.length > 0) throw new KubeletConfigurationError(problems.join('\n'))
}
function parseDocument(content: string): { readonly value: unknown; readonly duplicates: readonly string[] } {
  try {
    const { value, duplicates } = parseYaml(content, { duplicates: true })
    return { value, duplicates }
  } catch (error) {
    throw new KubeletConfigurationError(error instanceof Error ? error.message : String(error))
  }
}

/** Fields that do not go together. */
function contradictions(draft: Draft): string[] {
  const found: string[] = []
  const { imageGcHighPercent: high = 85, imageGcLowPercent: low = 80 } = draft
  if (low >= high) found.push('imageGCLowThresholdPercent: must be below imageGCHighThresholdPercent')
  for (const name of Object.keys(draft.evictionSoft ?? {}))
    if (draft.evictionSoftGraceMs?.[name] === undefined)
      found.push(`evictionSoft[${name}]: grace period must be specified for the soft eviction threshold`)
  const { shutdownGraceSeconds: grace = 0, shutdownGraceCriticalSeconds: critical = 0 } = draft
  if (critical > grace) found.push('shutdownGracePeriodCriticalPods: must not be longer than shutdownGracePeriod')
  if (grace > 0 && (draft.shutdownGraceByPriority?.length ?? 0) > 0)
    found.push('shutdownGracePeriodByPodPriority: cannot be set together with shutdownGracePeriod')
  const { enforceNodeAllocatable = [] } = draft
  for (const [key, field] of [
    ['system-reserved', 'systemReservedCgroup'],
    ['kube-reserved', 'kubeReservedCgroup'],
  ] as const)
    for (const name of [key, `${key}-compressible`])
      if (enforceNodeAllocatable.includes(name) && !draft[field])
        found.push(`${field}: must be specified when "${name}" contained in enforceNodeAllocatable`)
  if (draft.serializeImagePulls === true && (draft.maxParallelImagePulls ?? 1) > 1)
    found.push('maxParallelImagePulls: cannot be larger than 1 unless serializeImagePulls is false')
  if ((draft.fullPcpusOnly === true || draft.strictCpuReservation === true) && draft.cpuManagerPolicy !== 'static')
    found.push('cpuManagerPolicyOptions: the options need cpuManagerPolicy: static')
  return found
}
