// A cordoned node takes only pods that tolerate it.
import { tolerates } from '../../api/core/toleration.ts'
import { type PluginFactory, unresolvable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

const cordoned = unresolvable('node(s) were unschedulable')
const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule', value: '' }

const isOpen = (pod: PodInfo, node: NodeInfo): boolean =>
  !node.unschedulable || pod.tolerations.some((toleration) => tolerates(toleration, taint))

export const nodeUnschedulable: PluginFactory = {
  name: 'NodeUnschedulable',
  create: () => ({
    name: 'NodeUnschedulable',
    signature: ({ tolerationsKey }) => tolerationsKey,
    filter: ({ pod }, node) => (node.unschedulable && !isOpen(pod, node) ? cordoned : undefined),
    hints: {
      node: (info, { change, node, differs }) => change !== 'delete' && differs.taints && isOpen(info, node),
      pod: (_info, { pod, old }) => pod.tolerations.length !== old.tolerations.length,
    },
  }),
}
