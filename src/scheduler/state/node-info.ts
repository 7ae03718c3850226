// A node as the scheduler sees it: what it offers, what its pods take, counted as they come and go.
import type { Node } from '../../api/core/node.ts'
import type { Taint } from '../../api/core/toleration.ts'
import type { Labels } from '../../api/machinery/labels.ts'
import { amountOf, Amounts, CPU, MEMORY, type ResourceNames } from './amounts.ts'
import type { HostPort, PodInfo } from './pod-info.ts'

const noLabels: Labels = {}
const noTaints: readonly Taint[] = []
const anyAddress = '0.0.0.0'

export class NodeInfo {
  readonly name: string
  /** Its place in columns; reused after the node is gone. */
  readonly slot: number
  /** Undefined while only pods speak of it. */
  node: Node | undefined
  labels: Labels = noLabels
  unschedulable = false
  /** Taints that keep pods away. */
  hardTaints: readonly Taint[] = noTaints
  /** Taints that only repel: PreferNoSchedule. */
  softTaints: readonly Taint[] = noTaints
  allocatable = new Amounts()
  cpu = 0
  memory = 0
  allowedPods = 0
  readonly requested = new Amounts()
  requestedCpu = 0
  requestedMemory = 0
  /** With an assumed request for every container that names none; for scores. */
  scoredCpu = 0
  scoredMemory = 0
  readonly pods = new Map<string, PodInfo>()
  /** Bytes by image name. */
  images: ReadonlyMap<string, number> = new Map()
  /** NAMESPACE/NAME of claims in use, with the number of pods that use them. */
  readonly claims = new Map<string, number>()
  /** The state's count of changes when this node last changed. */
  generation = 0
  private readonly ports = new Map<string, Map<string, number>>()

  constructor(name: string, slot: number) {
    this.name = name
    this.slot = slot
  }

  setNode(node: Node | undefined, names: ResourceNames): void {
    this.node = node
    this.labels = node?.metadata.labels ?? noLabels
    this.unschedulable = node?.spec.unschedulable ?? false
    const taints = node?.spec.taints ?? noTaints
    this.hardTaints = taints.filter(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute')
    this.softTaints = taints.filter(({ effect }) => effect === 'PreferNoSchedule')
    const offered = node?.status.allocatable ?? {}
    this.allocatable = new Amounts()
    this.allowedPods = 0
    for (const name in offered) {
      const text = offered[name] ?? '0'
      const id = names.idOf(name)
      if (name === 'pods') this.allowedPods = amountOf(id, text)
      else this.allocatable.set(id, amountOf(id, text))
    }
    this.cpu = this.allocatable.get(CPU)
    this.memory = this.allocatable.get(MEMORY)
    const images = new Map<string, number>()
    for (const { names: known, sizeBytes } of node?.status.images ?? [])
      for (const name of known ?? []) images.set(name, Number(sizeBytes ?? 0))
    this.images = images
  }

  add(pod: PodInfo): void {
    this.pods.set(pod.uid, pod)
    this.take(pod, 1)
  }
  remove(pod: PodInfo): void {
    this.pods.delete(pod.uid)
    this.take(pod, -1)
  }
  private take(pod: PodInfo, sign: 1 | -1): void {
    const { requests, ports, claims } = pod
    for (let i = 0; i < requests.ids.length; i++)
      this.requested.add(requests.ids[i] ?? 0, sign * (requests.amounts[i] ?? 0))
    this.requestedCpu += sign * requests.cpu
    this.requestedMemory += sign * requests.memory
    this.scoredCpu += sign * requests.scoredCpu
    this.scoredMemory += sign * requests.scoredMemory
    for (const port of ports) this.takePort(port, sign)
    for (const claim of claims) {
      const key = `${pod.namespace}/${claim}`
      const users = (this.claims.get(key) ?? 0) + sign
      if (users === 0) this.claims.delete(key)
      else this.claims.set(key, users)
    }
  }
  private takePort({ ip, port }: HostPort, sign: 1 | -1): void {
    let addresses = this.ports.get(port)
    if (addresses === undefined) this.ports.set(port, (addresses = new Map()))
    const users = (addresses.get(ip) ?? 0) + sign
    if (users > 0) addresses.set(ip, users)
    else addresses.delete(ip)
    if (addresses.size === 0) this.ports.delete(port)
  }
  /** True when a pod of the node uses the port on an address that meets this one. */
  usesPort({ ip, port }: HostPort): boolean {
    const addresses = this.ports.get(port)
    if (addresses === undefined) return false
    return ip === anyAddress || addresses.has(ip) || addresses.has(anyAddress)
  }
}
