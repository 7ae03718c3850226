// Whether this node takes a pod that the API has bound to it. The scheduler looked at the same things, but pods may name
// their node themselves, and the node may have changed since. A refused pod fails with the reason that users know.
import type { Node } from '../api/core/node.ts'
import { podFitsNode } from '../api/core/node-match.ts'
import { podRequests } from '../api/core/pod-resources.ts'
import { untoleratedTaint } from '../api/core/toleration.ts'
import type { RuntimeFeatures } from '../ports/container-runtime.ts'
import { noAppArmor } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import { refusedUnderPressure } from './eviction.ts'
import type { Pressure } from './node-status.ts'
import { amount } from './resources.ts'
import { portMappings } from './sandbox.ts'
import type { Waiting } from './status.ts'
import { everyContainer, isHostNetwork, lastingContainers, type Pod } from './types.ts'

export interface AdmissionFacts {
  /** Undefined while the node is not registered: then labels and taints are not looked at. */
  readonly node: Node | undefined
  readonly allocatable: Readonly<Record<string, string>>
  /** Pods that run here or are about to. */
  readonly others: readonly Pod[]
  readonly config: KubeletConfig
  readonly pressure: Pressure
  readonly features: RuntimeFeatures
  /** What the machine's kernel lacks. */
  readonly missing: readonly string[]
}

const refuse = (reason: string, message: string): Waiting => ({ reason, message: `Pod was rejected: ${message}` })
const predicate = (name: string, why: string): Waiting => refuse(name, `Predicate ${name} failed: ${why}`)

/** Host ports that the pod takes on the node, by protocol; on the host's network all its ports. */
function hostPorts(pod: Pod): readonly { ip: string; protocol: string; port: number }[] {
  if (!isHostNetwork(pod))
    return portMappings(pod).map(({ hostIP, protocol, hostPort }) => ({ ip: hostIP, protocol, port: hostPort }))
  return lastingContainers(pod.spec).flatMap((c) =>
    (c.ports ?? [])
      .filter((p) => p.hostPort)
      .map((p) => ({ ip: p.hostIP ?? '', protocol: p.protocol, port: p.hostPort ?? 0 })),
  )
}
const anywhere = (ip: string) => ip === '' || ip === '0.0.0.0' || ip === '::'
/** Whether a pod wants host ports that others have. */
export function portsConflict(pod: Pod, others: readonly Pod[]): boolean {
  const wanted = hostPorts(pod)
  if (wanted.length === 0) return false
  return others
    .flatMap(hostPorts)
    .some((taken) =>
      wanted.some(
        (w) =>
          w.port === taken.port &&
          w.protocol === taken.protocol &&
          (anywhere(w.ip) || anywhere(taken.ip) || w.ip === taken.ip),
      ),
    )
}

function outOf(pod: Pod, { others, allocatable }: AdmissionFacts): Waiting | undefined {
  const pods = amount(allocatable, 'pods')
  if (others.length + 1 > pods)
    return refuse(
      'OutOfpods',
      `Node didn't have enough resource: pods, requested: 1, used: ${others.length}, capacity: ${pods}`,
    )
  const requests = podRequests(pod.spec)
  for (const name of Object.keys(requests)) {
    const requested = amount(requests, name)
    // an extended resource that somebody wrote into the Node through the API is the scheduler's to count
    if (requested === 0 || (name.includes('/') && allocatable[name] === undefined)) continue
    const used = others.reduce((sum, other) => sum + amount(podRequests(other.spec), name), 0)
    const capacity = amount(allocatable, name)
    if (used + requested > capacity)
      return refuse(
        `OutOf${name}`,
        `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
      )
  }
  return undefined
}

/** Settings that are namespaced and harm nobody else. */
const safeSysctls = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]
const namespaced = { ipc: ['kernel.sem', 'kernel.shm', 'kernel.msg', 'fs.mqueue.'], net: ['net.'] }

/** Why a sysctl may not be set here, or undefined. Patterns of the configuration end with '*' for everything below. */
function forbiddenSysctl(pod: Pod, name: string, allowed: readonly string[]): string | undefined {
  const dotted = name.replaceAll('/', '.')
  const starts = (prefixes: readonly string[]) => prefixes.some((p) => dotted.startsWith(p))
  const isIpc = starts(namespaced.ipc) || dotted === 'kernel.shm_rmid_forced'
  const isNet = starts(namespaced.net)
  if (!safeSysctls.includes(dotted)) {
    const matches = (pattern: string) =>
      pattern.endsWith('*') ? dotted.startsWith(pattern.slice(0, -1)) : dotted === pattern
    if (!(isIpc || isNet) || !allowed.some(matches)) return `forbidden sysctl: "${dotted}" not allowlisted`
  }
  if (isNet && isHostNetwork(pod)) return `forbidden sysctl: "${dotted}" not allowed with host net enabled`
  if (isIpc && pod.spec.hostIPC) return `forbidden sysctl: "${dotted}" not allowed with host ipc enabled`
  return undefined
}

/** https://kubernetes.io/docs/tutorials/security/apparmor/ */
const wantsAppArmor = (pod: Pod): boolean =>
  everyContainer(pod.spec).some((container) => {
    const profile = container.securityContext?.appArmorProfile ?? pod.spec.securityContext?.appArmorProfile
    return profile !== undefined && profile.type !== 'Unconfined'
  })

/** Undefined: the pod may run here. */
export function refusePod(pod: Pod, facts: AdmissionFacts): Waiting | undefined {
  const { node, others, config } = facts
  const pressed = refusedUnderPressure(pod, facts.pressure)
  if (pressed !== undefined) return { reason: 'Evicted', message: `Pod was rejected: ${pressed}` }
  if (pod.spec.os !== undefined && pod.spec.os.name !== 'linux')
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" }
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const message = forbiddenSysctl(pod, name, config.allowedUnsafeSysctls)
    if (message !== undefined) return { reason: 'SysctlForbidden', message }
  }
  if (pod.spec.securityContext?.supplementalGroupsPolicy === 'Strict' && !facts.features.supplementalGroupsPolicy)
    return {
      reason: 'SupplementalGroupsPolicyNotSupported',
      message: 'SupplementalGroupsPolicy=Strict is not supported in this node',
    }
  if (facts.missing.includes(noAppArmor) && wantsAppArmor(pod))
    return { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' }
  if (node !== undefined) {
    if (!podFitsNode(pod, node)) return predicate('NodeAffinity', "node(s) didn't match Pod's node affinity/selector")
    const taint = untoleratedTaint(node.spec.taints, pod.spec.tolerations, ['NoExecute'])
    if (taint !== undefined) return predicate('TaintToleration', "node(s) had taints that the pod didn't tolerate")
  }
  if (portsConflict(pod, others))
    return predicate('NodePorts', "node(s) didn't have free ports for the requested pod ports")
  return outOf(pod, facts)
}
