// The Pod Security Standards as a list of checks: what each forbids, and the sentence that says so.
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/)
import type { PodSpec } from '../../api/core/pod-spec.ts'
import type { PartialObjectMeta } from '../../api/machinery/meta.ts'

export type Level = 'privileged' | 'baseline' | 'restricted'
/** A pod or the template of one. */
export interface PodView {
  readonly metadata?: PartialObjectMeta
  readonly spec: PodSpec
}
interface Check {
  readonly level: 'baseline' | 'restricted'
  /** Undefined when the pod keeps it. A restricted check may stand for a baseline one of the same subject. */
  readonly run: (pod: PodView) => string | undefined
  readonly replaces?: string
  readonly id: string
}
type Container = PodSpec['containers'][number]

const containersOf = ({ spec }: PodView): readonly Container[] => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
  ...((spec.ephemeralContainers ?? []) as unknown as readonly Container[]),
]
const quoted = (values: readonly string[]): string => values.map((value) => JSON.stringify(value)).join(', ')
const plural = (word: string, count: number): string => (count === 1 ? word : `${word}s`)
/** "container "a"", "containers "a", "b"". */
const containers = (list: readonly Container[]): string =>
  `${plural('container', list.length)} ${quoted(list.map((c) => c.name))}`
const unique = (values: readonly string[]): string[] => [...new Set(values)].sort()

const baselineCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
])
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
])
const seLinuxTypes = new Set(['', 'container_engine_t', 'container_init_t', 'container_kvm_t', 'container_t'])
const restrictedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
])
const appArmorPrefix = 'container.apparmor.security.beta.kubernetes.io/'

