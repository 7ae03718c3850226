// What the pod asks for must be free on the node; among fitting nodes the strategy prefers the empty, the full, or a shape
// of one's own.
import { deviceClasses } from '../../api/resource/resource.ts'
import { extendedResourcesOf, isLeftToClaims } from '../devices/extended-resources.ts'
import { type PluginFactory, type Rejection, unresolvable, unschedulable } from '../framework.ts'
import { EPHEMERAL_STORAGE, MEMORY, type ResourceNames } from '../state/amounts.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { createStrategy, type FitArgs } from './scoring-strategy.ts'

const tooManyPods = unschedulable('Too many pods')

/** True for a resource of which this plugin says nothing on the node. */
type Ignores = (id: number, node: NodeInfo) => boolean

function fits(pod: PodInfo, node: NodeInfo, ignores: Ignores): boolean {
  if (node.pods.size + 1 > node.allowedPods) return false
  const { ids, amounts, cpu, memory } = pod.requests
  if (cpu > node.cpu - node.requestedCpu && cpu > 0) return false
  if (memory > node.memory - node.requestedMemory && memory > 0) return false
  if (ids.length <= 2 && (ids[0] ?? 0) < 2 && (ids[1] ?? 0) < 2) return true
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? 0
    if (id <= MEMORY || (amounts[i] ?? 0) <= node.allocatable.get(id) - node.requested.get(id)) continue
    if (!ignores(id, node)) return false
  }
  return true
}

/** Rejections are few and repeat for thousands of nodes: one object for each set of reasons. */
class Reasons {
  private readonly known = new Map<string, Rejection>()
  of(pod: PodInfo, node: NodeInfo, names: ResourceNames, ignores: Ignores): Rejection {
    const reasons: string[] = []
    let hopeless = false
    if (node.pods.size + 1 > node.allowedPods) reasons.push('Too many pods')
    const { ids, amounts } = pod.requests
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] ?? 0
      const amount = amounts[i] ?? 0
      if (amount <= node.allocatable.get(id) - node.requested.get(id) || ignores(id, node)) continue
      reasons.push(`Insufficient ${names.nameOf(id)}`)
      if (amount > node.allocatable.get(id)) hopeless = true
    }
    const key = `${hopeless}${reasons.join('|')}`
    let rejection = this.known.get(key)
    if (rejection === undefined) {
      rejection = hopeless ? unresolvable(...reasons) : reasons.length === 0 ? tooManyPods : unschedulable(...reasons)
      this.known.set(key, rejection)
    }
    return rejection
  }
}

export const nodeResourcesFit: PluginFactory = {
  name: 'NodeResourcesFit',
  create({ state, informers }, args) {
    const fitArgs = (args ?? {}) as FitArgs
    const ignored = new Set((fitArgs.ignoredResources ?? []).map((name) => state.resources.idOf(name)))
    const groups = new Set(fitArgs.ignoredResourceGroups ?? [])
    const reasons = new Reasons()
    // DynamicResources finds devices for what a device class stands for and the node does not offer itself
    const extended = extendedResourcesOf(informers.informer(deviceClasses))
    const isExtended = (id: number) => extended.classFor(state.resources.nameOf(id)) !== undefined
    const ignores: Ignores = (id, node) => ignored.has(id) || (isLeftToClaims(node, id) && isExtended(id))
    const strategy = createStrategy(fitArgs, state.resources)
    const ignoreGroups = (pod: PodInfo) => {
      if (groups.size === 0) return
      for (const id of pod.requests.ids) {
        const name = state.resources.nameOf(id)
        if (id > MEMORY && groups.has(name.slice(0, Math.max(0, name.indexOf('/'))))) ignored.add(id)
      }
    }
    return {
      name: 'NodeResourcesFit',
      signature: ({ requests }) =>
        requests.ids.some((id) => id > EPHEMERAL_STORAGE) ? `${requests.key}/${extended.changes}` : requests.key,
      preFilter({ pod }) {
        ignoreGroups(pod)
        return undefined
      },
      filter: ({ pod }, node) =>
        fits(pod, node, ignores) ? undefined : reasons.of(pod, node, state.resources, ignores),
      score: ({ pod }, node) => strategy(pod, node),
      hints: {
        // the event is already in the state: ask whether the pod fits there now
        assignedPod: (info, { change, node }) => change !== 'add' && node !== undefined && fits(info, node, ignores),
        node: (info, { change, node, differs }) =>
          change !== 'delete' && (change === 'add' || differs.allocatable) && fits(info, node, ignores),
        object: ({ requests }, { object, change }) =>
          object.kind === 'DeviceClass' && change !== 'delete' && requests.ids.some(isExtended),
        pod: (_info, { pod, old }) => pod.requests.ids.some((id, i) => isLess(pod, old, id, i)),
      },
    }
  },
}
/** The pod asks for less of a resource than before. */
function isLess(pod: PodInfo, old: PodInfo, id: number, i: number): boolean {
  const before = old.requests.ids.indexOf(id)
  return before !== -1 && (pod.requests.amounts[i] ?? 0) < (old.requests.amounts[before] ?? 0)
}
