// What the node says of itself: capacity, what pods may use of it, conditions with the reasons that users know, images.
// Pure; node-agent.ts asks the ports and writes.
import type { Node } from '../api/core/node.ts'
import { canonicalQuantity } from '../api/machinery/quantity.ts'
import { rfc3339 } from '../ports/clock.ts'
import type { RuntimeCondition, RuntimeFeatures, RuntimeImage } from '../ports/container-runtime.ts'
import type { MachineFacts } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import { amount, hugepageResource, reservedAmount } from './resources.ts'

type NodeCondition = NonNullable<Node['status']['conditions']>[number]
type NodeImage = NonNullable<Node['status']['images']>[number]
export type Amounts = Readonly<Record<string, string>>

export interface Pressure {
  readonly memory: boolean
  readonly disk: boolean
  readonly pid: boolean
}
export const noPressure: Pressure = { memory: false, disk: false, pid: false }

export interface NodeFacts {
  readonly machine: MachineFacts
  readonly config: KubeletConfig
  readonly nodeName: string
  /** 'containerd://1.6.20' */
  readonly runtimeVersion: string
  readonly runtimeFeatures: RuntimeFeatures
  readonly runtimeConditions: readonly RuntimeCondition[]
  /** Why the runtime's list cannot be read, if it cannot. */
  readonly runtimeError: string | undefined
  readonly diskBytes: number
  readonly pressure: Pressure
  /** The machine is about to go down. */
  readonly goingDown?: boolean
  readonly images: readonly RuntimeImage[]
  /** Resources that device plugins offer. */
  readonly devices: Readonly<Record<string, { readonly capacity: number; readonly allocatable: number }>>
  readonly nowMs: number
}

/** Canonical, as the server gives it back: what differs in writing alone would be reported for ever. */
const kibibytes = (bytes: number) => canonicalQuantity(`${Math.floor(bytes / 1024)}Ki`)

export function capacityOf(facts: Pick<NodeFacts, 'machine' | 'config' | 'diskBytes' | 'devices'>): Amounts {
  const { machine, config } = facts
  const capacity: Record<string, string> = {
    cpu: String(machine.cpuCount),
    memory: kibibytes(machine.memoryBytes),
    pods: String(
      config.podsPerCore === 0 ? config.maxPods : Math.min(config.maxPods, config.podsPerCore * machine.cpuCount),
    ),
    'ephemeral-storage': kibibytes(facts.diskBytes),
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
  }
  for (const { pageSize, bytes } of machine.hugepages) capacity[hugepageResource(pageSize)] = kibibytes(bytes)
  for (const [name, { capacity: count }] of Object.entries(facts.devices)) capacity[name] = String(count)
  return capacity
}

/** Capacity without what is reserved and what eviction keeps free. */
export function allocatableOf(capacity: Amounts, facts: Pick<NodeFacts, 'config' | 'devices'>): Amounts {
  const { evictionHard } = facts.config
  const allocatable: Record<string, string> = {}
  for (const [name, text] of Object.entries(capacity)) {
    const total = amount(capacity, name)
    let reserved = reservedAmount(facts.config, name)
    if (name === 'memory') reserved += thresholdAmount(evictionHard['memory.available'], total)
    if (name === 'ephemeral-storage') reserved += thresholdAmount(evictionHard['nodefs.available'], total)
    if (reserved === 0 && name !== 'ephemeral-storage') allocatable[name] = text
    else if (name === 'cpu') allocatable[name] = canonicalQuantity(`${Math.max(0, total - reserved)}m`)
    else if (name === 'memory') allocatable[name] = kibibytes(Math.max(0, total - reserved))
    else allocatable[name] = canonicalQuantity(String(Math.max(0, Math.floor(total - reserved))))
  }
  for (const [name, { allocatable: count }] of Object.entries(facts.devices)) allocatable[name] = String(count)
  return allocatable
}
/** Of an eviction threshold such as "100Mi" or "10%". */
export function thresholdAmount(text: string | undefined, total: number): number {
  if (text === undefined) return 0
  if (text.endsWith('%')) return Math.floor((total * Number(text.slice(0, -1))) / 100)
  return amount({ memory: text }, 'memory')
}

