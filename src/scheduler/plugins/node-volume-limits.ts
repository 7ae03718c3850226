// A CSI driver attaches only so many volumes to a node; a volume that two pods of a node use counts once.
import { classNameOf } from '../../api/core/volume-claims.ts'
import { type PluginFactory, type Rejection, unresolvable, unschedulable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { concernsClaims, VolumeViews } from './volumes.ts'

const tooMany = unschedulable('node(s) exceed max volume count')
const noVolumes: ReadonlyMap<string, string> = new Map()

export const nodeVolumeLimits: PluginFactory = {
  name: 'NodeVolumeLimits',
  create({ informers }) {
    const { claims, volumes, classes, csiNodes, csiDrivers } = new VolumeViews(informers)
    /** Drivers by volume. */
    let wanted: ReadonlyMap<string, string> = noVolumes

    /** The volume of a claim and the driver that attaches it; undefined where that is no CSI driver or not yet known. */
    function volumeOf(namespace: string, name: string): readonly [id: string, driver: string] | undefined {
      const claim = claims.get(name, namespace)
      if (claim === undefined) return undefined
      const volume = claim.spec.volumeName ? volumes.get(claim.spec.volumeName) : undefined
      if (volume !== undefined) {
        const { csi } = volume.spec
        return csi === undefined ? undefined : [`${csi.driver}/${csi.volumeHandle}`, csi.driver]
      }
      // not yet provisioned: its class tells who will
      const driver = classes.get(classNameOf(claim))?.provisioner
      if (driver === undefined || driver.startsWith('kubernetes.io/')) return undefined
      return [`${driver}/${namespace}/${name}`, driver]
    }
    function volumesOf(pod: PodInfo): ReadonlyMap<string, string> {
      const found = new Map<string, string>()
      for (const name of pod.claims) {
        const volume = volumeOf(pod.namespace, name)
        if (volume !== undefined) found.set(...volume)
      }
      return found
    }
    function refusal(node: NodeInfo, needed: ReadonlyMap<string, string>): Rejection | undefined {
      const drivers = csiNodes.get(node.name)?.spec.drivers ?? []
      for (const driver of new Set(needed.values())) {
        const installed = drivers.find(({ name }) => name === driver)
        if (installed === undefined && csiDrivers.get(driver)?.spec.preventPodSchedulingIfMissing === true)
          return unschedulable(`${driver} CSI driver is not installed on the node`)
      }
      const limits = new Map(drivers.map(({ name, allocatable }) => [name, allocatable?.count]))
      const attached = new Map<string, string>()
      for (const key of node.claims.keys()) {
        const slash = key.indexOf('/')
        const volume = volumeOf(key.slice(0, slash), key.slice(slash + 1))
        if (volume !== undefined) attached.set(...volume)
      }
      const counts = new Map<string, number>()
      for (const driver of attached.values()) counts.set(driver, (counts.get(driver) ?? 0) + 1)
      for (const [id, driver] of needed) {
        if (attached.has(id)) continue
        const count = (counts.get(driver) ?? 0) + 1
        counts.set(driver, count)
        const limit = limits.get(driver)
        if (limit !== undefined && count > limit) return tooMany
      }
      return undefined
    }
    return {
      name: 'NodeVolumeLimits',
      preFilter({ pod }) {
        if (pod.claims.length === 0) return 'skip'
        for (const name of pod.claims)
          if (claims.get(name, pod.namespace) === undefined)
            return unresolvable(`persistentvolumeclaim "${name}" not found`)
        wanted = volumesOf(pod)
        return wanted.size === 0 ? 'skip' : undefined
      },
      filter: (_cycle, node) => refusal(node, wanted),
      hints: {
        assignedPod: (info, { change, node }) =>
          change === 'delete' && node !== undefined && refusal(node, volumesOf(info)) === undefined,
        node: (_info, { change }) => change === 'add',
        object: (info, { object, change }) =>
          ['CSINode', 'CSIDriver', 'VolumeAttachment'].includes(object.kind) ||
          (object.kind === 'PersistentVolumeClaim' && change === 'add' && concernsClaims(info, object)),
      },
    }
  },
}
