// fsGroup: the volume belongs to a group, everything in it is readable (and writable) by the group, and new files inherit
// it through the setgid bit.
import type { Disk } from '../../ports/disk.ts'
import type { Pod } from '../types.ts'

export const fsGroupOf = (pod: Pod): number | undefined => pod.spec.securityContext?.fsGroup

/** True when the root of the volume is already as wished, which OnRootMismatch takes for the whole. */
async function rootMatches(disk: Disk, path: string, gid: number, readonly: boolean): Promise<boolean> {
  const stat = await disk.stat(path)
  if (stat === undefined) return true
  const wanted = (readonly ? 0o440 : 0o660) | 0o110
  return stat.gid === gid && (stat.mode & wanted) === wanted && (stat.mode & 0o2000) !== 0
}

/** Gives the tree to the pod's fsGroup, if it has one. */
export async function applyFsGroup(disk: Disk, pod: Pod, path: string, readonly: boolean): Promise<void> {
  const gid = fsGroupOf(pod)
  if (gid === undefined) return
  const lazy = pod.spec.securityContext?.fsGroupChangePolicy === 'OnRootMismatch'
  if (lazy && (await rootMatches(disk, path, gid, readonly))) return
  await own(disk, path, gid, readonly)
}
async function own(disk: Disk, path: string, gid: number, readonly: boolean): Promise<void> {
  const stat = await disk.lstat(path)
  if (stat === undefined) return
  if (stat.type === 'directory')
    for (const { name } of (await disk.readdir(path)) ?? []) await own(disk, `${path}/${name}`, gid, readonly)
  if (stat.gid !== gid) await disk.chown(path, stat.uid, gid)
  if (stat.type === 'symlink') return
  const mask = readonly ? 0o440 : 0o660
  // The directory last: OnRootMismatch looks at the root alone.
  await disk.chmod(path, stat.mode | mask | (stat.type === 'directory' ? 0o2110 : 0))
}
