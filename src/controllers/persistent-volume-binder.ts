// Binds claims to volumes and gives volumes back when their claims are gone. A binding is four writes (the volume's
// reference and phase, the claim's name and phase), each made only where it is missing.
import { nodes as nodeKind } from '../api/core/node.ts'
import { type PersistentVolume, persistentVolumes } from '../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { pods as podKind } from '../api/core/pod.ts'
import {
  betaStorageProvisioner,
  bindCompleted,
  boundByController,
  classNameOf,
  provisionedBy,
  storageProvisioner,
  withClaim,
} from '../api/core/volume-claims.ts'
import { formatTime } from '../api/machinery/time.ts'
import { storageClasses } from '../api/storage/storage.ts'
import { type IndexBy, keyFor, keyOf } from '../client/informer.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import { type Controller, type ControllerContext, recorderFor, type RunningController } from './framework/controller.ts'
import { isPodTerminal } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { removeHostPath, recycle } from './node-files.ts'
import { planClaim, planVolume, withoutClaim } from './persistent-volume-plan.ts'
import { claimsOf } from './storage-protection.ts'

const claimOfVolume: IndexBy<PersistentVolume> = ({ spec: { claimRef } }) =>
  claimRef === undefined ? [] : [keyFor(claimRef.name ?? '', claimRef.namespace)]
const volumeOfClaim: IndexBy<PersistentVolumeClaim> = ({ spec }) => (spec.volumeName ? [spec.volumeName] : [])
const classOfClaim: IndexBy<PersistentVolumeClaim> = (claim) => [classNameOf(claim)]

/** How often a claim that nothing fulfils is looked at, and its event counted: upstream's resync. */
const resyncMs = 15_000

class Binder {
  readonly #context: ControllerContext
  readonly #recorder: EventRecorder
  constructor(context: ControllerContext, recorder: EventRecorder) {
    this.#context = context
    this.#recorder = recorder
  }
  async phase(
    volume: PersistentVolume,
    writes: Writes,
    phase: string,
    told: { readonly reason?: string; readonly message?: string } = {},
  ): Promise<PersistentVolume> {
    const { status } = volume
    if (status.phase === phase && (status.message ?? '') === (told.message ?? '')) return volume
    const since = formatTime(this.#context.clock.now())
    return writes.updateStatus(persistentVolumes, {
      ...volume,
      status: {
        phase,
        ...told,
        lastPhaseTransitionTime: status.phase === phase ? status.lastPhaseTransitionTime : since,
      },
    } as PersistentVolume)
  }
  async bind(claim: PersistentVolumeClaim, volume: PersistentVolume, writes: Writes): Promise<void> {
    const referred =
      volume.spec.claimRef?.uid === claim.metadata.uid
        ? volume
        : await writes.update(persistentVolumes, withClaim(volume, claim))
    const bound = await this.phase(referred, writes, 'Bound')
    const { annotations = {} } = claim.metadata
    let written = claim
    if (claim.spec.volumeName !== bound.metadata.name || annotations[bindCompleted] === undefined) {
      const chosen = claim.spec.volumeName ? {} : { [boundByController]: 'yes' }
      written = await writes.update(persistentVolumeClaims, {
        ...claim,
        metadata: { ...claim.metadata, annotations: { ...annotations, ...chosen, [bindCompleted]: 'yes' } },
        spec: { ...claim.spec, volumeName: bound.metadata.name },
      })
    }
    if (written.status.phase === 'Bound') return
    const { accessModes, capacity, volumeAttributesClassName } = bound.spec
    await writes.updateStatus(persistentVolumeClaims, {
      ...written,
      status: {
        ...written.status,
        phase: 'Bound',
        ...(accessModes === undefined ? {} : { accessModes }),
        ...(capacity === undefined ? {} : { capacity }),
        ...(volumeAttributesClassName ? { currentVolumeAttributesClassName: volumeAttributesClassName } : {}),
      },
    })
  }
  async lose(claim: PersistentVolumeClaim, writes: Writes, event: { reason: string; message: string }): Promise<void> {
    if (claim.status.phase === 'Lost') return
    this.#recorder.event(claim, 'Warning', event.reason, event.message)
    const { accessModes: _, capacity: __, ...rest } = claim.status
    await writes.updateStatus(persistentVolumeClaims, { ...claim, status: { ...rest, phase: 'Lost' } })
  }
  async askProvisioner(claim: PersistentVolumeClaim, provisioner: string, writes: Writes): Promise<void> {
    const { annotations = {} } = claim.metadata
    if (annotations[storageProvisioner] === provisioner) return
    const asked = { ...annotations, [storageProvisioner]: provisioner, [betaStorageProvisioner]: provisioner }
    await writes.update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, annotations: asked } })
  }

  /** The claim is gone: what the volume's policy says is done. */
  async release(volume: PersistentVolume, writes: Writes): Promise<void> {
    const { phase } = volume.status
    const released = phase === 'Released' || phase === 'Failed' ? volume : await this.phase(volume, writes, 'Released')
    const policy = volume.spec.persistentVolumeReclaimPolicy
    if (policy === 'Retain') return
    // Whoever made the volume takes it away.
    if (policy === 'Delete' && volume.metadata.annotations?.[provisionedBy] !== undefined) return
    const recycles = policy === 'Recycle'
    try {
      const { client, informers } = this.#context
      const nodes = [...informers.informer(nodeKind).list()]
      if (recycles) {
        await recycle(client, nodes, released)
        this.#recorder.event(released, 'Normal', 'VolumeRecycled', 'Volume recycled')
        await writes.update(persistentVolumes, withoutClaim(released))
      } else {
        await removeHostPath(client, nodes, released)
        await writes.delete(persistentVolumes, released)
      }
    } catch (error) {
      // Boundary: what the node refuses is told on the volume, which stays as it is for a person to look at.
      const message = error instanceof Error ? error.message : String(error)
      const reason = recycles ? 'VolumeFailedRecycle' : 'VolumeFailedDelete'
      if (released.status.message !== message) this.#recorder.event(released, 'Warning', reason, message)
      await this.phase(released, writes, 'Failed', { reason, message })
    }
  }
}

