// One suite for the port, run against the simulation and against the machine, so that the simulation is believed for a
// reason. Mounts need root.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDisk } from '../host/disk.ts'
import { createShell } from '../host/shell.ts'
import { isRoot } from '../host/testing/needs.ts'
import { type Disk, isDiskError } from '../ports/disk.ts'
import { SimDisk } from './sim-disk.ts'
import { VirtualClock } from './virtual-clock.ts'

interface Opened {
  readonly disk: Disk
  readonly folder: string
  close(): Promise<void>
}

async function openSim(): Promise<Opened> {
  const disk = new SimDisk({ clock: new VirtualClock() })
  await disk.mkdir('/tmp/folder')
  return { disk, folder: '/tmp/folder', close: () => Promise.resolve() }
}
async function openHost(): Promise<Opened> {
  const shell = createShell()
  const disk = createDisk(shell)
  const folder = mkdtempSync(join(tmpdir(), 'cox-disk-'))
  return {
    disk,
    folder,
    async close() {
      for (const { target } of (await disk.mounts(folder)).toReversed()) await disk.unmount(target)
      rmSync(folder, { recursive: true })
      shell.close()
    },
  }
}

const bytes = (text: string) => new TextEncoder().encode(text)
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) =>
      ['EISDIR', 'ENOENT', 'EBUSY', 'EPERM', 'EROFS', 'EEXIST', 'ENOTDIR', 'ENOTEMPTY'].find((c) =>
        isDiskError(error, c),
      ) ?? String(error),
  )

