import { beforeEach, describe, expect, it } from 'vitest'
import { manualClock } from '../../client/testing/manual-clock.ts'
import { type MemoryDisk, memoryDisk } from '../testing/memory-disk.ts'
import { type PayloadFile, writePayload } from './payload.ts'

const root = '/v'
const files = (texts: Record<string, string>, mode = 0o644) =>
  new Map<string, PayloadFile>(
    Object.entries(texts).map(([path, text]) => [path, { content: new TextEncoder().encode(text), mode }]),
  )
let disk: MemoryDisk
const write = (texts: Record<string, string>, fsGroup?: number, mode?: number) =>
  writePayload(disk, manualClock(), root, files(texts, mode), { fsGroup })
const names = async () =>
  ((await disk.readdir(root)) ?? []).map((e) => `${e.name}:${e.type}`).filter((n) => !/^\.\.\d/.test(n))

beforeEach(() => {
  disk = memoryDisk()
})
describe('writePayload', () => {
  it('shows files through one link that is turned at once', async () => {
    expect(await write({ a: '1', 'd/b': '2', 'd/e/c': '3' })).toBe(true)
    expect(await names()).toEqual(['..data:symlink', 'a:symlink', 'd:symlink'])
    expect(await disk.readlink('/v/a')).toBe('..data/a')
    expect([disk.text('/v/a'), disk.text('/v/d/b'), disk.text('/v/d/e/c')]).toEqual(['1', '2', '3'])
    expect((await disk.stat('/v/a'))?.mode).toBe(0o644)
  })
  it('changes nothing when nothing changed', async () => {
    await write({ a: '1' })
    const before = await disk.readlink('/v/..data')
    expect(await write({ a: '1' })).toBe(false)
    expect(await disk.readlink('/v/..data')).toBe(before)
  })
  it('replaces, adds and removes names, and keeps one directory', async () => {
    await write({ a: '1', b: '2' })
    expect(await write({ a: '9', c: '3' })).toBe(true)
    expect(await names()).toEqual(['..data:symlink', 'a:symlink', 'c:symlink'])
    expect([disk.text('/v/a'), disk.text('/v/b'), disk.text('/v/c')]).toEqual(['9', undefined, '3'])
    expect((await disk.readdir(root))?.filter((e) => e.type === 'directory')).toHaveLength(1)
  })
  it('gives files to the group of the pod', async () => {
    await write({ a: '1' }, 1234, 0o400)
    expect(await disk.stat('/v/a')).toMatchObject({ gid: 1234, mode: 0o440 })
  })
})