export const persistentVolumeBinder: Controller = {
  name: 'persistentvolume-binder-controller',
  start(context): RunningController {
    const { informers, client } = context
    const claims = informers.informer(persistentVolumeClaims)
    const volumes = informers.informer(persistentVolumes)
    const classes = informers.informer(storageClasses)
    const pods = informers.informer(podKind)
    const nodes = informers.informer(nodeKind)
    const volumesByClaim = volumes.index(claimOfVolume)
    const claimsByVolume = claims.index(volumeOfClaim)
    const claimsByClass = claims.index(classOfClaim)
    const podsByClaim = pods.index(claimsOf)
    const recorder = recorderFor(context, 'persistentvolume-controller')
    const binder = new Binder(context, recorder)
    const podWaits = (key: string) =>
      podsByClaim.get(key).find((pod) => !pod.spec.nodeName && !isPodTerminal(pod))?.metadata.name

    const forClaims = startReconciler({
      context,
      caches: [claims, volumes, classes, pods],
      // One at a time: two claims must not choose the same volume.
      parallel: 1,
      async reconcile(key, writes) {
        const claim = claims.byKey(key)
        if (claim === undefined) return undefined
        const plan = planClaim(claim, {
          volumes: volumes.list(),
          volume: (name) => volumes.get(name),
          storageClass: classes.get(classNameOf(claim)),
          podWaits: podWaits(key),
        })
        if (plan.do === 'bind') await binder.bind(claim, plan.volume, writes)
        else if (plan.do === 'lose') await binder.lose(claim, writes, plan.event)
        else {
          if (plan.event !== undefined) recorder.event(claim, plan.event.type, plan.event.reason, plan.event.message)
          if (plan.do === 'provision') await binder.askProvisioner(claim, plan.provisioner, writes)
          return resyncMs
        }
        return undefined
      },
    })
    const forVolumes = startReconciler({
      context,
      caches: [claims, volumes, nodes],
      async reconcile(name, writes) {
        const volume = volumes.get(name)
        if (volume === undefined) return
        const { claimRef } = volume.spec
        const seen = claims.get(claimRef?.name ?? '', claimRef?.namespace)
        // Data may be lost by what follows, so a claim that seems to be gone is asked for once more.
        const claim =
          claimRef?.uid && seen?.metadata.uid !== claimRef.uid
            ? await client.resource(persistentVolumeClaims).find(claimRef.name ?? '', claimRef.namespace)
            : seen
        const plan = planVolume(volume, claim)
        if (plan.do === 'phase') await binder.phase(volume, writes, plan.phase)
        else if (plan.do === 'release') await binder.release(volume, writes)
        else if (plan.do === 'unbind') await writes.update(persistentVolumes, withoutClaim(volume))
        else forClaims.enqueue(keyFor(claimRef?.name ?? '', claimRef?.namespace))
      },
    })
    const volumesOf = (claim: PersistentVolumeClaim) => {
      if (claim.spec.volumeName) forVolumes.enqueue(claim.spec.volumeName)
      for (const volume of volumesByClaim.get(keyOf(claim))) forVolumes.enqueue(volume.metadata.name)
    }
    const claimChanged = (claim: PersistentVolumeClaim) => {
      forClaims.enqueue(keyOf(claim))
      volumesOf(claim)
    }
    /** A volume that has become free may be what a claim of its class waits for. */
    const volumeChanged = (volume: PersistentVolume) => {
      forVolumes.enqueue(volume.metadata.name)
      for (const key of claimOfVolume(volume)) forClaims.enqueue(key)
      for (const claim of claimsByVolume.get(volume.metadata.name)) forClaims.enqueue(keyOf(claim))
      if (volume.status.phase === 'Available')
        for (const claim of claimsByClass.get(classNameOf(volume)))
          if (!claim.spec.volumeName) forClaims.enqueue(keyOf(claim))
    }
    const classChanged = ({ metadata }: { readonly metadata: { readonly name: string } }) => {
      for (const claim of claimsByClass.get(metadata.name)) if (!claim.spec.volumeName) forClaims.enqueue(keyOf(claim))
    }
    const handlers = [
      claims.handle({ add: claimChanged, update: claimChanged, delete: volumesOf }),
      volumes.handle({ add: volumeChanged, update: volumeChanged, delete: volumeChanged }),
      classes.handle({ add: classChanged, update: classChanged }),
    ]
    return {
      async stop() {
        for (const off of handlers) off()
        recorder.stop()
        await Promise.all([forClaims.stop(), forVolumes.stop()])
      },
    }
  },
}
