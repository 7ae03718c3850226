// Every built-in plugin, in the order in which a profile asks them unless it says otherwise, with the weight of its score.
import type { PluginFactory } from '../framework.ts'
import { defaultBinder } from './default-binder.ts'
import { defaultPreemption } from './default-preemption.ts'
import { dynamicResources } from './dynamic-resources.ts'
import { imageLocality } from './image-locality.ts'
import { interPodAffinity } from './inter-pod-affinity.ts'
import { nodeAffinity } from './node-affinity.ts'
import { nodeName } from './node-name.ts'
import { nodePorts } from './node-ports.ts'
import { nodeResourcesBalancedAllocation } from './node-resources-balanced-allocation.ts'
import { nodeResourcesFit } from './node-resources-fit.ts'
import { nodeUnschedulable } from './node-unschedulable.ts'
import { nodeVolumeLimits } from './node-volume-limits.ts'
import { podTopologySpread } from './pod-topology-spread.ts'
import { prioritySort } from './priority-sort.ts'
import { schedulingGates } from './scheduling-gates.ts'
import { taintToleration } from './taint-toleration.ts'
import { volumeBinding } from './volume-binding.ts'
import { volumeRestrictions } from './volume-restrictions.ts'
import { volumeZone } from './volume-zone.ts'

export interface WeightedPlugin {
  readonly factory: PluginFactory
  readonly weight: number
}
export const defaultPlugins: readonly WeightedPlugin[] = [
  { factory: schedulingGates, weight: 0 },
  { factory: prioritySort, weight: 0 },
  { factory: nodeUnschedulable, weight: 0 },
  { factory: nodeName, weight: 0 },
  { factory: taintToleration, weight: 3 },
  { factory: nodeAffinity, weight: 2 },
  { factory: nodePorts, weight: 0 },
  { factory: nodeResourcesFit, weight: 1 },
  { factory: dynamicResources, weight: 2 },
  { factory: defaultPreemption, weight: 0 },
  { factory: volumeRestrictions, weight: 0 },
  { factory: nodeVolumeLimits, weight: 0 },
  { factory: volumeBinding, weight: 0 },
  { factory: volumeZone, weight: 0 },
  { factory: podTopologySpread, weight: 2 },
  { factory: interPodAffinity, weight: 2 },
  { factory: nodeResourcesBalancedAllocation, weight: 1 },
  { factory: imageLocality, weight: 1 },
  { factory: defaultBinder, weight: 0 },
]
