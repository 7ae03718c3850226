// The Disk port on Linux. Mounting is left to mount(8), run by a waiting shell; paths that a pod controls are opened one
// element at a time through /proc/self/fd, so that no symlink leads out of its volume.
import { constants, watch as watchPath } from 'node:fs'
import * as fs from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { type Disk, DiskError, type FileStat, type OpenFile, type WriteFileOptions } from '../ports/disk.ts'
import { CommandError } from './command.ts'
import { mountsBelow, readMounts } from './mounts.ts'
import type { Shell } from './shell.ts'

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : 'EIO'
}
async function attempt<T>(what: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof DiskError) throw error
    const reason =
      error instanceof Error ? error.message.replace(/^[A-Z0-9]+: /, '').replace(/, \w+ '.*$/, '') : String(error)
    throw new DiskError(codeOf(error), `${what} ${path}: ${reason}`, { cause: error })
  }
}
/** Undefined instead of an error where the file is not there. */
async function ifThere<T>(what: string, path: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await attempt(what, path, work)
  } catch (error) {
    if (error instanceof DiskError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined
    throw error
  }
}

type Kinds = {
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
  isSocket(): boolean
  isCharacterDevice(): boolean
  isBlockDevice(): boolean
}
function typeOf(entry: Kinds): FileStat['type'] {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  if (entry.isSymbolicLink()) return 'symlink'
  if (entry.isSocket()) return 'socket'
  if (entry.isCharacterDevice()) return 'charDevice'
  if (entry.isBlockDevice()) return 'blockDevice'
  return 'fifo'
}
type Stats = Awaited<ReturnType<typeof fs.stat>>
const statOf = (stats: Stats): FileStat => ({
  type: typeOf(stats),
  sizeBytes: Number(stats.size),
  mode: Number(stats.mode) & 0o7777,
  uid: Number(stats.uid),
  gid: Number(stats.gid),
  mtimeMs: Number(stats.mtimeMs),
  inode: Number(stats.ino),
  device: Number(stats.dev),
})