const checks: readonly Check[] = [
  {
    id: 'hostNamespaces',
    level: 'baseline',
    run({ spec }) {
      const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name] === true)
      return used.length === 0 ? undefined : `host namespaces (${used.map((name) => `${name}=true`).join(', ')})`
    },
  },
  {
    id: 'privileged',
    level: 'baseline',
    run(pod) {
      const bad = containersOf(pod).filter((c) => c.securityContext?.privileged === true)
      return bad.length === 0
        ? undefined
        : `privileged (${containers(bad)} must not set securityContext.privileged=true)`
    },
  },
  {
    id: 'capabilities_baseline',
    level: 'baseline',
    run(pod) {
      const added = (c: Container) =>
        (c.securityContext?.capabilities?.add ?? []).filter((name) => !baselineCapabilities.has(name))
      const bad = containersOf(pod).filter((c) => added(c).length > 0)
      return bad.length === 0
        ? undefined
        : `non-default capabilities (${containers(bad)} must not include ${quoted(unique(bad.flatMap(added)))} in securityContext.capabilities.add)`
    },
  },
  {
    id: 'hostPathVolumes',
    level: 'baseline',
    run({ spec }) {
      const bad = (spec.volumes ?? []).filter((v) => v.hostPath !== undefined)
      return bad.length === 0
        ? undefined
        : `hostPath volumes (${plural('volume', bad.length)} ${quoted(bad.map((v) => v.name))})`
    },
  },
  {
    id: 'hostPorts',
    level: 'baseline',
    run(pod) {
      const portsOf = (c: Container) => (c.ports ?? []).map((p) => p.hostPort ?? 0).filter((port) => port !== 0)
      const bad = containersOf(pod).filter((c) => portsOf(c).length > 0)
      if (bad.length === 0) return undefined
      const ports = [...new Set(bad.flatMap(portsOf))].sort((a, b) => a - b)
      return `hostPort (${containers(bad)} ${bad.length === 1 ? 'uses' : 'use'} ${plural('hostPort', ports.length)} ${ports.join(', ')})`
    },
  },
  {
    id: 'hostProbes',
    level: 'baseline',
    run(pod) {
      const hostsOf = (c: Container) =>
        [
          c.livenessProbe?.httpGet?.host,
          c.livenessProbe?.tcpSocket?.host,
          c.readinessProbe?.httpGet?.host,
          c.readinessProbe?.tcpSocket?.host,
          c.startupProbe?.httpGet?.host,
          c.startupProbe?.tcpSocket?.host,
          c.lifecycle?.postStart?.httpGet?.host,
          c.lifecycle?.preStop?.httpGet?.host,
        ].filter((host): host is string => host !== undefined && host !== '')
      const bad = containersOf(pod).filter((c) => hostsOf(c).length > 0)
      return bad.length === 0
        ? undefined
        : `probe or lifecycle host (${containers(bad)} ${bad.length === 1 ? 'uses' : 'use'} probe or lifecycle ${plural('host', unique(bad.flatMap(hostsOf)).length)} ${quoted(unique(bad.flatMap(hostsOf)))})`
    },
  },
  {
    id: 'procMount',
    level: 'baseline',
    run(pod) {
      if (pod.spec.hostUsers === false) return undefined
      const bad = containersOf(pod).filter((c) => (c.securityContext?.procMount ?? 'Default') !== 'Default')
      const types = unique(bad.map((c) => c.securityContext?.procMount ?? ''))
      return bad.length === 0
        ? undefined
        : `procMount (${containers(bad)} must not set securityContext.procMount to ${quoted(types)})`
    },
  },
  { id: 'seLinuxOptions', level: 'baseline', run: seLinux },
  { id: 'appArmorProfile', level: 'baseline', run: appArmor },
  {
    id: 'seccompProfile_baseline',
    level: 'baseline',
    run(pod) {
      const setters: string[] = []
      if (pod.spec.securityContext?.seccompProfile?.type === 'Unconfined') setters.push('pod')
      const bad = containersOf(pod).filter((c) => c.securityContext?.seccompProfile?.type === 'Unconfined')
      if (bad.length > 0) setters.push(containers(bad))
      return setters.length === 0
        ? undefined
        : `seccompProfile (${setters.join(' and ')} must not set securityContext.seccompProfile.type to "Unconfined")`
    },
  },
  {
    id: 'sysctls',
    level: 'baseline',
    run({ spec }) {
      const bad = (spec.securityContext?.sysctls ?? []).map((s) => s.name).filter((name) => !safeSysctls.has(name))
      return bad.length === 0 ? undefined : `forbidden sysctls (${bad.join(', ')})`
    },
  },
  {
    id: 'windowsHostProcess',
    level: 'baseline',
    run(pod) {
      const setters: string[] = []
      const bad = containersOf(pod).filter((c) => c.securityContext?.windowsOptions?.hostProcess === true)
      if (pod.spec.securityContext?.windowsOptions?.hostProcess === true) setters.push('pod')
      if (bad.length > 0) setters.push(containers(bad))
      return setters.length === 0
        ? undefined
        : `hostProcess (${setters.join(' and ')} must not set securityContext.windowsOptions.hostProcess=true)`
    },
  },
  {
    id: 'restrictedVolumes',
    level: 'restricted',
    replaces: 'hostPathVolumes',
    run({ spec }) {
      const typeOf = (volume: object) => Object.keys(volume).find((key) => key !== 'name') ?? 'emptyDir'
      const bad = (spec.volumes ?? []).filter((v) => !restrictedVolumes.has(typeOf(v)))
      return bad.length === 0
        ? undefined
        : `restricted volume types (${plural('volume', bad.length)} ${quoted(bad.map((v) => v.name))} ${bad.length === 1 ? 'uses' : 'use'} restricted volume ${plural('type', unique(bad.map(typeOf)).length)} ${quoted(unique(bad.map(typeOf)))})`
    },
  },
  {
    id: 'allowPrivilegeEscalation',
    level: 'restricted',
    run(pod) {
      if (isWindows(pod)) return undefined
      const bad = containersOf(pod).filter((c) => c.securityContext?.allowPrivilegeEscalation !== false)
      return bad.length === 0
        ? undefined
        : `allowPrivilegeEscalation != false (${containers(bad)} must set securityContext.allowPrivilegeEscalation=false)`
    },
  },
  {
    id: 'capabilities_restricted',
    level: 'restricted',
    replaces: 'capabilities_baseline',
    run: restrictedCapabilities,
  },
  { id: 'runAsNonRoot', level: 'restricted', run: runAsNonRoot },
  {
    id: 'runAsUser',
    level: 'restricted',
    run(pod) {
      if (pod.spec.hostUsers === false) return undefined
      const setters: string[] = []
      if (pod.spec.securityContext?.runAsUser === 0) setters.push('pod')
      const bad = containersOf(pod).filter((c) => c.securityContext?.runAsUser === 0)
      if (bad.length > 0) setters.push(containers(bad))
      return setters.length === 0 ? undefined : `runAsUser=0 (${setters.join(' and ')} must not set runAsUser=0)`
    },
  },
  { id: 'seccompProfile_restricted', level: 'restricted', replaces: 'seccompProfile_baseline', run: restrictedSeccomp },
]

const isWindows = ({ spec }: PodView): boolean => spec.os?.name === 'windows'

function seLinux(pod: PodView): string | undefined {
  const all = [
    { name: 'pod', options: pod.spec.securityContext?.seLinuxOptions },
    ...containersOf(pod).map((c) => ({ name: c.name, options: c.securityContext?.seLinuxOptions })),
  ]
  const bad = all.filter(
    ({ options }) =>
      options !== undefined &&
      (!seLinuxTypes.has(options.type ?? '') || (options.user ?? '') !== '' || (options.role ?? '') !== ''),
  )
  if (bad.length === 0) return undefined
  const types = unique(bad.map(({ options }) => options?.type ?? '').filter((type) => !seLinuxTypes.has(type)))
  const words: string[] = []
  if (types.length > 0) words.push(`${plural('type', types.length)} ${quoted(types)}`)
  if (bad.some(({ options }) => (options?.user ?? '') !== '')) words.push('user may not be set')
  if (bad.some(({ options }) => (options?.role ?? '') !== '')) words.push('role may not be set')
  const isPod = bad[0] === all[0]
  const named = bad.filter((b) => b !== all[0]).map((b) => b.name)
  const setters = [
    ...(isPod ? ['pod'] : []),
    ...(named.length > 0 ? [`${plural('container', named.length)} ${quoted(named)}`] : []),
  ]
  return `seLinuxOptions (${setters.join(' and ')} set forbidden securityContext.seLinuxOptions: ${words.join('; ')})`
}

