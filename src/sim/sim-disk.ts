// Files, directories, links and mounts of a simulated node, in memory. Paths are walked element by element as a kernel does:
// symlinks are followed, a mount hides what lies below it, and removal stops at mounts.
import type { Clock } from '../ports/clock.ts'
import {
  type Disk,
  type DirectoryEntry,
  DiskError,
  type FileStat,
  type MountEntry,
  type OpenFile,
  type WriteFileOptions,
} from '../ports/disk.ts'

interface Inode {
  readonly number: number
  readonly device: number
  readonly type: 'file' | 'directory' | 'symlink'
  mode: number
  uid: number
  gid: number
  mtimeMs: number
  /** Of a file; `size` bytes of it count. */
  content: Uint8Array
  size: number
  /** Of a directory. */
  readonly children: Map<string, Inode>
  /** Of a symlink. */
  readonly target: string
}
interface Mount {
  readonly path: string
  readonly root: Inode
  readonly entry: MountEntry
}
interface Located {
  /** The path without symlinks. */
  readonly path: string
  readonly inode: Inode
}

export interface SimDiskOptions {
  readonly clock: Clock
  readonly capacityBytes?: number
}

const maxLinks = 40
const inodeBytes = 256
const maxInodes = 6_000_000

export class SimDisk implements Disk {
  private readonly clock: Clock
  private readonly capacityBytes: number
  private nextInode = 2
  private nextDevice = 2
  private readonly root: Inode
  private mountTable: Mount[] = []
  private readonly watchers = new Set<{ readonly path: string; readonly onChange: () => void }>()

