// The volumes of one pod: prepared together, set up together, refreshed when what they show has changed, torn down at the
// end. A volume that fails does not undo the others; the pod waits and tells why.
import type { Clock } from '../ports/clock.ts'
import type { Disk } from '../ports/disk.ts'
import type { RuntimeFacts } from './field-ref.ts'
import type { PodPaths } from './paths.ts'
import type { Pod, Volume } from './types.ts'
import { volumePlugins } from './volumes/all.ts'
import {
  type ClaimSource,
  type MountedVolume,
  type ObjectSource,
  type SetUp,
  type TokenSource,
  type VolumeContext,
  type VolumePlugin,
} from './volumes/volume.ts'

export interface VolumeDependencies {
  readonly disk: Disk
  readonly clock: Clock
  readonly objects: ObjectSource
  readonly tokens: TokenSource
  readonly claims: ClaimSource
  readonly runtime: VolumeContext['runtime']
  readonly allocatable: () => Readonly<Record<string, string>>
}
export interface VolumeFailure {
  readonly volume: string
  readonly message: string
}

/** Only volumes that some container uses are set up. */
function usedVolumes(pod: Pod): readonly Volume[] {
  const { spec } = pod
  const used = new Set<string>()
  for (const container of [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])]) {
    for (const mount of container.volumeMounts ?? []) used.add(mount.name)
    for (const device of container.volumeDevices ?? []) used.add(device.name)
    for (const variable of container.env ?? [])
      if (variable.valueFrom?.fileKeyRef) used.add(variable.valueFrom.fileKeyRef.volumeName)
  }
  return (spec.volumes ?? []).filter((volume) => used.has(volume.name))
}

export class PodVolumes {
  readonly mounted = new Map<string, MountedVolume>()
  readonly #dependencies: VolumeDependencies
  readonly #paths: PodPaths
  #prepared: { readonly volume: Volume; readonly setUp: SetUp }[] = []
  constructor(dependencies: VolumeDependencies, paths: PodPaths) {
    this.#dependencies = dependencies
    this.#paths = paths
  }

  #context(pod: Pod, volume: Volume, facts: RuntimeFacts): VolumeContext {
    const { disk, clock, objects, tokens, claims, runtime, allocatable } = this.#dependencies
    return {
      pod,
      volume,
      disk,
      clock,
      objects,
      tokens,
      claims,
      runtime,
      paths: this.#paths,
      facts,
      allocatable: allocatable(),
    }
  }
  /** Asks the API for what the volumes need: all those not mounted yet, and with `refresh` those that follow the API.
   * Boundary: a refusal or an unreachable API becomes the answer, and the pod waits. */
  async prepare(pod: Pod, facts: RuntimeFacts, refresh: boolean): Promise<readonly VolumeFailure[]> {
    const failures: VolumeFailure[] = []
    const wanted = usedVolumes(pod)
    const work = wanted.map(async (volume) => {
      const plugin = volumePlugins.find((p) => p.supports(volume))
      if (plugin === undefined) {
        failures.push({ volume: volume.name, message: 'no volume plugin matched' })
        return undefined
      }
      if (this.mounted.has(volume.name) && !(refresh && plugin.updates)) return undefined
      try {
        return { volume, setUp: await plugin.prepare(this.#context(pod, volume, facts)) }
      } catch (error) {
        failures.push({ volume: volume.name, message: messageOf(error) })
        return undefined
      }
    })
    this.#prepared = (await Promise.all(work)).filter((p) => p !== undefined)
    return failures
  }
  /** Puts on disk what prepare() found. Boundary as in prepare. */
  async setUp(): Promise<readonly VolumeFailure[]> {
    const failures: VolumeFailure[] = []
    const prepared = this.#prepared
    this.#prepared = []
    await Promise.all(
      prepared.map(async ({ volume, setUp }) => {
        try {
          this.mounted.set(volume.name, await setUp())
        } catch (error) {
          failures.push({ volume: volume.name, message: messageOf(error) })
        }
      }),
    )
    return failures
  }
  /** True when some volume shows what the API holds and has to be looked at when that changes. */
  follows(pod: Pod): boolean {
    return usedVolumes(pod).some((volume) => volumePlugins.find((p) => p.supports(volume))?.updates === true)
  }
  /** Unmounts and removes everything of the pod's volumes. Throws when something cannot be unmounted. */
  async tearDown(pod: Pod): Promise<void> {
    const { disk } = this.#dependencies
    for (const volume of pod.spec.volumes ?? []) {
      const plugin: VolumePlugin | undefined = volumePlugins.find((p) => p.supports(volume))
      await plugin?.tearDown?.({ disk, paths: this.#paths }, volume.name)
    }
    await removePodFiles(disk, this.#paths)
    this.mounted.clear()
  }
}

/** Unmounts what is mounted below a pod's directory, then removes its volumes; of a pod that nobody knows any more, too. */
export async function removePodFiles(disk: Disk, paths: PodPaths): Promise<void> {
  const mounts = await disk.mounts(paths.directory)
  for (const mount of [...mounts].reverse()) await disk.unmount(mount.target)
  await disk.remove(`${paths.directory}/volume-subpaths`)
  await disk.remove(`${paths.directory}/volumes`)
  await disk.remove(paths.memoryDirectory)
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
