import { beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../ports/log.ts'
import { containerMounts, type MountInputs } from './mounts.ts'
import { podPaths } from './paths.ts'
import { type MemoryDisk, memoryDisk } from './testing/memory-disk.ts'
import { makePod } from './testing/pods.ts'
import type { Container } from './types.ts'

let disk: MemoryDisk
beforeEach(async () => {
  disk = memoryDisk()
  disk.put('/v/..2024/key', 'x')
  disk.put('/v/dir/file', 'y')
  await disk.symlink('..2024', '/v/..data')
  await disk.symlink('..data/key', '/v/key')
  await disk.symlink('/etc', '/v/out')
  await disk.symlink('../..', '/v/dir/up')
})
const mountsOf = async (mount: Record<string, unknown>, parts: Partial<MountInputs> = {}) => {
  const pod = makePod({
    spec: { containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/m', ...mount }] }] },
  })
  return containerMounts(pod.spec.containers[0] as Container, {
    disk,
    log: silentLog,
    paths: podPaths('/k', 'uid'),
    volumes: new Map([['v', { hostPath: '/v' }]]),
    env: new Map([['NAME', 'dir']]),
    etcHosts: undefined,
    messageFile: undefined,
    recursiveReadOnly: false,
    ...parts,
  })
}
const refused = 'failed to prepare subPath for volumeMount "v" of container "c"'

describe('containerMounts', () => {
  it.each([
    ['a key of a ConfigMap, through two links', 'key', '/v/..2024/key'],
    ['a directory', 'dir', '/v/dir'],
    ['what is not there yet', 'new/deep', '/v/new/deep'],
  ])('binds %s', async (_, subPath, source) => {
    const target = '/k/pods/uid/volume-subpaths/v/c/0'
    expect(await mountsOf({ subPath })).toMatchObject({ ok: true, mounts: [{ containerPath: '/m', hostPath: target }] })
    expect(disk.mounted).toMatchObject([{ source, target }])
  })
  it('expands a subPathExpr', async () => {
    expect(await mountsOf({ subPathExpr: '$(NAME)' })).toMatchObject({ ok: true })
    expect(disk.mounted).toMatchObject([{ source: '/v/dir' }])
    expect(await mountsOf({ subPathExpr: '$(NOBODY)' })).toEqual({ ok: false, message: 'missing value for "NOBODY"' })
  })
  it.each([
    ['out', refused],
    ['dir/up', refused],
    ['..', "unable to provision SubPath `..`: must not contain '..'"],
    ['/etc', 'error SubPath `/etc` must not be an absolute path'],
  ])('does not let %s leave the volume', async (subPath, message) => {
    expect(await mountsOf({ subPath })).toEqual({ ok: false, message })
    expect(disk.mounted).toEqual([])
  })
  it('adds the hosts file and the termination message, unless the pod brings its own', async () => {
    const own = { etcHosts: '/k/hosts', messageFile: '/k/message' }
    const result = await mountsOf({ mountPath: '/etc/hosts' }, own)
    expect(result).toMatchObject({ ok: true, mounts: [{ hostPath: '/v' }] })
    expect(await mountsOf({}, own)).toMatchObject({
      mounts: [{ hostPath: '/v' }, { containerPath: '/etc/hosts', hostPath: '/k/hosts' }],
    })
  })
  it.each([
    ['Enabled', true, true],
    ['IfPossible', true, true],
    ['IfPossible', false, undefined],
    ['Disabled', true, undefined],
  ])('recursive read-only %s, runtime able: %s', async (recursiveReadOnly, able, expected) => {
    const made = await mountsOf({ readOnly: true, recursiveReadOnly }, { recursiveReadOnly: able })
    expect(made.ok && made.mounts[0]?.recursiveReadOnly).toBe(expected)
  })
  it('says so when the runtime cannot make mounts read-only all the way down', async () => {
    expect(await mountsOf({ readOnly: true, recursiveReadOnly: 'Enabled' })).toEqual({
      ok: false,
      message: 'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
    })
  })
})
