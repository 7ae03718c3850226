// TaintNodesByCondition: a new node takes no pods until its conditions have been seen.
import type { Node } from '../../api/core/node.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { AdmissionPlugin } from './admission.ts'

const key = 'node.kubernetes.io/not-ready'
const effect = 'NoSchedule'

export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: ({ operation, resource, subresource }) =>
    operation === 'CREATE' && subresource === '' && resource.kind.plural === 'nodes' && resource.group === '',
  mutate({ object }) {
    const { spec } = object as unknown as Draft<Node>
    const taints = (spec.taints ??= [])
    if (!taints.some((taint) => taint.key === key && taint.effect === effect)) taints.push({ key, effect })
  },
}
