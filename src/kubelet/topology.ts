// Which NUMA nodes a container's CPUs and devices come from, so that they are near each other
// (https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/). Each resource says by hints which sets of nodes
// could give it; the policy merges them and says whether the pod may run. Sets of nodes are bit masks.
import { podRequests } from '../api/core/pod-resources.ts'
import type { Cpus } from './cpus.ts'
import type { Devices } from './devices.ts'
import type { MemoryDraft, NumaMemory } from './numa-memory.ts'
import { amount } from './resources.ts'
import { better, type Hint, hintsFor, maskOf, size } from './topology-hints.ts'
import { type Container, isSidecar, lastingContainers, type Pod } from './types.ts'

export const topologyPolicies = ['none', 'best-effort', 'restricted', 'single-numa-node'] as const
export type TopologyPolicy = (typeof topologyPolicies)[number]
export type TopologyScope = 'container' | 'pod'

export interface Merged {
  /** Undefined: it does not matter. */
  readonly nodes: number | undefined
  readonly admit: boolean
}

/** `hints`: of each resource that cares. */
export function mergeHints(policy: TopologyPolicy, all: number, hints: readonly (readonly Hint[])[]): Merged {
  if (policy === 'none' || hints.length === 0) return { nodes: undefined, admit: true }
  const single = policy === 'single-numa-node'
  let merged: readonly Hint[] = [{ nodes: all, preferred: true }]
  for (const each of hints) {
    const usable = single ? each.filter((hint) => hint.preferred && size(hint.nodes) === 1) : each
    // What no set of nodes can give comes from anywhere, and is not as wished.
    const choices = usable.length === 0 ? [{ nodes: all, preferred: false }] : usable
    const next = new Map<string, Hint>()
    for (const one of merged)
      for (const other of choices) {
        const hint = { nodes: one.nodes & other.nodes, preferred: one.preferred && other.preferred }
        if (hint.nodes !== 0) next.set(`${hint.nodes} ${hint.preferred}`, hint)
      }
    merged = [...next.values()]
  }
  const best = [...merged].sort(better)[0] ?? { nodes: all, preferred: false }
  return { nodes: best.nodes, admit: policy === 'best-effort' || best.preferred }
}

export interface TopologyOptions {
  readonly policy: TopologyPolicy
  readonly scope: TopologyScope
  /** Numbers of the machine's NUMA nodes. */
  readonly nodes: readonly number[]
  readonly cpus: Cpus
  readonly memory: NumaMemory
  readonly devices: Devices
}

/** What is asked for, and what containers of the pod that come before have taken already. */
interface Placing {
  readonly wanted: (resource: string) => number
  readonly taken: ReadonlySet<number>
  readonly memory: MemoryDraft
}

export class Topology {
  readonly #options: TopologyOptions
  constructor(options: TopologyOptions) {
    this.#options = options
  }
  /** The nodes for each container of a pod, or undefined where it may not run. */
  admit(pod: Pod): ReadonlyMap<string, number> | undefined {
    const { policy, scope } = this.#options
    const found = new Map<string, number>()
    if (policy === 'none') return found
    const { initContainers = [] } = pod.spec
    const every = lastingContainers(pod.spec)
    const draft = this.#options.memory.draft(pod)
    if (scope === 'pod') {
      const requests = podRequests(pod.spec)
      const { nodes, admit } = this.#merge(pod, every, {
        wanted: (name) => amount(requests, name),
        taken: new Set(),
        memory: draft,
      })
      if (!admit) return undefined
      if (nodes !== undefined) for (const { name } of every) found.set(name, nodes)
      return found
    }
    /** CPUs of this pod's containers that come before: those of init containers are free again. */
    const taken = new Set<number>()
    for (const container of every) {
      const { requests, limits } = container.resources ?? {}
      const of = (name: string) => amount({ ...limits, ...requests }, name)
      const { nodes, admit } = this.#merge(pod, [container], { wanted: of, taken, memory: draft })
      if (!admit) return undefined
      if (nodes === undefined) continue
      found.set(container.name, nodes)
      if (initContainers.includes(container) && !isSidecar(container)) continue
      for (const cpu of this.#options.cpus.wouldTake(pod, container, nodes, taken)) taken.add(cpu)
      draft.take(container, nodes)
    }
    return found
  }

  #merge(pod: Pod, containers: readonly Container[], { wanted, taken, memory }: Placing): Merged {
    const { policy, nodes, cpus, devices } = this.#options
    const all = maskOf(nodes)
    const hints: (readonly Hint[])[] = []
    const exclusive = containers.some((container) => cpus.wants(pod, container))
    if (exclusive) hints.push(hintsFor(all, Math.ceil(wanted('cpu') / 1000), ...cpus.countsBy(taken)))
    for (const name of new Set(containers.flatMap((c) => Object.keys(c.resources?.limits ?? {})))) {
      const counts = devices.countsBy(name)
      if (counts !== undefined) hints.push(hintsFor(all, wanted(name), ...counts))
    }
    const ofMemory = memory.hints(containers)
    if (ofMemory !== undefined) hints.push(ofMemory)
    return mergeHints(policy, all, hints)
  }
}
