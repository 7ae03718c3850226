import { linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DiskError } from '../ports/disk.ts'
import { createDisk } from './disk.ts'
import { parseMountInfo } from './mounts.ts'
import { createShell } from './shell.ts'
import { isRoot } from './testing/needs.ts'

const shell = createShell()
const disk = createDisk(shell)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox disk-'))
})
afterEach(async () => {
  for (const { target } of (await disk.mounts(folder)).toReversed()) await disk.unmount(target)
  rmSync(folder, { recursive: true })
})
afterAll(() => shell.close())
const at = (...parts: string[]) => join(folder, ...parts)
const bytes = (text: string) => new TextEncoder().encode(text)
const read = async (path: string) => {
  const content = await disk.readFile(path)
  return content === undefined ? undefined : new TextDecoder().decode(content)
}

describe('files', () => {
  test('what is absent is undefined', async () => {
    expect(await disk.readFile(at('none'))).toBeUndefined()
    expect(await disk.open(at('none'))).toBeUndefined()
    expect(await disk.stat(at('none', 'below'))).toBeUndefined()
    expect(await disk.readdir(at('none'))).toBeUndefined()
    expect(await disk.readlink(at('none'))).toBeUndefined()
    await disk.remove(at('none'))
  })
  test('a mode holds whatever the umask', async () => {
    await disk.writeFile(at('open'), bytes('x'), { mode: 0o666 })
    await disk.mkdir(at('a', 'b'), { mode: 0o1777 })
    expect((await disk.stat(at('open')))?.mode).toBe(0o666)
    expect((await disk.stat(at('a', 'b')))?.mode).toBe(0o1777)
    expect((await disk.stat(at('a')))?.mode).toBe(0o755)
    await disk.mkdir(at('a', 'b'), { mode: 0o700 })
    expect((await disk.stat(at('a', 'b')))?.mode).toBe(0o1777)
  })
  test('replacing leaves nothing beside, and what is open stays readable', async () => {
    await disk.replaceFile(at('f'), bytes('old'))
    const open = await disk.open(at('f'))
    await disk.replaceFile(at('f'), bytes('new'))
    expect(await read(at('f'))).toBe('new')
    expect(new TextDecoder().decode(await open?.read(1, 10))).toBe('ld')
    expect((await open?.read(3, 10))?.length).toBe(0)
    await open?.close()
    expect((await disk.readdir(folder))?.map((entry) => entry.name)).toEqual(['f'])
  })
  test('links are not followed where the port says so', async () => {
    await disk.writeFile(at('real'), bytes('x'))
    await disk.symlink('real', at('link'))
    expect(await disk.readlink(at('link'))).toBe('real')
    expect((await disk.stat(at('link')))?.type).toBe('file')
    expect((await disk.lstat(at('link')))?.type).toBe('symlink')
    await disk.remove(at('link'))
    expect(await read(at('real'))).toBe('x')
  })
  test.each([
    ['a directory as a file', 'EISDIR', () => disk.readFile(folder)],
    ['a file below a file', 'ENOTDIR', () => disk.writeFile(at('file', 'x'), bytes(''))],
    ['a file in no directory', 'ENOENT', () => disk.writeFile(at('no', 'x'), bytes(''))],
    ['a directory on a file', 'EEXIST', () => disk.mkdir(at('file'))],
  ])('%s is a DiskError %s', async (_, code, work) => {
    writeFileSync(at('file'), '')
    const error = await work().then(
      () => undefined,
      (e: unknown) => e,
    )
    expect(error).toBeInstanceOf(DiskError)
    expect((error as DiskError).code).toBe(code)
    expect((error as DiskError).message).toContain(folder)
  })
  test('usage counts a hard link once', async () => {
    writeFileSync(at('a'), Buffer.alloc(1 << 20, 1))
    linkSync(at('a'), at('b'))
    const usage = await disk.usage(folder)
    expect(usage.bytes).toBeGreaterThanOrEqual(1 << 20)
    expect(usage.bytes).toBeLessThan((1 << 20) + 65536)
    expect(usage.inodes).toBe(2)
    expect((await disk.fileSystem(folder)).capacityBytes).toBeGreaterThan(1 << 20)
  })
  test('a watch tells of a new file, of a replaced one, and is silent when closed', async () => {
    let folderChanges = 0
    let fileChanges = 0
    writeFileSync(at('f'), '1')
    const watches = [disk.watch(folder, () => folderChanges++), disk.watch(at('f'), () => fileChanges++)]
    writeFileSync(at('f.new'), '2')
    await expect.poll(() => folderChanges).toBeGreaterThan(0)
    expect(fileChanges).toBe(0)
    renameSync(at('f.new'), at('f'))
    await expect.poll(() => fileChanges).toBeGreaterThan(0)
    for (const watch of watches) watch.close()
    const seen = folderChanges
    writeFileSync(at('g'), '')
    await disk.usage(folder)
    expect(folderChanges).toBe(seen)
  })
})

