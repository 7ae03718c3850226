// Generic ephemeral volumes: every such volume of a pod gets a claim that the pod owns, and that goes with it.
// (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes)
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { isPodTerminal, isTerminating } from './framework/pods.ts'
import { startReconciler } from './framework/reconciler.ts'

const ephemeralVolumes = (pod: Pod) => (pod.spec.volumes ?? []).filter(({ ephemeral }) => ephemeral !== undefined)
const isOf = (claim: PersistentVolumeClaim, pod: Pod): boolean =>
  claim.metadata.ownerReferences?.some(({ uid, controller }) => controller === true && uid === pod.metadata.uid) ===
  true

export const ephemeralVolumeController: Controller = {
  name: 'ephemeral-volume-controller',
  start(context) {
    const pods = context.informers.informer(podKind)
    const claims = context.informers.informer(persistentVolumeClaims)
    const recorder = recorderFor(context, 'ephemeral_volume')
    const reconciler = startReconciler({
      context,
      caches: [pods, claims],
      async reconcile(key, writes) {
        const pod = pods.byKey(key)
        if (pod === undefined || isTerminating(pod) || isPodTerminal(pod)) return
        const { name: podName, namespace = '', uid } = pod.metadata
        for (const { name: volume, ephemeral } of ephemeralVolumes(pod)) {
          const name = `${podName}-${volume}`
          const existing = claims.get(name, namespace)
          if (existing !== undefined) {
            if (isOf(existing, pod)) continue
            const why = `PVC ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)`
            recorder.event(pod, 'Warning', 'FailedToCreate', `ephemeral volume ${volume}: ${why}`)
            continue
          }
          const template = ephemeral?.volumeClaimTemplate
          if (template === undefined) continue
          const { labels, annotations } = template.metadata ?? {}
          await writes.create(persistentVolumeClaims, {
            metadata: {
              name,
              namespace,
              ...(labels === undefined ? {} : { labels }),
              ...(annotations === undefined ? {} : { annotations }),
              ownerReferences: [
                { apiVersion: 'v1', kind: 'Pod', name: podName, uid, controller: true, blockOwnerDeletion: true },
              ],
            },
            spec: template.spec,
          })
        }
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const consider = (pod: Pod) => {
      if (ephemeralVolumes(pod).length > 0) reconciler.enqueue(keyOf(pod))
    }
    /** A claim that is gone is made anew while its pod lives. */
    const claimGone = (claim: PersistentVolumeClaim) => {
      for (const owner of claim.metadata.ownerReferences ?? [])
        if (owner.kind === 'Pod' && owner.controller === true)
          reconciler.enqueue(`${claim.metadata.namespace ?? ''}/${owner.name}`)
    }
    const handlers = [pods.handle({ add: consider, update: consider }), claims.handle({ delete: claimGone })]
    return reconciler
  },
}