  constructor(options: SimDiskOptions) {
    this.clock = options.clock
    this.capacityBytes = options.capacityBytes ?? 100 * 2 ** 30
    this.root = this.newInode('directory', 1, { mode: 0o755 })
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    const file = this.find(path)
    if (file === undefined) return undefined
    if (file.inode.type === 'directory') throw fault('EISDIR', 'read', path)
    return file.inode.content.slice(0, file.inode.size)
  }
  async writeFile(path: string, content: Uint8Array, options?: WriteFileOptions): Promise<void> {
    this.writeNow(path, content, options)
  }
  async replaceFile(path: string, content: Uint8Array, options?: WriteFileOptions): Promise<void> {
    const { parent, name, path: full } = this.parentOf(path, 'replace')
    this.checkWritable(full, 'replace')
    const file = this.newInode('file', parent.device, { mode: 0o644, ...options })
    this.fill(file, content, path)
    parent.children.set(name, file)
    this.touched(full)
  }
  async open(path: string): Promise<OpenFile | undefined> {
    const found = this.find(path)
    if (found === undefined) return undefined
    const { inode } = found
    return {
      read: async (offset, length) => inode.content.slice(offset, Math.min(inode.size, offset + length)),
      stat: async () => statOf(inode),
      close: async () => {},
    }
  }
  async mkdir(path: string, options: WriteFileOptions = {}): Promise<void> {
    this.mkdirNow(path, options)
  }
  async rename(from: string, to: string): Promise<void> {
    const source = this.parentOf(from, 'rename')
    const target = this.parentOf(to, 'rename')
    this.checkWritable(target.path, 'rename')
    const inode = source.parent.children.get(source.name)
    if (inode === undefined) throw fault('ENOENT', 'rename', from)
    if (source.parent.device !== target.parent.device) throw fault('EXDEV', 'rename', to)
    const there = target.parent.children.get(target.name)
    if (there !== undefined && there.type === 'directory' && there.children.size > 0)
      throw fault('ENOTEMPTY', 'rename', to)
    source.parent.children.delete(source.name)
    target.parent.children.set(target.name, inode)
    this.touched(source.path)
    this.touched(target.path)
  }
  async symlink(target: string, path: string): Promise<void> {
    const { parent, name, path: full } = this.parentOf(path, 'symlink')
    this.checkWritable(full, 'symlink')
    if (parent.children.has(name)) throw fault('EEXIST', 'symlink', path)
    parent.children.set(name, this.newInode('symlink', parent.device, { mode: 0o777 }, target))
    this.touched(full)
  }
  async readlink(path: string): Promise<string | undefined> {
    const found = this.find(path, false)
    if (found === undefined) return undefined
    if (found.inode.type !== 'symlink') throw fault('EINVAL', 'readlink', path)
    return found.inode.target
  }
  async stat(path: string): Promise<FileStat | undefined> {
    const found = this.find(path)
    return found === undefined ? undefined : statOf(found.inode)
  }
  async lstat(path: string): Promise<FileStat | undefined> {
    const found = this.find(path, false)
    return found === undefined ? undefined : statOf(found.inode)
  }
  async readdir(path: string): Promise<readonly DirectoryEntry[] | undefined> {
    const found = this.find(path)
    if (found === undefined) return undefined
    if (found.inode.type !== 'directory') throw fault('ENOTDIR', 'readdir', path)
    return [...found.inode.children]
      .map(([name, { type }]) => ({ name, type }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  async chmod(path: string, mode: number): Promise<void> {
    this.need(path, 'chmod').inode.mode = mode & 0o7777
  }
  async chown(path: string, uid: number, gid: number): Promise<void> {
    const { inode } = this.need(path, 'chown', false)
    if (uid >= 0) inode.uid = uid
    if (gid >= 0) inode.gid = gid
  }
  async remove(path: string): Promise<void> {
    const found = this.find(path, false)
    if (found === undefined) return
    const below = this.mountTable.find((m) => m.path === found.path || m.path.startsWith(`${found.path}/`))
    if (below !== undefined) throw fault('EBUSY', 'remove', below.path)
    this.checkWritable(found.path, 'remove')
    const { parent, name } = this.parentOf(found.path, 'remove')
    parent.children.delete(name)
    this.touched(found.path)
  }

  async mountTmpfs(path: string, options: { readonly sizeBytes?: number; readonly mode?: number }): Promise<void> {
    this.mkdirNow(path, {})
    const root = this.newInode('directory', this.nextDevice++, { mode: options.mode ?? 0o1777 })
    this.addMount(path, root, { source: 'tmpfs', fsType: 'tmpfs', readonly: false })
  }
  async bindMount(source: string, target: string, options: { readonly readonly?: boolean } = {}): Promise<void> {
    const { inode, path } = this.need(source, 'bind')
    const onto = this.need(target, 'bind')
    if ((inode.type === 'directory') !== (onto.inode.type === 'directory')) throw fault('ENOTDIR', 'bind', target)
    this.addMount(target, inode, { source: path, fsType: 'none', readonly: options.readonly === true })
  }
  async mountDevice(options: {
    readonly source: string
    readonly target: string
    readonly fsType: string
    readonly flags: readonly string[]
  }): Promise<void> {
    const root = this.newInode('directory', this.nextDevice++, { mode: 0o755 })
    const { source, target, fsType, flags } = options
    this.addMount(target, root, { source, fsType, readonly: flags.includes('ro') })
  }
  async makeShared(path: string): Promise<void> {
    this.need(path, 'share')
  }
  async unmount(path: string): Promise<void> {
    const full = this.find(path)?.path ?? normal(path)
    const at = this.mountTable.findLastIndex((mount) => mount.path === full)
    if (at >= 0) this.mountTable.splice(at, 1)
  }
  async mounts(path: string): Promise<readonly MountEntry[]> {
    const full = this.find(path)?.path ?? normal(path)
    const depth = (p: string) => p.split('/').length
    return this.mountTable
      .filter((mount) => mount.path === full || mount.path.startsWith(full === '/' ? '/' : `${full}/`))
      .map((mount) => mount.entry)
      .sort((a, b) => depth(a.target) - depth(b.target))
  }
  async bindWithin(options: {
    readonly root: string
    readonly subPath: string
    readonly target: string
    readonly readonly: boolean
    readonly mode?: number
  }): Promise<void> {
    const { root, subPath, target, mode } = options
    const base = this.need(root, 'open').path
    let path = base
    for (const element of subPath.split('/').filter((e) => e !== '' && e !== '.')) {
      if (element === '..') throw fault('EPERM', 'open', `${root}/${subPath}`)
      const next = `${path}/${element}`
      const found = this.find(next, false)
      if (found === undefined) {
        if (mode === undefined) throw fault('ENOENT', 'open', next)
        this.mkdirNow(next, { mode })
      } else if (found.inode.type === 'symlink') {
        const resolved = this.need(next, 'open').path
        if (resolved !== base && !resolved.startsWith(`${base}/`)) throw fault('EPERM', 'open', next)
        path = resolved
        continue
      }
      path = next
    }
    const source = this.need(path, 'open')
    if (source.inode.type === 'directory') this.mkdirNow(target, {})
    else if (this.find(target) === undefined) {
      this.mkdirNow(target.slice(0, target.lastIndexOf('/')), {})
      this.writeNow(target, new Uint8Array())
    }
    await this.bindMount(source.path, target, { readonly: options.readonly })
  }

  watch(path: string, onChange: () => void): { close(): void } {
    const watcher = { path: this.find(path)?.path ?? normal(path), onChange }
    this.watchers.add(watcher)
    return { close: () => void this.watchers.delete(watcher) }
  }
  async usage(path: string): Promise<{ bytes: number; inodes: number }> {
    const found = this.find(path)
    return found === undefined ? { bytes: 0, inodes: 0 } : sumOf(found.inode)
  }
  async fileSystem(): Promise<{
    capacityBytes: number
    availableBytes: number
    inodes: number
    inodesFree: number
  }> {
    const used = sumOf(this.root)
    return {
      capacityBytes: this.capacityBytes,
      availableBytes: Math.max(0, this.capacityBytes - used.bytes - used.inodes * inodeBytes),
      inodes: maxInodes,
      inodesFree: maxInodes - used.inodes,
    }
  }

  /** Adds to the end of a file, which is made with its directories when it is not there: how containers write logs. */
  append(path: string, bytes: Uint8Array): void {
    const found = this.find(path)
    if (found === undefined) {
      this.mkdirNow(normal(`${path}/..`), {})
      this.writeNow(path, bytes)
      return
    }
    const { inode } = found
    if (inode.size + bytes.length > inode.content.length) {
      const grown = new Uint8Array(2 * (inode.size + bytes.length))
      grown.set(inode.content.subarray(0, inode.size))
      inode.content = grown
    }
    inode.content.set(bytes, inode.size)
    inode.size += bytes.length
    inode.mtimeMs = this.clock.now()
    this.touched(found.path)
  }

  private writeNow(path: string, content: Uint8Array, options: WriteFileOptions = {}): void {
    const found = this.find(path)
    if (found?.inode.type === 'directory') throw fault('EISDIR', 'write', path)
    if (found !== undefined) {
      this.checkWritable(found.path, 'write')
      this.fill(found.inode, content, path)
      apply(found.inode, options)
      this.touched(found.path)
      return
    }
    const { parent, name, path: full } = this.parentOf(path, 'write')
    this.checkWritable(full, 'write')
    const file = this.newInode('file', parent.device, { mode: 0o644, ...options })
    this.fill(file, content, path)
    parent.children.set(name, file)
    this.touched(full)
  }
  private mkdirNow(path: string, options: WriteFileOptions): void {
    const elements = normal(path).split('/').slice(1)
    let current = ''
    elements.forEach((element, i) => {
      current = `${current}/${element}`
      if (element === '') return
      const found = this.find(current)
      if (found !== undefined) {
        if (found.inode.type !== 'directory') throw fault('ENOTDIR', 'mkdir', current)
        return
      }
      const { parent, name, path: full } = this.parentOf(current, 'mkdir')
      this.checkWritable(full, 'mkdir')
      const wanted = i === elements.length - 1 ? options : {}
      parent.children.set(name, this.newInode('directory', parent.device, { mode: 0o755, ...wanted }))
      this.touched(full)
    })
  }
  private fill(inode: Inode, content: Uint8Array, path: string): void {
    if (inode.device === 1 && content.length > this.capacityBytes) throw fault('ENOSPC', 'write', path)
    inode.content = content.slice()
    inode.size = content.length
    inode.mtimeMs = this.clock.now()
  }
  private newInode(type: Inode['type'], device: number, options: WriteFileOptions, target = ''): Inode {
    return {
      number: this.nextInode++,
      device,
      type,
      mode: options.mode ?? 0o644,
      uid: options.uid ?? 0,
      gid: options.gid ?? 0,
      mtimeMs: this.clock.now(),
      content: new Uint8Array(),
      size: 0,
      children: new Map(),
      target,
    }
  }
  private addMount(target: string, root: Inode, entry: Omit<MountEntry, 'target'>): void {
    const { path } = this.need(target, 'mount')
    this.mountTable.push({ path, root, entry: { target: path, ...entry } })
  }
  private mountAt(path: string): Mount | undefined {
    return this.mountTable.findLast((mount) => mount.path === path)
  }
  private checkWritable(path: string, operation: string): void {
    const over = this.mountTable.findLast((m) => path === m.path || path.startsWith(`${m.path}/`))
    if (over?.entry.readonly === true) throw fault('EROFS', operation, path)
  }
  private find(path: string, followLast = true): Located | undefined {
    return this.walk(normal(path), followLast, 0)
  }
  private walk(path: string, followLast: boolean, links: number): Located | undefined {
    if (links > maxLinks) throw fault('ELOOP', 'open', path)
    let here = this.mountAt('/')?.root ?? this.root
    let full = ''
    const elements = path.split('/').filter((e) => e !== '')
    for (const [i, element] of elements.entries()) {
      if (here.type !== 'directory') return undefined
      const child = here.children.get(element)
      full = `${full}/${element}`
      const mounted = this.mountAt(full)
      if (mounted !== undefined) {
        here = mounted.root
        continue
      }
      if (child === undefined) return undefined
      const isLast = i === elements.length - 1
      if (child.type === 'symlink' && (!isLast || followLast)) {
        const rest = elements.slice(i + 1).join('/')
        const base = child.target.startsWith('/') ? child.target : `${full}/../${child.target}`
        return this.walk(normal(`${base}/${rest}`), followLast, links + 1)
      }
      here = child
    }
    return { path: full === '' ? '/' : full, inode: here }
  }
  private need(path: string, operation: string, followLast = true): Located {
    const found = this.find(path, followLast)
    if (found === undefined) throw fault('ENOENT', operation, path)
    return found
  }
  private parentOf(path: string, operation: string): { parent: Inode; name: string; path: string } {
    const clean = normal(path)
    const slash = clean.lastIndexOf('/')
    const name = clean.slice(slash + 1)
    const parent = this.need(clean.slice(0, slash) || '/', operation)
    if (name === '' || parent.inode.type !== 'directory') throw fault('ENOTDIR', operation, path)
    return { parent: parent.inode, name, path: `${parent.path === '/' ? '' : parent.path}/${name}` }
  }
  /** Tells who watches the file or its directory, once this turn's work is done. */
  private touched(path: string): void {
    const parent = path.slice(0, path.lastIndexOf('/')) || '/'
    for (const watcher of this.watchers) {
      if (watcher.path !== path && watcher.path !== parent) continue
      queueMicrotask(() => {
        if (this.watchers.has(watcher)) watcher.onChange()
      })
    }
  }
}

const fault = (code: string, operation: string, path: string) =>
  new DiskError(code, `${operation} ${path}: ${reasons[code] ?? code}`)
const reasons: Readonly<Record<string, string>> = {
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EINVAL: 'invalid argument',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  EXDEV: 'invalid cross-device link',
}

function apply(inode: Inode, options: WriteFileOptions): void {
  if (options.mode !== undefined) inode.mode = options.mode
  if (options.uid !== undefined) inode.uid = options.uid
  if (options.gid !== undefined) inode.gid = options.gid
}

/** Without empty, '.' and '..' elements. */
function normal(path: string): string {
  const out: string[] = []
  for (const element of path.split('/')) {
    if (element === '..') out.pop()
    else if (element !== '' && element !== '.') out.push(element)
  }
  return `/${out.join('/')}`
}

const statOf = (inode: Inode): FileStat => ({
  type: inode.type,
  sizeBytes: inode.type === 'symlink' ? inode.target.length : inode.size,
  mode: inode.mode,
  uid: inode.uid,
  gid: inode.gid,
  mtimeMs: inode.mtimeMs,
  inode: inode.number,
  device: inode.device,
})

function sumOf(root: Inode): { bytes: number; inodes: number } {
  const seen = new Set<Inode>()
  const queue = [root]
  let bytes = 0
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue
    seen.add(next)
    bytes += next.size
    queue.push(...next.children.values())
  }
  return { bytes, inodes: seen.size }
}
