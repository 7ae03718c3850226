// What is mounted, from the kernel's own table: fields are separated by blanks, blanks inside are octal.
import { readFileSync } from 'node:fs'
import type { MountEntry } from '../ports/disk.ts'

export interface MountInfo extends MountEntry {
  /** Options of the file system itself: for cgroup v1 its controllers. */
  readonly superOptions: readonly string[]
  readonly shared: boolean
}
const unescape = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

export function parseMountInfo(table: string): MountInfo[] {
  const mounts: MountInfo[] = []
  for (const line of table.split('\n')) {
    const dash = line.indexOf(' - ')
    if (dash < 0) continue
    const [, , , , target = '', options = '', ...optional] = line.slice(0, dash).split(' ')
    const [fsType = '', source = '', superOptions = ''] = line.slice(dash + 3).split(' ')
    mounts.push({
      target: unescape(target),
      source: unescape(source),
      fsType,
      readonly: options.split(',').includes('ro'),
      superOptions: superOptions.split(','),
      shared: optional.some((field) => field.startsWith('shared:')),
    })
  }
  return mounts
}
export const readMounts = (): MountInfo[] => parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))

/** Mounts at or below `path`, deepest last. */
export function mountsBelow(path: string, table: readonly MountInfo[] = readMounts()): MountInfo[] {
  const prefix = path === '/' ? '/' : `${path}/`
  return table
    .filter(({ target }) => target === path || target.startsWith(prefix))
    .toSorted((a, b) => a.target.split('/').length - b.target.split('/').length)
}
