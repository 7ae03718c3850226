import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { createCgroups, leftoverCgroups, planWrites, weightOf } from './cgroups.ts'
import { isRoot } from './testing/needs.ts'

test.each([
  [2, 1],
  [1024, 39],
  [262_144, 10_000],
  [0, 1],
])('%i shares are a weight of %i', (shares, weight) => {
  expect(weightOf(shares)).toBe(weight)
})
test('one wish, two generations', () => {
  const wish = { cpuShares: 1024, cpuQuotaUs: 50_000, memoryBytes: 1 << 20, pidsMax: -1 }
  expect(planWrites(2, wish).map(({ file, value }) => [file, value])).toEqual([
    ['cpu.weight', '39'],
    ['cpu.max', '50000 100000'],
    ['memory.max', '1048576'],
    ['pids.max', 'max'],
  ])
  expect(planWrites(1, wish).map(({ file, value }) => [file, value])).toEqual([
    ['cpu.shares', '1024'],
    ['cpu.cfs_quota_us', '50000'],
    ['memory.limit_in_bytes', '1048576'],
    ['pids.max', 'max'],
  ])
  expect(planWrites(2, { cpuQuotaUs: -1, memoryBytes: -1 }).map(({ value }) => value)).toEqual(['max 100000', 'max'])
})

describe.runIf(isRoot)('groups of this machine', () => {
  const root = `/coxswain-test-${process.pid}`
  const cgroups = createCgroups(root)
  afterAll(() => cgroups.removeAll())
  const memoryFile = (path: string) =>
    cgroups.version === 1
      ? `/sys/fs/cgroup/memory${root}${path}/memory.limit_in_bytes`
      : `/sys/fs/cgroup${root}${path}/memory.max`
  const join = (path: string, pid: number) => {
    const files =
      cgroups.version === 1
        ? ['memory', 'cpuacct', 'pids', 'cpuset'].map((c) => `/sys/fs/cgroup/${c}${root}${path}/cgroup.procs`)
        : [`/sys/fs/cgroup${root}${path}/cgroup.procs`]
    for (const file of files) writeFileSync(file, String(pid))
  }

  test('limits are set, and changed', async () => {
    await cgroups.ensure('/kubepods/burstable/pod1', { memoryBytes: 32 << 20, cpuShares: 512, pidsMax: 50 })
    expect(readFileSync(memoryFile('/kubepods/burstable/pod1'), 'utf8').trim()).toBe(String(32 << 20))
    await cgroups.update('/kubepods/burstable/pod1', { memoryBytes: 64 << 20 })
    expect((await cgroups.stats('/kubepods/burstable/pod1'))?.memoryLimitBytes).toBe(64 << 20)
    expect((await cgroups.stats('/kubepods'))?.memoryLimitBytes).toBeUndefined()
    expect(await cgroups.list('/kubepods')).toEqual(['burstable'])
    expect(cgroups.parentFor('/kubepods/burstable/pod1')).toBe(`${root}/kubepods/burstable/pod1`)
  })
  test('processes are counted, killed, and their group removed', async () => {
    await cgroups.ensure('/kubepods/pod2', {})
    await cgroups.ensure('/kubepods/pod2/container', {})
    const child = spawn('sleep', ['1000'])
    const ended = new Promise((resolve) => child.on('exit', (_, by) => resolve(by)))
    join('/kubepods/pod2/container', child.pid ?? 0)
    expect((await cgroups.stats('/kubepods/pod2'))?.processes).toBe(1)
    await cgroups.remove('/kubepods/pod2')
    expect(await ended).toBe('SIGKILL')
    expect(await cgroups.stats('/kubepods/pod2')).toBeUndefined()
    expect(existsSync(memoryFile('/kubepods/pod2'))).toBe(false)
    await cgroups.remove('/kubepods/pod2')
  })
  test('nothing is left at the end', async () => {
    await cgroups.ensure('/a/b/c', {})
    await cgroups.removeAll()
    expect(leftoverCgroups(root)).toEqual([])
  })
  test('what the kernel refuses is told with file and value', async () => {
    await cgroups.ensure('/x', {})
    await expect(cgroups.update('/x', { cpusetCpus: '4000' })).rejects.toThrow(/cpuset\.cpus to 4000/)
  })
})

const unified = '/sys/fs/cgroup/unified'
describe.runIf(isRoot && existsSync(`${unified}/cgroup.procs`))(
  'the second generation, without its controllers',
  () => {
    const root = `/coxswain-v2-${process.pid}`
    const cgroups = createCgroups(root, {
      version: 2,
      all: [{ mountPoint: unified, controllers: [] }],
      pathOf: () => unified,
    })
    test('groups are made, emptied and removed; what the kernel does not have is not set', async () => {
      await cgroups.ensure('/kubepods/pod1/container', { memoryBytes: 1 << 20, cpuShares: 2 })
      expect(await cgroups.list('/kubepods')).toEqual(['pod1'])
      const child = spawn('sleep', ['1000'])
      const ended = new Promise((resolve) => child.on('exit', (_, by) => resolve(by)))
      writeFileSync(`${unified}${root}/kubepods/pod1/container/cgroup.procs`, String(child.pid))
      expect((await cgroups.stats('/kubepods/pod1'))?.cpuUsageNanoseconds).toBeGreaterThanOrEqual(0)
      await cgroups.kill('/kubepods')
      expect(await ended).toBe('SIGKILL')
      await cgroups.removeAll()
      expect(existsSync(`${unified}${root}`)).toBe(false)
      expect(await cgroups.stats('/kubepods/pod1')).toBeUndefined()
    })
  },
)
