// What a container sees of volumes, and the files that the kubelet adds: /etc/hosts and the termination message.
import type { ContainerConfig, Mount } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import { expand } from './expand.ts'
import type { PodPaths } from './paths.ts'
import type { AnyContainer, VolumeMount } from './types.ts'
import type { MountedVolume } from './volumes/volume.ts'

export interface MountInputs {
  readonly disk: Disk
  readonly log: Log
  readonly paths: PodPaths
  readonly volumes: ReadonlyMap<string, MountedVolume>
  readonly env: ReadonlyMap<string, string>
  /** Host path of the pod's hosts file, undefined where the pod brings its own. */
  readonly etcHosts: string | undefined
  /** Host path of the termination message. */
  readonly messageFile: string | undefined
  /** Whether the runtime can make mounts below a mount read-only too. */
  readonly recursiveReadOnly: boolean
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
  const wished = readonly ? (mount.recursiveReadOnly ?? 'Disabled') : 'Disabled'
  if (wished === 'Enabled' && !inputs.recursiveReadOnly)
    return {
      error: `volume "${mount.name}" requested recursive read-only mode, but it is not supported by the runtime`,
    }
  const base = {
    containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
    readonly,
    ...(wished !== 'Disabled' && inputs.recursiveReadOnly ? { recursiveReadOnly: true } : {}),
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
  const failed = await bindSubPath(inputs.disk, hostPath, subPath.subPath, target)
  if (failed !== undefined) inputs.log.warn('cannot prepare a subPath', { volume: mount.name, error: failed })
  if (failed !== undefined)
    return { error: `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"` }
  return { ...base, hostPath: target }
}

const maxLinks = 40

/** The path below `root` that `subPath` means once the symlinks on its way are followed; undefined when one leaves the
 * volume. (The bind itself follows none, so a link that is changed meanwhile leads nowhere.) */
async function resolveLinks(disk: Disk, root: string, subPath: string): Promise<string | undefined> {
  const done: string[] = []
  const todo = subPath.split('/')
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift()
    if (part === undefined || part === '' || part === '.') continue
    if (part === '..') {
      if (done.pop() === undefined) return undefined
      continue
    }
    const path = [root, ...done, part].join('/')
    const target = (await disk.lstat(path))?.type === 'symlink' ? await disk.readlink(path) : undefined
    if (target === undefined) {
      done.push(part)
      continue
    }
    if (++links > maxLinks) return undefined
    if (target.startsWith('/')) {
      if (!target.startsWith(`${root}/`)) return undefined
      done.length = 0
      todo.unshift(...target.slice(root.length).split('/'))
    } else todo.unshift(...target.split('/'))
  }
  return done.join('/')
}

/** Boundary: answers what went wrong. */
async function bindSubPath(disk: Disk, root: string, subPath: string, target: string): Promise<string | undefined> {
  try {
    const resolved = await resolveLinks(disk, root, subPath)
    if (resolved === undefined) return `${subPath} leaves its volume`
    // A subpath of an earlier run of the container shows what was there then.
    await disk.unmount(target)
    const mode = (await disk.stat(root))?.mode ?? 0o755
    await disk.bindWithin({ root, subPath: resolved, target, readonly: false, mode })
    return undefined
  } catch (error) {
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

type Device = ContainerConfig['devices'][number]
/** Volumes without a file system, which containers see as devices. */
export function containerDevices(
  container: AnyContainer,
  volumes: ReadonlyMap<string, MountedVolume>,
): { readonly ok: true; readonly devices: readonly Device[] } | { readonly ok: false; readonly message: string } {
  const devices: Device[] = []
  for (const { name, devicePath } of container.volumeDevices ?? []) {
    const hostPath = volumes.get(name)?.device
    if (hostPath === undefined)
      return {
        ok: false,
        message: `cannot find volume "${name}" to pass into container "${container.name}" as a block device`,
      }
    const permissions = volumes.get(name)?.readonly === true ? 'r' : 'mrw'
    devices.push({ containerPath: devicePath, hostPath, permissions })
  }
  return { ok: true, devices }
}
/** Groups that the container's volumes ask for. */
export const volumeGroups = (container: AnyContainer, volumes: ReadonlyMap<string, MountedVolume>): number[] => [
  ...new Set((container.volumeMounts ?? []).flatMap(({ name }) => volumes.get(name)?.gid ?? [])),
]
