// A pod that names its node fits only there.
import { type PluginFactory, unresolvable } from '../framework.ts'

const other = unresolvable("node(s) didn't match the requested node name")

export const nodeName: PluginFactory = {
  name: 'NodeName',
  create: () => ({
    name: 'NodeName',
    signature: ({ pod }) => pod.spec.nodeName ?? '',
    preFilter: ({ pod }) => (pod.pod.spec.nodeName ? undefined : 'skip'),
    filter: ({ pod }, node) => (pod.pod.spec.nodeName === node.name ? undefined : other),
    hints: { node: (info, { node, change }) => change === 'add' && info.pod.spec.nodeName === node.name },
  }),
}
