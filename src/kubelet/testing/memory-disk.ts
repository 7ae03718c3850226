// A disk in memory for unit tests: files, directories, symlinks, mounts as entries in a list. Symlinks are followed in
// every element of a path but the last where the call says so.
import { type Disk, DiskError, type FileStat, type MountEntry } from '../../ports/disk.ts'

interface Entry {
  type: FileStat['type']
  content: Uint8Array
  target: string
  mode: number
  uid: number
  gid: number
  inode: number
}
export interface MemoryDisk extends Disk {
  readonly mounted: MountEntry[]
  /** Text of a file, for expectations; undefined when absent. */
  text(path: string): string | undefined
  /** Puts a file with its directories. */
  put(path: string, text: string): void
  append(path: string, text: string): void
}

export function memoryDisk(): MemoryDisk {
  let inode = 1
  const entries = new Map<string, Entry>()
  const mounted: MountEntry[] = []
  const watchers = new Set<{ readonly path: string; readonly changed: () => void }>()
  const make = (type: FileStat['type'], parts: Partial<Entry> = {}): Entry => ({
    type,
    content: new Uint8Array(),
    target: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    inode: inode++,
    ...parts,
  })
  entries.set('/', make('directory'))
  const clean = (path: string) => path.replace(/\/+/g, '/').replace(/(.)\/$/, '$1')
  const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/')) || '/'
  /** The path without symlinks; `last`: also in its last element. */
  const real = (path: string, last = true, hops = 0): string => {
    if (hops > 20) throw new DiskError('ELOOP', `ELOOP: ${path}`)
    let at = '/'
    const parts = clean(path)
      .split('/')
      .filter((p) => p !== '')
    for (const [i, part] of parts.entries()) {
      const next = at === '/' ? `/${part}` : `${at}/${part}`
      const entry = entries.get(next)
      if (entry?.type === 'symlink' && (last || i < parts.length - 1)) {
        const target = entry.target.startsWith('/') ? entry.target : `${at}/${entry.target}`
        return real([target, ...parts.slice(i + 1)].join('/'), last, hops + 1)
      }
      at = next
    }
    return at
  }
  const changed = (path: string) => {
    for (const watcher of watchers) if (path === watcher.path || parentOf(path) === watcher.path) watcher.changed()
  }
  const need = (path: string): Entry => {
    const entry = entries.get(path)
    if (entry === undefined) throw new DiskError('ENOENT', `ENOENT: no such file or directory, '${path}'`)
    return entry
  }
  const statOf = (entry: Entry): FileStat => ({
    type: entry.type,
    sizeBytes: entry.content.length,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeMs: 0,
    inode: entry.inode,
    device: 1,
  })
  const below = (path: string) => [...entries.keys()].filter((key) => key.startsWith(path === '/' ? '/' : `${path}/`))
  const write = (path: string, content: Uint8Array, options: { mode?: number; uid?: number; gid?: number } = {}) => {
    const at = real(path)
    if (entries.get(parentOf(at))?.type !== 'directory') throw new DiskError('ENOENT', `ENOENT: '${path}'`)
    const known = entries.get(at)
    const entry = known ?? make('file', { mode: 0o644 })
    Object.assign(entry, { content, ...options })
    entries.set(at, entry)
    changed(at)
  }
  const mkdir = (path: string, options: { mode?: number; uid?: number; gid?: number } = {}) => {
    const at = real(path)
    const parts = at.split('/').filter((p) => p !== '')
    for (let i = 1; i <= parts.length; i++) {
      const dir = `/${parts.slice(0, i).join('/')}`
      if (!entries.has(dir)) entries.set(dir, make('directory', i === parts.length ? options : {}))
    }
  }
  const move = (from: string, to: string) => {
    const [source, target] = [real(from, false), real(to, false)]
    const entry = need(source)
    for (const key of [target, ...below(target)]) entries.delete(key)
    for (const key of below(source)) {
      const child = entries.get(key)
      entries.delete(key)
      if (child !== undefined) entries.set(target + key.slice(source.length), child)
    }
    entries.delete(source)
    entries.set(target, entry)
    changed(source)
    changed(target)
  }
  const sync = <T>(work: () => T): Promise<T> => {
    try {
      return Promise.resolve(work())
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }
  const text = (path: string) => {
    const entry = entries.get(real(path))
    return entry === undefined ? undefined : new TextDecoder().decode(entry.content)
  }
  return {
    mounted,
    text,
    put(path, content) {
      mkdir(parentOf(clean(path)))
      write(path, new TextEncoder().encode(content))
    },
    append(path, more) {
      write(path, new TextEncoder().encode((text(path) ?? '') + more))
    },
    readFile: (path) => sync(() => entries.get(real(path))?.content),
    writeFile: (path, content, options) => sync(() => write(path, content, options)),
    replaceFile: (path, content, options) => sync(() => write(path, content, options)),
    open: (path) =>
      sync(() => {
        const entry = entries.get(real(path))
        if (entry === undefined) return undefined
        return {
          read: (offset, length) => Promise.resolve(entry.content.subarray(offset, offset + length)),
          stat: () => Promise.resolve(statOf(entry)),
          close: () => Promise.resolve(),
        }
      }),
    mkdir: (path, options) => sync(() => mkdir(path, options)),
    rename: (from, to) => sync(() => move(from, to)),
    symlink: (target, path) =>
      sync(() => {
        const at = real(path, false)
        if (entries.has(at)) throw new DiskError('EEXIST', `EEXIST: '${path}'`)
        entries.set(at, make('symlink', { target, mode: 0o777 }))
        changed(at)
      }),
    readlink: (path) =>
      sync(() => {
        const entry = entries.get(real(path, false))
        if (entry !== undefined && entry.type !== 'symlink') throw new DiskError('EINVAL', `EINVAL: '${path}'`)
        return entry?.target
      }),
    stat: (path) =>
      sync(() => entries.get(real(path))).then((entry) => (entry === undefined ? undefined : statOf(entry))),
    lstat: (path) =>
      sync(() => entries.get(real(path, false))).then((entry) => (entry === undefined ? undefined : statOf(entry))),
    readdir: (path) =>
      sync(() => {
        const at = real(path)
        if (!entries.has(at)) return undefined
        return below(at)
          .filter((key) => parentOf(key) === at && key !== '/')
          .map((key) => ({ name: key.slice(key.lastIndexOf('/') + 1), type: need(key).type }))
          .sort((a, b) => (a.name < b.name ? -1 : 1))
      }),
    chmod: (path, mode) => sync(() => void Object.assign(need(real(path)), { mode })),
    chown: (path, uid, gid) => sync(() => void Object.assign(need(real(path, false)), { uid, gid })),
    remove: (path) =>
      sync(() => {
        const at = real(path, false)
        if (mounted.some((m) => m.target === at || m.target.startsWith(`${at}/`)))
          throw new DiskError('EBUSY', `EBUSY: resource busy or locked, '${path}'`)
        for (const key of [at, ...below(at)]) entries.delete(key)
        changed(at)
      }),
    mountTmpfs: (path) =>
      sync(() => {
        mkdir(path)
        mounted.push({ target: clean(path), source: 'tmpfs', fsType: 'tmpfs', readonly: false })
      }),
    bindMount: (source, target, options) =>
      sync(() => void mounted.push({ target, source, fsType: 'bind', readonly: options?.readonly === true })),
    mountDevice: ({ source, target, fsType }) =>
      sync(() => void mounted.push({ target, source, fsType, readonly: false })),
    makeShared: () => Promise.resolve(),
    unmount: (path) =>
      sync(() => {
        const at = mounted.findLastIndex((m) => m.target === path)
        if (at !== -1) mounted.splice(at, 1)
      }),
    mounts: (path) => sync(() => mounted.filter((m) => m.target === path || m.target.startsWith(`${path}/`))),
    bindWithin: ({ root, subPath, target, readonly, mode }) =>
      sync(() => {
        const source = real(`${root}/${subPath}`)
        if (!source.startsWith(`${real(root)}`)) throw new DiskError('EPERM', `EPERM: '${subPath}' leaves '${root}'`)
        if (!entries.has(source) && mode === undefined) throw new DiskError('ENOENT', `ENOENT: '${source}'`)
        if (!entries.has(source)) mkdir(source, mode === undefined ? {} : { mode })
        mkdir(parentOf(target))
        mounted.push({ target, source, fsType: 'bind', readonly })
      }),
    watch(path, onChange) {
      const watcher = { path: clean(path), changed: onChange }
      watchers.add(watcher)
      return { close: () => void watchers.delete(watcher) }
    },
    usage: (path) =>
      sync(() => {
        const keys = [real(path), ...below(real(path))]
        return {
          bytes: keys.reduce((sum, key) => sum + (entries.get(key)?.content.length ?? 0), 0),
          inodes: keys.length,
        }
      }),
    fileSystem: () =>
      Promise.resolve({ capacityBytes: 2 ** 40, availableBytes: 2 ** 39, inodes: 2 ** 20, inodesFree: 2 ** 19 }),
  }
}