function appArmor(pod: PodView): string | undefined {
  const setters: string[] = []
  const values: string[] = []
  const unconfined = (profile: { readonly type: string } | undefined) => profile?.type === 'Unconfined'
  if (unconfined(pod.spec.securityContext?.appArmorProfile))
    setters.push('pod must not set AppArmor profile type to "Unconfined"')
  const bad = containersOf(pod).filter((c) => unconfined(c.securityContext?.appArmorProfile))
  if (bad.length > 0) setters.push(`${containers(bad)} must not set AppArmor profile type to "Unconfined"`)
  for (const [key, value] of Object.entries(pod.metadata?.annotations ?? {})) {
    const allowed = value === '' || value === 'runtime/default' || value.startsWith('localhost/')
    if (key.startsWith(appArmorPrefix) && !allowed) values.push(`${key}=${JSON.stringify(value)}`)
  }
  if (values.length > 0) setters.push(`${plural('annotation', values.length)} ${values.sort().join(', ')}`)
  if (setters.length === 0) return undefined
  return `forbidden AppArmor ${plural('profile', setters.length)} (${setters.join(' and ')})`
}

function restrictedCapabilities(pod: PodView): string | undefined {
  if (isWindows(pod)) return undefined
  const all = containersOf(pod)
  const added = (c: Container) =>
    (c.securityContext?.capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE')
  const undropped = all.filter((c) => !(c.securityContext?.capabilities?.drop ?? []).includes('ALL'))
  const adding = all.filter((c) => added(c).length > 0)
  if (undropped.length === 0 && adding.length === 0) return undefined
  const parts: string[] = []
  if (undropped.length > 0) parts.push(`${containers(undropped)} must set securityContext.capabilities.drop=["ALL"]`)
  if (adding.length > 0) {
    parts.push(
      `${containers(adding)} must not include ${quoted(unique(adding.flatMap(added)))} in securityContext.capabilities.add`,
    )
  }
  return `unrestricted capabilities (${parts.join('; ')})`
}

function runAsNonRoot(pod: PodView): string | undefined {
  if (pod.spec.hostUsers === false) return undefined
  const podSays = pod.spec.securityContext?.runAsNonRoot
  const all = containersOf(pod)
  const explicitlyBad = all.filter((c) => c.securityContext?.runAsNonRoot === false)
  const silent = all.filter((c) => c.securityContext?.runAsNonRoot === undefined)
  const setters: string[] = []
  if (podSays === false) setters.push('pod')
  if (explicitlyBad.length > 0) setters.push(containers(explicitlyBad))
  if (setters.length > 0)
    return `runAsNonRoot != true (${setters.join(' and ')} must not set securityContext.runAsNonRoot=false)`
  if (podSays !== true && silent.length > 0) {
    return `runAsNonRoot != true (pod or ${containers(silent)} must set securityContext.runAsNonRoot=true)`
  }
  return undefined
}

function restrictedSeccomp(pod: PodView): string | undefined {
  if (isWindows(pod)) return undefined
  const good = (type: string | undefined) => type === 'RuntimeDefault' || type === 'Localhost'
  const podType = pod.spec.securityContext?.seccompProfile?.type
  const all = containersOf(pod)
  const explicitlyBad = all.filter((c) => {
    const type = c.securityContext?.seccompProfile?.type
    return type !== undefined && !good(type)
  })
  const silent = all.filter((c) => c.securityContext?.seccompProfile === undefined)
  const setters: string[] = []
  if (podType !== undefined && !good(podType)) setters.push('pod')
  if (explicitlyBad.length > 0) setters.push(containers(explicitlyBad))
  if (setters.length > 0) {
    return `seccompProfile (${setters.join(' and ')} must not set securityContext.seccompProfile.type to "Unconfined")`
  }
  if (!good(podType) && silent.length > 0) {
    return `seccompProfile (pod or ${containers(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`
  }
  return undefined
}

/** What a pod does that a level forbids, a sentence each, in order. */
export function violationsOf(pod: PodView, level: Level): string[] {
  if (level === 'privileged') return []
  const asked = checks.filter((check) => level === 'restricted' || check.level === 'baseline')
  const found = asked.flatMap((check) => {
    const text = check.run(pod)
    return text === undefined ? [] : [{ check, text }]
  })
  const replaced = new Set(found.map(({ check }) => check.replaces))
  return found.filter(({ check }) => !replaced.has(check.id)).map(({ text }) => text)
}
