// Files that change all at once. They are written into a fresh directory; then ..data, a symlink, is turned to it in one
// rename. A reader that holds the old directory keeps reading the old content; the names a user sees are links through
// ..data, so they change together.
import type { Clock } from '../../ports/clock.ts'
import type { Disk } from '../../ports/disk.ts'

export interface PayloadFile {
  readonly content: Uint8Array
  readonly mode: number
  /** Owner, where it is not root. */
  readonly uid?: number
}
/** By relative path, '/' between elements. */
export type Payload = ReadonlyMap<string, PayloadFile>
export interface Ownership {
  readonly fsGroup: number | undefined
}

const dataLink = '..data'
const newLink = '..data_tmp'

/** Group-readable where a group owns it. */
const effectiveMode = (mode: number, owner: Ownership) => (owner.fsGroup === undefined ? mode : mode | 0o440)

const pad = (value: number, length = 2) => String(value).padStart(length, '0')
/** ..2024_01_31_12_00_00.123456789: a new name for every write. */
function stampedName(nowMs: number, sequence: number): string {
  const t = new Date(nowMs)
  const day = `${t.getUTCFullYear()}_${pad(t.getUTCMonth() + 1)}_${pad(t.getUTCDate())}`
  const time = `${pad(t.getUTCHours())}_${pad(t.getUTCMinutes())}_${pad(t.getUTCSeconds())}`
  return `..${day}_${time}.${pad(t.getUTCMilliseconds(), 3)}${pad(sequence % 1_000_000, 6)}`
}
let sequence = 0

const sameBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i])

/** True when the directory holds exactly this payload already. */
async function isCurrent(disk: Disk, directory: string, current: string, payload: Payload): Promise<boolean> {
  const seen = await filesBelow(disk, `${directory}/${current}`, '')
  if (seen.length !== payload.size) return false
  for (const path of seen) {
    const file = payload.get(path)
    const content = file && (await disk.readFile(`${directory}/${current}/${path}`))
    if (file === undefined || content === undefined || !sameBytes(content, file.content)) return false
  }
  return true
}
async function filesBelow(disk: Disk, root: string, below: string): Promise<string[]> {
  const entries = (await disk.readdir(below === '' ? root : `${root}/${below}`)) ?? []
  const found: string[] = []
  for (const { name, type } of entries) {
    const path = below === '' ? name : `${below}/${name}`
    if (type === 'directory') found.push(...(await filesBelow(disk, root, path)))
    else found.push(path)
  }
  return found
}

async function writeFiles(disk: Disk, directory: string, payload: Payload, owner: Ownership): Promise<void> {
  const gid = owner.fsGroup
  const directoryMode = gid === undefined ? 0o755 : 0o2775
  const made = new Set<string>()
  await disk.mkdir(directory, { mode: directoryMode, ...(gid === undefined ? {} : { gid }) })
  for (const [path, file] of payload) {
    const parts = path.split('/').slice(0, -1)
    for (let i = 1; i <= parts.length; i++) {
      const parent = parts.slice(0, i).join('/')
      if (made.has(parent)) continue
      made.add(parent)
      await disk.mkdir(`${directory}/${parent}`, { mode: directoryMode, ...(gid === undefined ? {} : { gid }) })
    }
    await disk.writeFile(`${directory}/${path}`, file.content, {
      mode: effectiveMode(file.mode, owner),
      ...(file.uid === undefined ? {} : { uid: file.uid }),
      ...(gid === undefined ? {} : { gid }),
    })
  }
}

const topNames = (payload: Payload) => new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path))

/** Makes `directory` show exactly `payload`; answers whether anything changed. */
export async function writePayload(
  disk: Disk,
  clock: Clock,
  directory: string,
  payload: Payload,
  owner: Ownership,
): Promise<boolean> {
  const gid = owner.fsGroup
  await disk.mkdir(directory, { mode: gid === undefined ? 0o777 : 0o2777, ...(gid === undefined ? {} : { gid }) })
  const current = await disk.readlink(`${directory}/${dataLink}`)
  if (current !== undefined && (await isCurrent(disk, directory, current, payload))) return false
  const next = stampedName(clock.now(), sequence++)
  await writeFiles(disk, `${directory}/${next}`, payload, owner)
  await disk.remove(`${directory}/${newLink}`)
  await disk.symlink(next, `${directory}/${newLink}`)
  await disk.rename(`${directory}/${newLink}`, `${directory}/${dataLink}`)
  const names = topNames(payload)
  for (const name of names)
    if ((await disk.lstat(`${directory}/${name}`)) === undefined)
      await disk.symlink(`${dataLink}/${name}`, `${directory}/${name}`)
  // Names that are no longer in the payload, and what an earlier, interrupted write left.
  for (const { name } of (await disk.readdir(directory)) ?? [])
    if (name !== dataLink && name !== next && !names.has(name)) await disk.remove(`${directory}/${name}`)
  return true
}
