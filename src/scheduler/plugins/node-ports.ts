// Host ports that the pod wants must be free on the node.
import { type PluginFactory, unschedulable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

const taken = unschedulable("node(s) didn't have free ports for the requested pod ports")

function hasConflict(pod: PodInfo, node: NodeInfo): boolean {
  for (const port of pod.ports) if (node.usesPort(port)) return true
  return false
}

export const nodePorts: PluginFactory = {
  name: 'NodePorts',
  create: () => ({
    name: 'NodePorts',
    signature: ({ ports }) => ports.map(({ ip, port }) => `${ip}/${port}`).join(),
    preFilter: ({ pod }) => (pod.ports.length === 0 ? 'skip' : undefined),
    filter: ({ pod }, node) => (hasConflict(pod, node) ? taken : undefined),
    hints: {
      assignedPod: (info, { change, pod, node }) =>
        change === 'delete' &&
        node !== undefined &&
        pod.ports.some((held) => info.ports.some((wanted) => wanted.port === held.port)) &&
        !hasConflict(info, node),
      node: (_info, { change }) => change === 'add',
    },
  }),
}