describe.for([
  ['simulation', openSim],
  ['host', openHost],
] as const)('disk: %s', ([name, open]) => {
  let opened: Opened
  let disk: Disk
  const at = (...parts: string[]) => [opened.folder, ...parts].join('/')
  const read = async (...parts: string[]) => {
    const content = await disk.readFile(at(...parts))
    return content === undefined ? undefined : new TextDecoder().decode(content)
  }
  beforeEach(async () => {
    opened = await open()
    disk = opened.disk
  })
  afterEach(() => opened.close())

  test('files: written, replaced, read at an offset, listed, renamed, removed', async () => {
    expect(await read('none')).toBeUndefined()
    expect(await disk.stat(at('none', 'below'))).toBeUndefined()
    await disk.writeFile(at('b'), bytes('one'), { mode: 0o600 })
    await disk.mkdir(at('a', 'deep'), { mode: 0o700 })
    expect(await disk.readdir(opened.folder)).toEqual([
      { name: 'a', type: 'directory' },
      { name: 'b', type: 'file' },
    ])
    expect(await disk.stat(at('b'))).toMatchObject({ type: 'file', sizeBytes: 3, mode: 0o600 })
    expect((await disk.stat(at('a')))?.mode).toBe(0o755)
    expect((await disk.stat(at('a', 'deep')))?.mode).toBe(0o700)
    const file = await disk.open(at('b'))
    await disk.replaceFile(at('b'), bytes('two!'))
    expect(await read('b')).toBe('two!')
    expect(new TextDecoder().decode(await file?.read(1, 9))).toBe('ne')
    expect((await file?.read(3, 9))?.length).toBe(0)
    expect((await file?.stat())?.inode).not.toBe((await disk.stat(at('b')))?.inode)
    await file?.close()
    await disk.rename(at('b'), at('a', 'c'))
    expect(await read('b')).toBeUndefined()
    expect(await read('a', 'c')).toBe('two!')
    await disk.chmod(at('a', 'c'), 0o640)
    expect((await disk.stat(at('a', 'c')))?.mode).toBe(0o640)
    await disk.remove(at('a'))
    await disk.remove(at('a'))
    expect(await disk.readdir(at('a'))).toBeUndefined()
  })

  test('errors carry the code of the system', async () => {
    await disk.writeFile(at('file'), bytes('x'))
    await disk.mkdir(at('dir', 'full'))
    expect(await code(disk.writeFile(at('no', 'parent'), bytes('x')))).toBe('ENOENT')
    expect(await code(disk.writeFile(at('dir'), bytes('x')))).toBe('EISDIR')
    expect(await code(disk.readFile(at('dir')))).toBe('EISDIR')
    expect(await code(disk.mkdir(at('file', 'below')))).toBe('ENOTDIR')
    expect(await code(disk.symlink('x', at('file')))).toBe('EEXIST')
    expect(await code(disk.rename(at('none'), at('other')))).toBe('ENOENT')
  })

  test('symlinks: followed by stat and read, not by lstat and remove', async () => {
    await disk.mkdir(at('real'))
    await disk.writeFile(at('real', 'f'), bytes('content'))
    await disk.symlink('real', at('link'))
    await disk.symlink(at('real', 'f'), at('absolute'))
    await disk.symlink('nowhere', at('dangling'))
    expect(await read('link', 'f')).toBe('content')
    expect(await read('absolute')).toBe('content')
    expect(await read('dangling')).toBeUndefined()
    expect(await disk.readlink(at('link'))).toBe('real')
    expect((await disk.stat(at('link')))?.type).toBe('directory')
    expect((await disk.lstat(at('link')))?.type).toBe('symlink')
    await disk.remove(at('link'))
    expect(await read('real', 'f')).toBe('content')
  })

  test('the way volumes are swapped: a link is renamed over a link', async () => {
    await disk.mkdir(at('v1'))
    await disk.writeFile(at('v1', 'key'), bytes('old'))
    await disk.mkdir(at('v2'))
    await disk.writeFile(at('v2', 'key'), bytes('new'))
    await disk.symlink('v1', at('data'))
    await disk.symlink('data/key', at('key'))
    expect(await read('key')).toBe('old')
    await disk.symlink('v2', at('data_tmp'))
    await disk.rename(at('data_tmp'), at('data'))
    expect(await read('key')).toBe('new')
  })

  test('a watch tells of changes in a directory and of one file', async () => {
    await disk.writeFile(at('log'), bytes('a'))
    for (const path of [opened.folder, at('log')]) {
      const told = new Promise<void>((done) => {
        const watch = disk.watch(path, () => {
          watch.close()
          done()
        })
      })
      await disk.writeFile(at('log'), bytes('more'))
      await told
    }
  })

  test('usage counts what a tree holds', async () => {
    await disk.mkdir(at('tree', 'sub'))
    await disk.writeFile(at('tree', 'sub', 'f'), new Uint8Array(8192))
    const { bytes: used, inodes } = await disk.usage(at('tree'))
    expect(inodes).toBe(3)
    expect(used).toBeGreaterThanOrEqual(8192)
    const { capacityBytes, availableBytes } = await disk.fileSystem(opened.folder)
    expect(availableBytes).toBeLessThanOrEqual(capacityBytes)
    expect(availableBytes).toBeGreaterThan(0)
  })

  describe.skipIf(name === 'host' && !isRoot)('mounts', () => {
    test('a tmpfs hides what was there until it is unmounted', async () => {
      await disk.mkdir(at('m'))
      await disk.writeFile(at('m', 'below'), bytes('x'))
      await disk.mountTmpfs(at('m'), { mode: 0o755, sizeBytes: 1 << 20 })
      expect(await disk.readdir(at('m'))).toEqual([])
      await disk.writeFile(at('m', 'above'), bytes('y'))
      expect((await disk.mounts(opened.folder)).map((m) => [m.target, m.fsType])).toEqual([[at('m'), 'tmpfs']])
      expect(await code(disk.remove(at('m')))).toBe('EBUSY')
      await disk.unmount(at('m'))
      await disk.unmount(at('m'))
      expect(await read('m', 'below')).toBe('x')
      expect(await disk.mounts(opened.folder)).toEqual([])
    })

    test('a bind mount shows the same files, read-only where asked', async () => {
      await disk.mkdir(at('source'))
      await disk.mkdir(at('target'))
      await disk.bindMount(at('source'), at('target'), { readonly: true })
      await disk.writeFile(at('source', 'f'), bytes('x'))
      expect(await read('target', 'f')).toBe('x')
      expect(await code(disk.writeFile(at('target', 'g'), bytes('x')))).toBe('EROFS')
    })

    test('bindWithin makes what is missing and never leaves its root', async () => {
      await disk.mkdir(at('volume'))
      await disk.mkdir(at('outside'))
      await disk.symlink('../outside', at('volume', 'escape'))
      const bind = (subPath: string, mode?: number) =>
        disk.bindWithin({
          root: at('volume'),
          subPath,
          target: at('mounted'),
          readonly: false,
          ...(mode === undefined ? {} : { mode }),
        })
      expect(await code(bind('absent'))).toBe('ENOENT')
      expect(await code(bind('escape/x', 0o755))).toBe('EPERM')
      expect(await code(bind('../outside'))).toBe('EPERM')
      await bind('a/b', 0o750)
      await disk.writeFile(at('mounted', 'f'), bytes('x'))
      expect(await read('volume', 'a', 'b', 'f')).toBe('x')
    })
  })
})
