// A volume with zone or region labels is reached only from nodes there; nodes without such labels are taken to be anywhere.
import { classNameOf } from '../../api/core/volume-claims.ts'
import type { PersistentVolume } from '../../api/core/persistent-volume.ts'
import { type PluginFactory, type Rejection, unresolvable } from '../framework.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'
import { concernsClaims, VolumeViews, waitsForPod } from './volumes.ts'

const elsewhere = unresolvable('node(s) had no available volume zone')
/** Each label with its older name. */
const labels: Readonly<Record<string, string>> = {
  'topology.kubernetes.io/zone': 'failure-domain.beta.kubernetes.io/zone',
  'topology.kubernetes.io/region': 'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
}
const keys = Object.keys(labels)
interface Place {
  readonly key: string
  readonly values: ReadonlySet<string>
}

/** A volume that lives in several zones joins their names with two underscores. */
function placesOf(volume: PersistentVolume): Place[] {
  const places: Place[] = []
  for (const key of keys) {
    const value = volume.metadata.labels?.[key]
    if (value !== undefined) places.push({ key, values: new Set(value.split('__').map((zone) => zone.trim())) })
  }
  return places
}
function isNear(node: NodeInfo, places: readonly Place[]): boolean {
  if (!keys.some((key) => Object.hasOwn(node.labels, key))) return true
  return places.every(({ key, values }) => {
    const value = node.labels[key] ?? node.labels[labels[key] ?? '']
    return value !== undefined && values.has(value)
  })
}

export const volumeZone: PluginFactory = {
  name: 'VolumeZone',
  create({ informers }) {
    const { claims, volumes, classes } = new VolumeViews(informers)
    let places: readonly Place[] = []
    function find(pod: PodInfo): Place[] | Rejection {
      const found: Place[] = []
      for (const name of pod.claims) {
        const claim = claims.get(name, pod.namespace)
        if (claim === undefined) return unresolvable(`persistentvolumeclaim "${name}" not found`)
        const { volumeName } = claim.spec
        if (!volumeName) {
          const className = classNameOf(claim)
          if (className === '') return unresolvable('PersistentVolumeClaim had no pv name and storageClass name')
          const storageClass = classes.get(className)
          if (storageClass === undefined) return unresolvable(`storageclass.storage.k8s.io "${className}" not found`)
          if (!waitsForPod(storageClass)) return unresolvable('PersistentVolume had no name')
          continue
        }
        const volume = volumes.get(volumeName)
        if (volume === undefined) return unresolvable(`persistentvolume "${volumeName}" not found`)
        found.push(...placesOf(volume))
      }
      return found
    }
    return {
      name: 'VolumeZone',
      preFilter({ pod }) {
        if (pod.claims.length === 0) return 'skip'
        const found = find(pod)
        if ('code' in found) return found
        places = found
        return places.length === 0 ? 'skip' : undefined
      },
      filter: (_cycle, node) => (isNear(node, places) ? undefined : elsewhere),
      hints: {
        node: (_info, { change, differs }) => change !== 'delete' && differs.labels,
        object: (info, { object, change }) =>
          change !== 'delete' &&
          ['PersistentVolumeClaim', 'PersistentVolume', 'StorageClass'].includes(object.kind) &&
          concernsClaims(info, object),
      },
    }
  },
}
