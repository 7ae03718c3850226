// What may let a refused pod through: the language in which the queue asks plugins.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { NodeChange } from '../state/cluster-state.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

export type Change = 'add' | 'update' | 'delete'
export type SchedulingEvent =
  | {
      readonly what: 'assignedPod'
      readonly change: Change
      /** As it is now, or was last. */
      readonly pod: PodInfo
      readonly old?: PodInfo
      readonly node: NodeInfo | undefined
    }
  | { readonly what: 'pod'; readonly pod: PodInfo; readonly old: PodInfo }
  | { readonly what: 'node'; readonly change: Change; readonly node: NodeInfo; readonly differs: NodeChange }
  | { readonly what: 'object'; readonly change: Change; readonly object: KubeObject; readonly old?: KubeObject }
  /** Everything may have changed: the periodic flush, or a plugin's own reasons. */
  | { readonly what: 'any' }