interface Verdict {
  readonly type: string
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}
const pressureVerdict = (
  type: string,
  under: boolean,
  bad: readonly [string, string],
  good: readonly [string, string],
): Verdict => {
  const [reason, message] = under ? bad : good
  return { type, status: under ? 'True' : 'False', reason, message }
}
function readyVerdict(facts: NodeFacts): Verdict {
  const errors: string[] = facts.goingDown === true ? ['node is shutting down'] : []
  if (facts.runtimeError !== undefined) errors.push(`container runtime is down: ${facts.runtimeError}`)
  for (const { type, status, reason, message } of facts.runtimeConditions) {
    if (status) continue
    if (type === 'RuntimeReady')
      errors.push(`container runtime status check may not have completed yet: ${reason} ${message}`)
    if (type === 'NetworkReady')
      errors.push(`container runtime network not ready: NetworkReady=false reason:${reason} message:${message}`)
  }
  if (errors.length === 0)
    return { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
  const message = errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]`
  return { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message }
}

export function nodeConditions(facts: NodeFacts, old: readonly NodeCondition[]): NodeCondition[] {
  const { memory, disk, pid } = facts.pressure
  const verdicts = [
    pressureVerdict(
      'MemoryPressure',
      memory,
      ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'],
      ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ),
    pressureVerdict(
      'DiskPressure',
      disk,
      ['KubeletHasDiskPressure', 'kubelet has disk pressure'],
      ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ),
    pressureVerdict(
      'PIDPressure',
      pid,
      ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available'],
      ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ),
    readyVerdict(facts),
  ]
  return verdicts.map((verdict) => {
    const before = old.find((c) => c.type === verdict.type)
    const now = rfc3339(facts.nowMs)
    const since = before?.status === verdict.status ? (before.lastTransitionTime ?? now) : now
    return { ...verdict, lastHeartbeatTime: now, lastTransitionTime: since }
  })
}

const maxNamesPerImage = 5
/** The biggest ones; -1 for all. */
export function nodeImages(images: readonly RuntimeImage[], most: number): NodeImage[] {
  return [...images]
    .sort((a, b) => b.sizeBytes - a.sizeBytes || (a.id < b.id ? -1 : 1))
    .slice(0, most === -1 ? images.length : most)
    .map(({ repoDigests, repoTags, sizeBytes }) => ({
      names: [...repoDigests, ...repoTags].slice(0, maxNamesPerImage),
      sizeBytes,
    }))
}

/** Labels that every node carries. */
export const nodeLabels = (facts: Pick<NodeFacts, 'machine' | 'config' | 'nodeName'>): Record<string, string> => ({
  'beta.kubernetes.io/arch': facts.machine.architecture,
  'beta.kubernetes.io/os': facts.machine.operatingSystem,
  'kubernetes.io/arch': facts.machine.architecture,
  'kubernetes.io/hostname': facts.nodeName,
  'kubernetes.io/os': facts.machine.operatingSystem,
  ...facts.config.nodeLabels,
})

/** The whole status. `old` gives what others wrote (attached volumes) and since when conditions hold. */
export function nodeStatus(facts: NodeFacts, old: Node['status'] | undefined): Node['status'] {
  const { machine, config } = facts
  const capacity = capacityOf(facts)
  return {
    ...old,
    addresses: [
      ...machine.addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: facts.nodeName },
    ],
    capacity,
    allocatable: allocatableOf(capacity, facts),
    conditions: nodeConditions(facts, old?.conditions ?? []),
    daemonEndpoints: { kubeletEndpoint: { Port: config.port } },
    nodeInfo: {
      architecture: machine.architecture,
      bootID: machine.bootId,
      containerRuntimeVersion: facts.runtimeVersion,
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: '',
      kubeletVersion: config.version,
      machineID: machine.machineId,
      operatingSystem: machine.operatingSystem,
      osImage: machine.osImage,
      systemUUID: machine.systemUuid,
      ...(machine.swapBytes === 0 ? {} : { swap: { capacity: machine.swapBytes } }),
    },
    images: nodeImages(facts.images, facts.config.nodeStatusMaxImages),
    runtimeHandlers: facts.runtimeFeatures.handlers.map(({ name, ...features }) => ({ name, features })),
    features: { supplementalGroupsPolicy: facts.runtimeFeatures.supplementalGroupsPolicy },
  }
}
