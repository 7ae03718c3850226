// What a kind of volume is: preparing asks the API for what it needs and may fail with a reason; the answer then puts it
// on disk. Between the two the pod's sandbox is already being made.
import type { PersistentVolume } from '../../api/core/persistent-volume.ts'
import type { PersistentVolumeClaim } from '../../api/core/persistent-volume-claim.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Disk } from '../../ports/disk.ts'
import type { RuntimeFacts } from '../field-ref.ts'
import type { PodPaths } from '../paths.ts'
import type { Pod, Volume } from '../types.ts'

/** Objects that volumes and environments refer to. `get` fetches what is not cached and follows it from then on. */
export interface ObjectSource {
  configMap(namespace: string, name: string): Promise<ConfigMapData | undefined>
  secret(namespace: string, name: string): Promise<SecretData | undefined>
  /** PEM certificates of the cluster trust bundles that a projection selects; undefined when there is none. */
  trustBundle(selection: TrustBundleSelection): Promise<string | undefined>
}
/** Claims and what they are bound to, as the API has them now; undefined when absent. */
export interface ClaimSource {
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>
  volume(name: string): Promise<PersistentVolume | undefined>
}
export interface ConfigMapData {
  readonly data?: Readonly<Record<string, string>> | undefined
  /** base64 */
  readonly binaryData?: Readonly<Record<string, string>> | undefined
}
export interface SecretData {
  /** base64 */
  readonly data?: Readonly<Record<string, string>> | undefined
  readonly type?: string | undefined
}
export interface TrustBundleSelection {
  readonly name?: string | undefined
  readonly signerName?: string | undefined
  readonly labelSelector?: unknown
}
export interface ServiceAccountToken {
  readonly token: string
}
export interface TokenSource {
  /** A bound token for the pod, from the cache while it is fresh. */
  token(pod: Pod, audience: string | undefined, expirationSeconds: number | undefined): Promise<string>
}

export interface VolumeContext {
  readonly pod: Pod
  readonly volume: Volume
  readonly disk: Disk
  readonly clock: Clock
  readonly paths: PodPaths
  readonly objects: ObjectSource
  readonly tokens: TokenSource
  readonly claims: ClaimSource
  readonly facts: RuntimeFacts
  readonly runtime: { readonly version: string; readonly imageVolumes: boolean }
  readonly allocatable: Readonly<Record<string, string>>
  /** Of the PersistentVolume behind the volume. */
  readonly mountOptions?: readonly string[]
}

/** A volume on the node, ready to be mounted into containers. */
export interface MountedVolume {
  /** Undefined for image volumes, which the runtime brings itself, and for devices. */
  readonly hostPath: string | undefined
  /** Path of a block device, for volumes without a file system. */
  readonly device?: string
  /** A group that containers are members of while they use the volume. */
  readonly gid?: number
  readonly image?: { readonly reference: string; readonly pullPolicy: string | undefined }
  /** The volume cannot be written, whatever the mount says. */
  readonly readonly?: boolean
  /** subPath names a place inside a directory of ours or of the host. */
  readonly isFile?: boolean
}
export type SetUp = () => Promise<MountedVolume>

export interface VolumePlugin {
  /** kubernetes.io/configmap ... */
  readonly name: string
  readonly supports: (volume: Volume) => boolean
  /** Content follows the API after the pod has started. */
  readonly updates: boolean
  /** Throws MountError. */
  readonly prepare: (context: VolumeContext) => Promise<SetUp>
  /** Undoes what setting up did beyond files under the pod's directory; must not fail when there is nothing. */
  readonly tearDown?: (context: Pick<VolumeContext, 'disk' | 'paths'>, name: string) => Promise<void>
}

/** Why a volume cannot be had now; the text goes into the FailedMount event. */
export class MountError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MountError'
  }
}
