// What a container sees of volumes, and the files that the kubelet adds: /etc/hosts and the termination message.
import type { Mount } from '../ports/container-runtime.ts'
import { type Disk, isDiskError } from '../ports/disk.ts'
import { expand } from './expand.ts'
import type { PodPaths } from './paths.ts'
import type { AnyContainer, VolumeMount } from './types.ts'
import type { MountedVolume } from './volumes/volume.ts'

export interface MountInputs {
  readonly disk: Disk
  readonly paths: PodPaths
  readonly volumes: ReadonlyMap<string, MountedVolume>
  readonly env: ReadonlyMap<string, string>
  /** Host path of the pod's hosts file, undefined where the pod brings its own. */
  readonly etcHosts: string | undefined
  /** Host path of the termination message. */
  readonly messageFile: string | undefined
}
export type MountsResult =
  | { readonly ok: true; readonly mounts: readonly Mount[] }
  | { readonly ok: false; readonly message: string }

const propagations: Readonly<Record<string, Mount['propagation']>> = {
  None: 'private',
  HostToContainer: 'hostToContainer',
  Bidirectional: 'bidirectional',
}

/** '..' as an element would leave the volume. */
const leaves = (path: string) => path.split('/').includes('..')

/** The place inside a volume that a mount names, if it names one. */
function subPathOf(
  mount: VolumeMount,
  env: ReadonlyMap<string, string>,
): { readonly ok: true; readonly subPath: string } | { readonly ok: false; readonly message: string } {
  if (!mount.subPathExpr) return { ok: true, subPath: mount.subPath ?? '' }
  const missing: string[] = []
  const subPath = expand(mount.subPathExpr, (name) => {
    const value = env.get(name)
    if (value === undefined) missing.push(name)
    return value
  })
  return missing.length === 0 ? { ok: true, subPath } : { ok: false, message: `missing value for "${missing[0]}"` }
}

async function volumeMount(
  container: AnyContainer,
  mount: VolumeMount,
  index: number,
  inputs: MountInputs,
): Promise<Mount | { readonly error: string }> {
  const volume = inputs.volumes.get(mount.name)
  if (volume === undefined)
    return { error: `cannot find volume "${mount.name}" to mount into container "${container.name}"` }
  const subPath = subPathOf(mount, inputs.env)
  if (!subPath.ok) return { error: subPath.message }
  const readonly = mount.readOnly === true || volume.readonly === true
  const base = {
    containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
    readonly,
    ...(readonly && mount.recursiveReadOnly === 'Enabled' ? { recursiveReadOnly: true } : {}),
    propagation: propagations[mount.mountPropagation ?? 'None'] ?? 'private',
    selinuxRelabel: false,
  } as const
  if (volume.image !== undefined) {
    const { reference } = volume.image
    return {
      ...base,
      hostPath: '',
      image: { reference, ...(subPath.subPath === '' ? {} : { subPath: subPath.subPath }) },
    }
  }
  const hostPath = volume.hostPath ?? ''
  if (subPath.subPath === '') return { ...base, hostPath }
  if (subPath.subPath.startsWith('/'))
    return { error: `error SubPath \`${subPath.subPath}\` must not be an absolute path` }
  if (leaves(subPath.subPath))
    return { error: `unable to provision SubPath \`${subPath.subPath}\`: must not contain '..'` }
  const target = inputs.paths.subPath(mount.name, container.name, index)
  const failed = await bindSubPath(inputs.disk, hostPath, subPath.subPath, target, readonly)
  if (failed !== undefined)
    return { error: `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"` }
  return { ...base, hostPath: target }
}

/** Boundary: answers what went wrong. */
async function bindSubPath(
  disk: Disk,
  root: string,
  subPath: string,
  target: string,
  readonly: boolean,
): Promise<string | undefined> {
  try {
    // A subpath of an earlier run of the container shows what was there then.
    await disk.unmount(target)
    const mode = (await disk.stat(root))?.mode ?? 0o755
    await disk.bindWithin({ root, subPath, target, readonly, ...(readonly ? {} : { mode }) })
    return undefined
  } catch (error) {
    if (readonly && isDiskError(error, 'ENOENT')) return bindSubPath(disk, root, subPath, target, false)
    return error instanceof Error ? error.message : String(error)
  }
}

export async function containerMounts(container: AnyContainer, inputs: MountInputs): Promise<MountsResult> {
  const mounts: Mount[] = []
  const own = container.volumeMounts ?? []
  for (const [index, mount] of own.entries()) {
    const made = await volumeMount(container, mount, index, inputs)
    if ('error' in made) return { ok: false, message: made.error }
    mounts.push(made)
  }
  const plain = { readonly: false, propagation: 'private', selinuxRelabel: false } as const
  if (inputs.etcHosts !== undefined && !own.some((m) => m.mountPath === '/etc/hosts'))
    mounts.push({ ...plain, containerPath: '/etc/hosts', hostPath: inputs.etcHosts })
  if (inputs.messageFile !== undefined && container.terminationMessagePath)
    mounts.push({ ...plain, containerPath: container.terminationMessagePath, hostPath: inputs.messageFile })
  return { ok: true, mounts }
}
