// The built-in provisioner: a claim of its class gets a directory on the node where its pod will run, and the directory
// goes when the claim is gone. It speaks to the binder as any external provisioner does, by annotations. The class it
// serves is made once, as the default one; who deletes it has it back at the next start.
// Directories have no size of their own, so a claim may grow by saying so.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type PersistentVolume, persistentVolumes } from '../api/core/persistent-volume.ts'
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import {
  capacityBytes,
  classNameOf,
  isBound,
  provisionedBy,
  requestedBytes,
  selectedNode,
  storageProvisioner,
} from '../api/core/volume-claims.ts'
import { isReason } from '../api/machinery/errors.ts'
import { defaultStorageClassAnnotation, type StorageClass, storageClasses } from '../api/storage/storage.ts'
import { keyFor, keyOf } from '../client/informer.ts'
import { type Controller, recorderFor, type RunningController } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'
import { isNodeReady, makeVolumeDirectory, removeVolumeDirectory } from './node-files.ts'

export const localProvisionerName = 'coxswain.io/local'
const className = 'standard'
/** On a volume: the node that holds its directory. */
const nodeAnnotation = 'local.coxswain.io/node'
const hostname = 'kubernetes.io/hostname'

const defaultClass = {
  metadata: { name: className, annotations: { [defaultStorageClassAnnotation]: 'true' } },
  provisioner: localProvisionerName,
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowVolumeExpansion: true,
}

/** Why the claim cannot be fulfilled by a directory, or undefined. */
export function refusal(claim: PersistentVolumeClaim): string | undefined {
  if (claim.spec.volumeMode === 'Block') return 'block volumes are not supported: a directory has no device'
  if (claim.spec.selector !== undefined) return 'claim Selector is not supported'
  if (claim.spec.dataSource !== undefined || claim.spec.dataSourceRef !== undefined)
    return 'data sources are not supported'
  return undefined
}

/** The volume of a claim in `path` on `node`. */
export function localVolume(claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node, path: string) {
  const { name, namespace = '', uid, resourceVersion } = claim.metadata
  const host = node.metadata.labels?.[hostname] ?? node.metadata.name
  return {
    metadata: {
      name: `pvc-${uid}`,
      annotations: { [provisionedBy]: localProvisionerName, [nodeAnnotation]: node.metadata.name },
    },
    spec: {
      capacity: { storage: claim.spec.resources.requests?.['storage'] ?? '0' },
      ...(claim.spec.accessModes === undefined ? {} : { accessModes: claim.spec.accessModes }),
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: classNameOf(claim),
      volumeMode: 'Filesystem',
      claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', name, namespace, uid, resourceVersion },
      local: { path },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [{ key: hostname, operator: 'In', values: [host] }] }] },
      },
    },
  }
}

