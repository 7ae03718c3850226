// Taints keep pods away (NoSchedule, NoExecute) or repel them (PreferNoSchedule) unless they tolerate them.
import { tolerates, type Toleration } from '../../api/core/toleration.ts'
import { type PluginFactory, unresolvable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { normalizeLinear } from './normalize.ts'

const untolerated = unresolvable('node(s) had untolerated taint(s)')

function isTolerated(pod: PodInfo, node: NodeInfo): boolean {
  for (const taint of node.hardTaints)
    if (!pod.tolerations.some((toleration) => tolerates(toleration, taint))) return false
  return true
}

export const taintToleration: PluginFactory = {
  name: 'TaintToleration',
  create() {
    let preferred: readonly Toleration[] = []
    return {
      name: 'TaintToleration',
      signature: ({ tolerationsKey }) => tolerationsKey,
      filter: ({ pod }, node) => (node.hardTaints.length > 0 && !isTolerated(pod, node) ? untolerated : undefined),
      preScore({ pod, state }) {
        if (state.softTainted === 0) return 'skip'
        preferred = pod.tolerations.filter(({ effect }) => !effect || effect === 'PreferNoSchedule')
        return undefined
      },
      score(_cycle, node) {
        let repelling = 0
        for (const taint of node.softTaints)
          if (!preferred.some((toleration) => tolerates(toleration, taint))) repelling++
        return repelling
      },
      normalize: (_cycle, scores) => normalizeLinear(scores, { reverse: true }),
      hints: {
        node: (info, { change, node, differs }) => change !== 'delete' && differs.taints && isTolerated(info, node),
        pod: (_info, { pod, old }) => pod.tolerations.length !== old.tolerations.length,
      },
    }
  },
}
