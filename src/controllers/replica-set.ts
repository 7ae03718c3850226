// ReplicaSet: keeps N pods of a template. Pods of all ReplicaSets of one Deployment are spread together when some go.
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import { type ReplicaSet, replicaSets } from '../api/apps/replica-set.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { byControllerUid } from '../client/informer.ts'
import type { Controller, ControllerContext } from './framework/controller.ts'
import { controllerOf } from './framework/ownership.ts'
import { type ReplicaView, startReplicaController } from './framework/replicas.ts'

export const replicaSetView = ({ spec, status }: ReplicaSet): ReplicaView => ({
  replicas: spec.replicas ?? 1,
  minReadySeconds: spec.minReadySeconds ?? 0,
  matches: labelSelectorMatcher(spec.selector),
  template: spec.template,
  status,
})

const siblings = (context: ControllerContext) => {
  const setsByOwner = context.informers.informer(replicaSets).index(byControllerUid)
  const podsByOwner = context.informers.informer(pods).index(byControllerUid)
  return (set: ReplicaSet, own: readonly Pod[]): readonly Pod[] => {
    const owner = controllerOf(set)
    if (owner === undefined) return own
    return setsByOwner.get(owner.uid).flatMap((sibling) => podsByOwner.get(sibling.metadata.uid))
  }
}

export const replicaSetController: Controller = {
  name: 'replicaset-controller',
  start: (context) =>
    startReplicaController(context, {
      kind: replicaSets,
      component: 'replicaset-controller',
      view: replicaSetView,
      withStatus: (set, status) => ({ ...set, status }),
      related: siblings,
      countsTerminating: true,
    }),
}
