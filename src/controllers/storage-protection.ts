// Claims, volumes and attribute classes in use are not lost: a deleted one waits under a finalizer until nobody uses it
// (KEP: PVC and PV protection, VAC protection). The three controllers differ only in what counts as use.
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { type PersistentVolume, persistentVolumes } from '../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { volumeAttributesClasses } from '../api/storage/storage.ts'
import { type IndexBy, keyFor, keyOf } from '../client/informer.ts'
import type { Controller, ControllerContext } from './framework/controller.ts'
import { isPodTerminal } from './framework/pods.ts'
import { type Cache, startReconciler } from './framework/reconciler.ts'

/** Keys of the claims that a pod mounts, generic ephemeral ones included; none once the pod has ended. */
export const claimsOf: IndexBy<Pod> = (pod) =>
  isPodTerminal(pod)
    ? []
    : (pod.spec.volumes ?? []).flatMap((volume) => {
        if (volume.persistentVolumeClaim !== undefined)
          return [keyFor(volume.persistentVolumeClaim.claimName, pod.metadata.namespace)]
        return volume.ephemeral === undefined
          ? []
          : [keyFor(`${pod.metadata.name}-${volume.name}`, pod.metadata.namespace)]
      })
/** Names of the attribute classes that a claim wants or has. */
const classesOf: IndexBy<PersistentVolumeClaim> = ({ spec, status }) =>
  [spec.volumeAttributesClassName, status.currentVolumeAttributesClassName].filter((n): n is string => (n ?? '') !== '')
const classesOfVolume: IndexBy<PersistentVolume> = ({ spec }) =>
  (spec.volumeAttributesClassName ?? '') === '' ? [] : [spec.volumeAttributesClassName ?? '']

interface Protection<T extends KubeObject> {
  readonly name: string
  readonly kind: Kind<T>
  readonly finalizer: string
  /** Watches the users; answers whether `object` is in use, and what to call when users change. */
  readonly users: (
    context: ControllerContext,
    recheck: (key: string) => void,
  ) => { readonly caches: readonly Cache[]; readonly inUse: (object: T) => boolean; readonly stop: () => void }
}

function protection<T extends KubeObject>({ name, kind, finalizer, users }: Protection<T>): Controller {
  return {
    name,
    start(context) {
      const objects = context.informers.informer(kind)
      const watched = users(context, (key) => reconciler.enqueue(key))
      const reconciler = startReconciler({
        context,
        caches: [objects, ...watched.caches],
        async reconcile(key, writes) {
          const object = objects.byKey(key)
          if (object?.metadata.deletionTimestamp === undefined || watched.inUse(object)) return
          const { finalizers = [] } = object.metadata
          if (!finalizers.includes(finalizer)) return
          const left = finalizers.filter((one) => one !== finalizer)
          await writes.update(kind, { ...object, metadata: { ...object.metadata, finalizers: left } })
        },
        onStop() {
          off()
          watched.stop()
        },
      })
      const enqueue = (object: T) => {
        if (object.metadata.deletionTimestamp !== undefined) reconciler.enqueue(keyOf(object))
      }
      const off = objects.handle({ add: enqueue, update: enqueue })
      return reconciler
    },
  }
}

export const claimProtection = protection<PersistentVolumeClaim>({
  name: 'persistentvolumeclaim-protection-controller',
  kind: persistentVolumeClaims,
  finalizer: 'kubernetes.io/pvc-protection',
  users({ informers }, recheck) {
    const pods = informers.informer(podKind)
    const byClaim = pods.index(claimsOf)
    const released = (pod: Pod, now?: Pod) => {
      const still = now === undefined ? [] : claimsOf(now)
      for (const key of claimsOf(pod)) if (!still.includes(key)) recheck(key)
    }
    return {
      caches: [pods],
      inUse: (claim) => byClaim.has(keyOf(claim)),
      stop: pods.handle({ update: (now, before) => released(before, now), delete: (pod) => released(pod) }),
    }
  },
})

export const volumeProtection = protection<PersistentVolume>({
  name: 'persistentvolume-protection-controller',
  kind: persistentVolumes,
  finalizer: 'kubernetes.io/pv-protection',
  users: () => ({ caches: [], inUse: (volume) => volume.status.phase === 'Bound', stop: () => {} }),
})

export const attributesClassProtection = protection({
  name: 'volumeattributesclass-protection-controller',
  kind: volumeAttributesClasses,
  finalizer: 'kubernetes.io/vac-protection',
  users({ informers }, recheck) {
    const claims = informers.informer(persistentVolumeClaims)
    const volumes = informers.informer(persistentVolumes)
    const byClass = claims.index(classesOf)
    const volumesByClass = volumes.index(classesOfVolume)
    const stops = [
      claims.handle({
        update: (_now, before) => classesOf(before).forEach(recheck),
        delete: (c) => classesOf(c).forEach(recheck),
      }),
      volumes.handle({
        update: (_now, before) => classesOfVolume(before).forEach(recheck),
        delete: (v) => classesOfVolume(v).forEach(recheck),
      }),
    ]
    return {
      caches: [claims, volumes],
      inUse: ({ metadata }) => byClass.has(metadata.name) || volumesByClass.has(metadata.name),
      stop: () => {
        for (const stop of stops) stop()
      },
    }
  },
})
