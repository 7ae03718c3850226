import os from 'node:os'
import { describe, expect, test } from 'vitest'
import type { Cgroups } from '../ports/node-host.ts'
import {
  createNodeHost,
  defaultInterface,
  hostAddresses,
  parseInterfaces,
  parseMeminfo,
  systemOomVictim,
} from './node-host.ts'

const noCgroups = {} as Cgroups
const host = createNodeHost({ cgroups: noCgroups })

describe.runIf(process.platform === 'linux')('this machine', () => {
  test('facts', async () => {
    const facts = await host.facts()
    expect(facts.cpuCount).toBe(os.cpus().length)
    expect(facts.memoryBytes).toBeGreaterThan(1 << 28)
    expect(['amd64', 'arm64']).toContain(facts.architecture)
    expect(facts.bootId).toMatch(/^[0-9a-f-]{36}$/)
    expect(facts.addresses).toEqual(hostAddresses())
    expect(facts.topology.length).toBe(facts.cpuCount)
  })
  test('usage is within what there is, and time passes', async () => {
    const first = await host.usage()
    const second = await host.usage()
    expect(second.cpuUsageNanoseconds).toBeGreaterThanOrEqual(first.cpuUsageNanoseconds)
    expect(first.memoryWorkingSetBytes + first.memoryAvailableBytes).toBe((await host.facts()).memoryBytes)
    expect(first.pidsRunning).toBeLessThan(first.pidsMax)
  })
  test('settings of the kernel', async () => {
    expect(await host.sysctl('kernel.ostype')).toBe('Linux')
    expect(await host.sysctl('kernel.no_such_thing')).toBeUndefined()
  })
  test('interfaces of a process, and of one that is gone', async () => {
    expect(await host.networkUsage(process.pid)).toBeInstanceOf(Array)
    expect(await host.networkUsage(2 ** 22 + 1)).toBeUndefined()
  })
})

test('the default route with the least metric names the interface', () => {
  const header = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask'
  const routes = [
    header,
    'eth1\t00000000\t0101A8C0\t0003\t0\t0\t200\t00000000',
    'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000',
    'eth2\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF',
  ]
  expect(defaultInterface(routes.join('\n'))).toBe('eth0')
  expect(defaultInterface(header)).toBeUndefined()
})
test('tables of the kernel', () => {
  expect(parseMeminfo('MemTotal:       1024 kB\nInactive(file):    4 kB\nHugePages_Total:   0\n')).toEqual(
    new Map([
      ['MemTotal', 1 << 20],
      ['Inactive(file)', 4096],
    ]),
  )
  const table = 'Inter-|\n face |\n  eth0: 10 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n'
  expect(parseInterfaces(table)).toEqual([{ name: 'eth0', rxBytes: 10, rxErrors: 2, txBytes: 20, txErrors: 3 }])
})
test.each([
  ['3,1,2,-;Out of memory: Killed process 12 (my app) total-vm:1kB', { pid: 12, process: 'my app' }],
  ['3,1,2,-;Memory cgroup out of memory: Killed process 12 (app) total-vm:1kB', undefined],
  ['6,1,2,-;eth0: link up', undefined],
])('kernel record %s', (record, victim) => {
  expect(systemOomVictim(record)).toEqual(victim)
})
