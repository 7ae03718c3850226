// How much nodes and their containers use, as averages over a window that ends now. A node is read when somebody asks and
// not otherwise: the window begins at a reading that an earlier question has left, or else the node is read twice.
import type { Clock } from '../../ports/clock.ts'
import { sleep } from '../../ports/clock.ts'
import type { NodeDialer } from '../../ports/node-api.ts'
import { type ContainerCounter, type NodeSample, readNodeSample, type UsageCounter } from './node-sample.ts'

/** Two questions so close together get the same answer. */
const freshMs = 1000
/** A window is as long as this where readings allow, and no longer than `keptMs`. */
const wantedMs = 10_000
const keptMs = 60_000

export interface Usage {
  readonly atMs: number
  readonly windowMs: number
  /** Nano-cores, averaged over the window. */
  readonly cpuNanoCores: number
  readonly memoryBytes: number
}
interface Reading {
  /** The server's monotonic clock. */
  readonly readMs: number
  readonly sample: NodeSample
}
/** The readings between which a node's usage is taken. */
export interface UsageWindow {
  readonly from: NodeSample
  readonly to: NodeSample
}

export class UsageWindows {
  readonly #clock: Clock
  readonly #nodes: NodeDialer
  readonly #readings = new Map<string, readonly Reading[]>()
  readonly #running = new Map<string, Promise<UsageWindow>>()
  constructor(clock: Clock, nodes: NodeDialer) {
    this.#clock = clock
    this.#nodes = nodes
  }

  /** The window of a node that ends now. Throws where the node cannot be asked. Takes a second for a node that nobody has
   * asked of for a minute. */
  window(node: string): Promise<UsageWindow> {
    const running = this.#running.get(node) ?? this.#take(node).finally(() => this.#running.delete(node))
    this.#running.set(node, running)
    return running
  }
  async #take(node: string): Promise<UsageWindow> {
    const known = this.#kept(node)
    const newest = known[0]
    const fresh = newest !== undefined && this.#clock.monotonic() - newest.readMs < freshMs
    if (!fresh || known.length < 2) {
      if (fresh) await sleep(this.#clock, freshMs - (this.#clock.monotonic() - newest.readMs))
      await this.#read(node)
      if (this.#kept(node).length < 2) {
        await sleep(this.#clock, freshMs)
        await this.#read(node)
      }
    }
    const [to, ...before] = this.#kept(node)
    const from = before.find(({ readMs }) => (to?.readMs ?? 0) - readMs >= wantedMs) ?? before.at(-1)
    if (to === undefined || from === undefined) throw new Error(`node ${node} was not read in time`)
    return { from: from.sample, to: to.sample }
  }
  /** Newest first. */
  #kept(node: string): readonly Reading[] {
    const nowMs = this.#clock.monotonic()
    return (this.#readings.get(node) ?? []).filter(({ readMs }) => nowMs - readMs < keptMs)
  }
  async #read(node: string): Promise<void> {
    const api = await this.#nodes.connect(node)
    const { status, body } = await api.request({ method: 'GET', path: '/metrics/resource' })
    const text = new TextDecoder().decode(body)
    if (status !== 200) throw new Error(`node ${node} answered ${status} to /metrics/resource: ${text.slice(0, 200)}`)
    const reading = { readMs: this.#clock.monotonic(), sample: readNodeSample(text, this.#clock.now()) }
    this.#readings.set(node, [reading, ...this.#kept(node)])
    for (const name of this.#readings.keys()) if (this.#kept(name).length === 0) this.#readings.delete(name)
  }
}

/** Undefined where there is nothing to compare with, or the counter was set back. */
function between(from: UsageCounter, to: UsageCounter): Usage | undefined {
  const windowMs = to.atMs - from.atMs
  if (windowMs <= 0 || to.cpuSeconds < from.cpuSeconds) return undefined
  const cpuNanoCores = Math.round(((to.cpuSeconds - from.cpuSeconds) * 1e12) / windowMs)
  return { atMs: to.atMs, windowMs, cpuNanoCores, memoryBytes: to.memoryBytes }
}
export const nodeUsage = ({ from, to }: UsageWindow): Usage | undefined =>
  from.node === undefined || to.node === undefined ? undefined : between(from.node, to.node)

/** Of a pod's containers by name; undefined unless all that run can be told. `pod` is NAMESPACE/NAME. */
export function podUsage({ from, to }: UsageWindow, pod: string): ReadonlyMap<string, Usage> | undefined {
  const containers = to.pods.get(pod)
  if (containers === undefined || containers.size === 0) return undefined
  const usages = new Map<string, Usage>()
  for (const [name, now] of containers) {
    const usage = between(startOf(from.pods.get(pod)?.get(name), now), now)
    if (usage === undefined) return undefined
    usages.set(name, usage)
  }
  return usages
}
/** A container that was started since counts from its start. */
const startOf = (before: ContainerCounter | undefined, now: ContainerCounter): UsageCounter =>
  before !== undefined && before.startedAtMs === now.startedAtMs
    ? before
    : { atMs: now.startedAtMs, cpuSeconds: 0, memoryBytes: 0 }
