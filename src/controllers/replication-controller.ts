// ReplicationController: the ReplicaSet's elder; its selector is a plain map of labels.
import { matchesSelector, selectorOfLabels } from '../api/machinery/labels.ts'
import { type ReplicationController, replicationControllers } from '../api/core/replication-controller.ts'
import type { Controller } from './framework/controller.ts'
import { type ReplicaView, startReplicaController } from './framework/replicas.ts'

export function replicationControllerView({ spec, status }: ReplicationController): ReplicaView | undefined {
  if (spec.template === undefined) return undefined
  const selector = selectorOfLabels(spec.selector ?? {})
  return {
    replicas: spec.replicas ?? 1,
    minReadySeconds: spec.minReadySeconds ?? 0,
    // An empty selector selects nothing here, unlike a ReplicaSet's.
    matches: (labels) => selector.length > 0 && matchesSelector(selector, labels),
    template: spec.template,
    status,
  }
}

export const replicationControllerController: Controller = {
  name: 'replicationcontroller-controller',
  start: (context) =>
    startReplicaController(context, {
      kind: replicationControllers,
      component: 'replication-controller',
      view: replicationControllerView,
      withStatus: (controller, { terminatingReplicas: _notHere, ...status }) => ({ ...controller, status }),
      countsTerminating: false,
    }),
}