async function write(path: string, content: Uint8Array, options: WriteFileOptions, sync: boolean): Promise<void> {
  const mode = options.mode ?? 0o644
  const handle = await fs.open(path, 'w', mode)
  try {
    await handle.writeFile(content)
    if (options.uid !== undefined || options.gid !== undefined) await handle.chown(options.uid ?? 0, options.gid ?? 0)
    // After chown, which takes setuid bits away.
    await handle.chmod(mode)
    if (sync) await handle.sync()
  } finally {
    await handle.close()
  }
}
async function replace(path: string, content: Uint8Array, options: WriteFileOptions): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}`)
  try {
    await write(beside, content, options, true)
    await fs.rename(beside, path)
  } catch (error) {
    await fs.rm(beside, { force: true })
    throw error
  }
}
async function makeDirectory(path: string, options: WriteFileOptions): Promise<void> {
  try {
    await fs.mkdir(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      await makeDirectory(dirname(path), {})
      return makeDirectory(path, options)
    }
    if (codeOf(error) === 'EEXIST' && (await fs.stat(path)).isDirectory()) return
    throw error
  }
  if (options.uid !== undefined || options.gid !== undefined) await fs.chown(path, options.uid ?? 0, options.gid ?? 0)
  await fs.chmod(path, options.mode ?? 0o755)
}
async function removeTree(path: string): Promise<void> {
  const mounted = mountsBelow(path)[0]
  if (mounted !== undefined) throw new DiskError('EBUSY', `remove ${path}: ${mounted.target} is a mount point`)
  await fs.rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 })
}
function openFile(handle: fs.FileHandle): OpenFile {
  return {
    async read(offset, length) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, offset)
      return buffer.subarray(0, bytesRead)
    },
    stat: async () => statOf(await handle.stat()),
    close: () => handle.close(),
  }
}

/** O_PATH of Linux, which node does not name: a handle to a place, whatever stands there. */
const openPath = 0o10000000
/** Opens root/subPath without following symlinks. The caller closes the handle. */
async function openWithin(root: string, subPath: string, mode: number | undefined): Promise<fs.FileHandle> {
  const parts = subPath.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..') || subPath.startsWith('/'))
    throw new DiskError('EPERM', `open ${subPath}: the path leaves its volume`)
  let current = await fs.open(root, constants.O_RDONLY | constants.O_DIRECTORY | openPath)
  for (const [index, part] of parts.entries()) {
    const path = `/proc/self/fd/${current.fd}/${part}`
    try {
      const next = await openElement(path, mode, index === parts.length - 1)
      await current.close()
      current = next
    } catch (error) {
      await current.close()
      throw new DiskError(
        codeOf(error),
        `open ${join(root, subPath)}: ${String((error as Error).message).split(',')[0]}`,
        {
          cause: error,
        },
      )
    }
  }
  return current
}
async function openElement(path: string, mode: number | undefined, last: boolean): Promise<fs.FileHandle> {
  const open = async () => {
    const handle = await fs.open(path, openPath | constants.O_NOFOLLOW)
    const stats = await handle.stat()
    if (!stats.isSymbolicLink() && (last || stats.isDirectory())) return handle
    await handle.close()
    throw stats.isSymbolicLink()
      ? new DiskError('EPERM', 'a symbolic link stands in the path')
      : new DiskError('ENOTDIR', 'not a directory')
  }
  try {
    return await open()
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || mode === undefined) throw error
    await fs.mkdir(path, mode)
    await fs.chmod(path, mode)
    return open()
  }
}

function watchChanges(path: string, onChange: () => void): { close(): void } {
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const tell = () => {
    if (closed || timer !== undefined) return
    timer = setTimeout(() => {
      timer = undefined
      if (!closed) onChange()
    }, 10)
    timer.unref()
  }
  // A file is replaced more often than written: its directory tells of both.
  const open = (folder: string, only: string | undefined) => {
    const watcher = watchPath(folder, { persistent: false }, (_, name) => {
      if (only === undefined || name === null || name === only) tell()
    })
    watcher.on('error', tell)
    return watcher
  }
  let watcher: ReturnType<typeof open>
  try {
    watcher = open(`${path}/.`, undefined)
  } catch (error) {
    if (!['ENOTDIR', 'ENOENT'].includes(codeOf(error))) throw error
    watcher = open(dirname(path), basename(path))
  }
  return {
    close() {
      closed = true
      clearTimeout(timer)
      watcher.close()
    },
  }
}

/** The machine's disk. `shell` runs mount, umount and du. */
export function createDisk(shell: Shell): Disk {
  const tool = async (what: string, path: string, file: string, args: readonly string[]): Promise<string> => {
    try {
      return await shell.run(file, args)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      const text = error.stderr === '' ? error.message : error.stderr.split('\n')[0]
      throw new DiskError(mountErrorCode(error.stderr), `${what} ${path}: ${text}`, { cause: error })
    }
  }
  const mount = (what: string, target: string, ...args: string[]) => tool(what, target, 'mount', args)
  const readonlyAgain = (target: string) => mount('remount read-only', target, '-o', 'remount,bind,ro', target)

  return {
    readFile: (path) => ifThere('read', path, fs.readFile(path)),
    writeFile: (path, content, options = {}) => attempt('write', path, write(path, content, options, false)),
    replaceFile: (path, content, options = {}) => attempt('replace', path, replace(path, content, options)),
    open: async (path) => {
      const handle = await ifThere('open', path, fs.open(path, 'r'))
      return handle === undefined ? undefined : openFile(handle)
    },
    mkdir: (path, options = {}) => attempt('make directory', path, makeDirectory(path, options)),
    rename: (from, to) => attempt('rename', from, fs.rename(from, to)),
    symlink: (target, path) => attempt('link', path, fs.symlink(target, path)),
    readlink: (path) => ifThere('read link', path, fs.readlink(path)),
    async stat(path) {
      const stats = await ifThere('stat', path, fs.stat(path))
      return stats === undefined ? undefined : statOf(stats)
    },
    async lstat(path) {
      const stats = await ifThere('stat', path, fs.lstat(path))
      return stats === undefined ? undefined : statOf(stats)
    },
    async readdir(path) {
      const entries = await ifThere('list', path, fs.readdir(path, { withFileTypes: true }))
      return entries
        ?.map((entry) => ({ name: entry.name, type: typeOf(entry) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    chmod: (path, mode) => attempt('change mode of', path, fs.chmod(path, mode)),
    chown: (path, uid, gid) => attempt('change owner of', path, fs.lchown(path, uid, gid)),
    remove: (path) => attempt('remove', path, removeTree(path)),

    async mountTmpfs(path, options) {
      await attempt('make directory', path, makeDirectory(path, {}))
      const flags = [
        ...(options.sizeBytes === undefined ? [] : [`size=${options.sizeBytes}`]),
        `mode=${(options.mode ?? 0o755).toString(8)}`,
      ]
      await mount('mount tmpfs on', path, '-n', '-t', 'tmpfs', '-o', flags.join(','), 'tmpfs', path)
    },
    async bindMount(source, target, options = {}) {
      await mount('bind mount on', target, '-n', '--rbind', source, target)
      if (options.readonly === true) await readonlyAgain(target)
    },
    async mountDevice({ source, target, fsType, flags }) {
      const options = flags.length === 0 ? [] : ['-o', flags.join(',')]
      await mount(`mount ${fsType} on`, target, '-n', '-t', fsType, ...options, source, target)
    },
    async makeShared(path) {
      const own = readMounts().find(({ target }) => target === path)
      if (own?.shared === true) return
      if (own === undefined) await mount('bind mount on', path, '-n', '--rbind', path, path)
      await mount('share mounts of', path, '-n', '--make-rshared', path)
    },
    async unmount(path) {
      if (!readMounts().some(({ target }) => target === path)) return
      try {
        await tool('unmount', path, 'umount', ['-n', path])
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        await tool('unmount', path, 'umount', ['-n', '-l', path])
      }
    },
    async mounts(path) {
      return mountsBelow(path)
    },
    async bindWithin({ root, subPath, target, readonly, mode }) {
      const handle = await attempt('open', join(root, subPath), openWithin(root, subPath, mode))
      try {
        if ((await handle.stat()).isDirectory()) await makeDirectory(target, {})
        else {
          await makeDirectory(dirname(target), {})
          await (await fs.open(target, 'a', 0o640)).close()
        }
        // Without -c, mount would look the path up again, and follow what changed meanwhile.
        const source = `/proc/${process.pid}/fd/${handle.fd}`
        await mount('bind mount on', target, '-n', '-c', '--rbind', source, target)
      } finally {
        await handle.close()
      }
      if (readonly) await readonlyAgain(target)
    },

    watch: watchChanges,
    async usage(path) {
      const number = async (...flags: string[]) => {
        const output = await tool('measure', path, 'du', ['-sx', ...flags, path])
        return Number(/^(\d+)\t/m.exec(output)?.[1] ?? 0)
      }
      return { bytes: await number('-B1'), inodes: await number('--inodes') }
    },
    async fileSystem(path) {
      const stats = await attempt('stat', path, fs.statfs(path))
      return {
        capacityBytes: stats.blocks * stats.bsize,
        availableBytes: stats.bavail * stats.bsize,
        inodes: stats.files,
        inodesFree: stats.ffree,
      }
    },
  }
}

/** mount(8) says errno in words. */
function mountErrorCode(text: string): string {
  if (/busy/.test(text)) return 'EBUSY'
  if (/does not exist|No such file/i.test(text)) return 'ENOENT'
  if (/permission denied|must be superuser|not permitted/i.test(text)) return 'EPERM'
  if (/unknown filesystem type/.test(text)) return 'ENODEV'
  return 'EIO'
}
