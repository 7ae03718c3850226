// Disks that only one pod, or only readers, may use on a node; and claims that only one pod at all may use.
import type { Volume } from '../../api/core/volumes.ts'
import { type PluginFactory, unresolvable, unschedulable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { VolumeViews } from './volumes.ts'

const diskInUse = unschedulable('node(s) had no available disk')
const claimInUse = unschedulable(
  'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
)

const isExclusive = (v: Volume): boolean =>
  v.gcePersistentDisk !== undefined ||
  v.awsElasticBlockStore !== undefined ||
  v.rbd !== undefined ||
  v.iscsi !== undefined

/** Two volumes that may not be used by two pods of one node. */
export function disksConflict(a: Volume, b: Volume): boolean {
  if (a.gcePersistentDisk !== undefined && b.gcePersistentDisk !== undefined) {
    const [x, y] = [a.gcePersistentDisk, b.gcePersistentDisk]
    return x.pdName === y.pdName && !(x.readOnly && y.readOnly)
  }
  if (a.awsElasticBlockStore !== undefined && b.awsElasticBlockStore !== undefined)
    return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID
  if (a.iscsi !== undefined && b.iscsi !== undefined)
    return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly && b.iscsi.readOnly)
  if (a.rbd !== undefined && b.rbd !== undefined) {
    const [x, y] = [a.rbd, b.rbd]
    const sameImage = x.pool === y.pool && x.image === y.image && x.monitors.some((m) => y.monitors.includes(m))
    return sameImage && !(x.readOnly && y.readOnly)
  }
  return false
}
function conflictsOn(node: NodeInfo, disks: readonly Volume[]): boolean {
  for (const { pod } of node.pods.values())
    for (const volume of pod.spec.volumes ?? [])
      if (isExclusive(volume) && disks.some((disk) => disksConflict(disk, volume))) return true
  return false
}
const disksOf = ({ pod }: PodInfo): readonly Volume[] => pod.spec.volumes?.filter(isExclusive) ?? []

export const volumeRestrictions: PluginFactory = {
  name: 'VolumeRestrictions',
  create({ informers, state }) {
    const { claims } = new VolumeViews(informers)
    let disks: readonly Volume[] = []
    let single: readonly string[] = []
    const singleOf = (pod: PodInfo): readonly string[] =>
      pod.claims
        .filter((name) => claims.get(name, pod.namespace)?.spec.accessModes?.includes('ReadWriteOncePod'))
        .map((name) => `${pod.namespace}/${name}`)
    return {
      name: 'VolumeRestrictions',
      preFilter({ pod }) {
        disks = disksOf(pod)
        if (pod.claims.length > 0)
          for (const name of pod.claims)
            if (claims.get(name, pod.namespace) === undefined)
              return unresolvable(`persistentvolumeclaim "${name}" not found`)
        single = singleOf(pod)
        return disks.length === 0 && single.length === 0 ? 'skip' : undefined
      },
      filter(cycle, node) {
        if (disks.length > 0 && conflictsOn(node, disks)) return diskInUse
        for (const key of single) if (cycle.state.claimUsers.has(key)) return claimInUse
        return undefined
      },
      hints: {
        assignedPod: (info, { change, pod }) =>
          change === 'delete' &&
          (pod.claims.some((claim) => pod.namespace === info.namespace && info.claims.includes(claim)) ||
            disksOf(pod).some((held) => disksOf(info).some((wanted) => disksConflict(held, wanted)))),
        node: (info, { change, node }) => change === 'add' && !conflictsOn(node, disksOf(info)),
        object: (info, { object, change }) =>
          change === 'add' &&
          object.kind === 'PersistentVolumeClaim' &&
          object.metadata.namespace === info.namespace &&
          info.claims.includes(object.metadata.name) &&
          !singleOf(info).some((key) => state.claimUsers.has(key)),
      },
    }
  },
}