describe.runIf(isRoot)('mounts', () => {
  test('a tmpfs of a size, removed only after it is unmounted', async () => {
    await disk.mountTmpfs(at('t'), { sizeBytes: 1 << 20, mode: 0o1777 })
    expect((await disk.stat(at('t')))?.mode).toBe(0o1777)
    expect((await disk.fileSystem(at('t'))).capacityBytes).toBe(1 << 20)
    await expect(disk.remove(folder)).rejects.toMatchObject({ code: 'EBUSY' })
    expect((await disk.mounts(folder)).map((mount) => mount.fsType)).toEqual(['tmpfs'])
    await disk.unmount(at('t'))
    await disk.unmount(at('t'))
    expect(await disk.mounts(folder)).toEqual([])
  })
  test('a bind mount, read-only', async () => {
    mkdirSync(at('source'))
    mkdirSync(at('target'))
    writeFileSync(at('source', 'f'), 'seen')
    await disk.bindMount(at('source'), at('target'), { readonly: true })
    expect(await read(at('target', 'f'))).toBe('seen')
    await expect(disk.writeFile(at('target', 'g'), bytes(''))).rejects.toMatchObject({ code: 'EROFS' })
    await disk.writeFile(at('source', 'g'), bytes(''))
  })
  test('what is busy is detached all the same', async () => {
    await disk.mountTmpfs(at('t'), {})
    await disk.writeFile(at('t', 'f'), bytes('held'))
    const open = await disk.open(at('t', 'f'))
    await disk.unmount(at('t'))
    expect(await disk.mounts(folder)).toEqual([])
    await open?.close()
  })
  test('a shared mount is made once', async () => {
    mkdirSync(at('s'))
    await disk.makeShared(at('s'))
    await disk.makeShared(at('s'))
    const table = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter((m) => m.target === at('s'))
    expect(table.map((m) => m.shared)).toEqual([true])
  })
  test('a mount that fails says why', async () => {
    mkdirSync(at('t'))
    const mounting = disk.mountDevice({ source: '/dev/none', target: at('t'), fsType: 'ext4', flags: [] })
    await expect(mounting).rejects.toThrow(/mount ext4 on .*\/dev\/none/)
  })
})

describe.runIf(isRoot)('paths within a volume', () => {
  const bind = (subPath: string, extra: { mode?: number; readonly?: boolean } = {}) =>
    disk.bindWithin({ root: at('volume'), subPath, target: at('target'), readonly: false, ...extra })
  beforeEach(() => {
    mkdirSync(at('volume'))
    mkdirSync(at('outside'))
    writeFileSync(at('outside', 'secret'), 'secret')
  })
  test('a directory and a file are mounted, missing ones are made when a mode is given', async () => {
    mkdirSync(at('volume', 'a', 'b'), { recursive: true })
    writeFileSync(at('volume', 'a', 'b', 'f'), 'content')
    await bind('a/b/f')
    expect(await read(at('target'))).toBe('content')
    await disk.unmount(at('target'))
    await disk.remove(at('target'))
    await expect(bind('a/none')).rejects.toMatchObject({ code: 'ENOENT' })
    await bind('a/new', { mode: 0o750 })
    expect((await disk.stat(at('volume', 'a', 'new')))?.mode).toBe(0o750)
    await disk.writeFile(at('target', 'x'), bytes('through'))
    expect(await read(at('volume', 'a', 'new', 'x'))).toBe('through')
  })
  test('read-only', async () => {
    await bind('d', { mode: 0o777, readonly: true })
    await expect(disk.writeFile(at('target', 'x'), bytes(''))).rejects.toMatchObject({ code: 'EROFS' })
  })
  test.each([
    ['a link out of the volume', 'link', () => symlinkSync('../outside', at('volume', 'link'))],
    ['a link on the way', 'link/secret', () => symlinkSync(at('outside'), at('volume', 'link'))],
    ['two dots', '../outside', () => {}],
  ])('%s is refused', async (_, subPath, prepare) => {
    prepare()
    await expect(bind(subPath)).rejects.toMatchObject({ code: 'EPERM' })
    await expect(bind(subPath, { mode: 0o755 })).rejects.toMatchObject({ code: 'EPERM' })
  })
})

describe('the waiting shell', () => {
  test('words arrive as they are, input too, and failures say why', async () => {
    expect(await shell.run('printf', ['%s|', "it's", 'a b', '$HOME', '*', 'new\nline'])).toBe(
      "it's|a b|$HOME|*|new\nline|",
    )
    expect(await shell.run('cat', [], 'one $two `three`\n')).toBe('one $two `three`\n')
    await expect(shell.run('sh', ['-c', 'echo first; echo last >&2; exit 3'])).rejects.toMatchObject({
      code: 3,
      message: 'sh: last',
    })
    await expect(shell.run('no-such-program', [])).rejects.toThrow('no-such-program is not installed')
  })
  test('many at once, each with its own answer', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => shell.run('echo', [String(i)])))
    expect(answers.map((answer) => answer.trim())).toEqual(Array.from({ length: 40 }, (_, i) => String(i)))
  })
  test('once closed it takes no more work', async () => {
    const own = createShell()
    expect(await own.run('echo', ['x'])).toBe('x\n')
    own.close()
    await expect(own.run('true', [])).rejects.toThrow(/closed/)
  })
})