export const localProvisioner: Controller = {
  name: 'local-provisioner',
  start(context): RunningController {
    const { informers, client } = context
    const claims = informers.informer(persistentVolumeClaims)
    const volumes = informers.informer(persistentVolumes)
    const classes = informers.informer(storageClasses)
    const nodes = informers.informer(nodeKind)
    const recorder = recorderFor(context, localProvisionerName)

    const forClass = startReconciler({
      context,
      caches: [classes],
      async reconcile(name, writes) {
        if ([...classes.list()].some(({ provisioner }) => provisioner === localProvisionerName)) return
        try {
          await writes.create(storageClasses, { ...defaultClass, metadata: { ...defaultClass.metadata, name } })
        } catch (error) {
          // Somebody's own class has the name.
          if (!isReason(error, 'AlreadyExists')) throw error
        }
      },
    })
    forClass.enqueue(className)

    /** The node for the claim: the pod's, or any that is ready where the class does not wait for a pod. */
    const nodeFor = (claim: PersistentVolumeClaim): Node | undefined => {
      const chosen = claim.metadata.annotations?.[selectedNode]
      if (chosen !== undefined) return nodes.get(chosen)
      return [...nodes.list()].find((node) => isNodeReady(node) && node.spec.unschedulable !== true)
    }
    const forClaims = startReconciler({
      context,
      caches: [claims, volumes, classes, nodes],
      async reconcile(key, writes) {
        const claim = claims.byKey(key)
        const storageClass = classes.get(claim === undefined ? '' : classNameOf(claim))
        if (claim === undefined || storageClass?.provisioner !== localProvisionerName) return
        if (isBound(claim)) return grow(claim)
        const asked = claim.metadata.annotations?.[storageProvisioner] === localProvisionerName
        if (!asked || claim.metadata.deletionTimestamp !== undefined) return
        const name = `pvc-${claim.metadata.uid}`
        if (volumes.get(name) !== undefined) return
        const failed = (why: string) =>
          recorder.event(
            claim,
            'Warning',
            'ProvisioningFailed',
            `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${why}`,
          )
        const why = refusal(claim)
        if (why !== undefined) return failed(why)
        const node = nodeFor(claim)
        if (node === undefined) return rescheduled(claim)
        recorder.event(
          claim,
          'Normal',
          'Provisioning',
          `External provisioner is provisioning volume for claim "${key}"`,
        )
        try {
          const path = await makeVolumeDirectory(client, node.metadata.name, name)
          await writes.create(persistentVolumes, localVolume(claim, storageClass, node, path))
        } catch (error) {
          failed(error instanceof Error ? error.message : String(error))
          throw error
        }
        recorder.event(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${name}`)

        async function grow(bound: PersistentVolumeClaim): Promise<void> {
          const volume = volumes.get(bound.spec.volumeName ?? '')
          const storage = bound.spec.resources.requests?.['storage']
          if (volume === undefined || storage === undefined) return
          if (volume.metadata.annotations?.[provisionedBy] !== localProvisionerName) return
          if (requestedBytes(bound) > capacityBytes(volume))
            await writes.update(persistentVolumes, { ...volume, spec: { ...volume.spec, capacity: { storage } } })
          if (bound.status.phase !== 'Bound' || bound.status.capacity?.['storage'] === storage) return
          await writes.updateStatus(persistentVolumeClaims, {
            ...bound,
            status: { ...bound.status, capacity: { storage } },
          })
        }
        /** The node that was chosen is gone: the scheduler chooses another. */
        async function rescheduled({ metadata, ...rest }: PersistentVolumeClaim): Promise<void> {
          const { [selectedNode]: chosen, ...annotations } = metadata.annotations ?? {}
          if (chosen === undefined) return failed('no node is ready')
          failed(`node "${chosen}" not found`)
          await writes.update(persistentVolumeClaims, { ...rest, metadata: { ...metadata, annotations } })
        }
      },
    })
    const forVolumes = startReconciler({
      context,
      caches: [volumes, nodes],
      async reconcile(name, writes) {
        const volume = volumes.get(name)
        if (volume === undefined || !isToBeDeleted(volume)) return
        const nodeName = volume.metadata.annotations?.[nodeAnnotation] ?? ''
        // A node that is gone has taken its directories with it.
        if (nodes.get(nodeName) !== undefined)
          try {
            await removeVolumeDirectory(client, nodeName, name)
          } catch (error) {
            const message = error instanceof Error ? error.message : String(error)
            recorder.event(volume, 'Warning', 'VolumeFailedDelete', message)
            throw error
          }
        await writes.delete(persistentVolumes, volume)
      },
    })
    const claimChanged = (claim: PersistentVolumeClaim) => forClaims.enqueue(keyOf(claim))
    const volumeChanged = (volume: PersistentVolume) => {
      if (isToBeDeleted(volume)) forVolumes.enqueue(volume.metadata.name)
      const { claimRef } = volume.spec
      if (claimRef !== undefined) forClaims.enqueue(keyFor(claimRef.name ?? '', claimRef.namespace))
    }
    const handlers = [
      claims.handle({ add: claimChanged, update: claimChanged }),
      volumes.handle({ add: volumeChanged, update: volumeChanged }),
    ]
    return {
      async stop() {
        for (const off of handlers) off()
        recorder.stop()
        await Promise.all([forClass.stop(), forClaims.stop(), forVolumes.stop()])
      },
    }
  },
}

const isToBeDeleted = ({ metadata, spec, status }: PersistentVolume): boolean =>
  metadata.annotations?.[provisionedBy] === localProvisionerName &&
  spec.persistentVolumeReclaimPolicy === 'Delete' &&
  status.phase === 'Released'
