import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SandboxConfig } from '../../ports/container-runtime.ts'
import { type Instance, instanceOf } from '../instance.ts'
import { cniConfig } from './cni-config.ts'
import { createPodRules, type HostPort, hostPortsOf, podTable } from './pod-rules.ts'

let dataDir: string
let instance: Instance
let transactions: string[]
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'cox-rules-'))
  instance = instanceOf(dataDir)
  transactions = []
})
afterEach(() => rmSync(dataDir, { recursive: true }))

const web: HostPort = { protocol: 'TCP', hostIP: '', hostPort: 8080, podIP: '10.130.0.2', containerPort: 80 }
const local: HostPort = { ...web, hostIP: '127.0.0.1', podIP: '10.130.0.3' }
const dns: HostPort = { protocol: 'UDP', hostIP: '', hostPort: 53, podIP: 'fd00::2', containerPort: 53 }
const rules = (fail = () => false) =>
  createPodRules({
    instance,
    clusterCidrs: ['10.130.0.0/16'],
    command: (file, _, input = '') => {
      if (file === 'nft') transactions.push(input)
      return fail() ? Promise.reject(new Error('nft: no')) : Promise.resolve('')
    },
  })
const dnatLines = (table: string | undefined) =>
  (table ?? '')
    .split('\n')
    .filter((line) => line.includes(' dnat ip'))
    .map((line) => line.trim())

describe('the table', () => {
  test('host ports by address family, one address before all of them', () => {
    expect(dnatLines(podTable('t', ['10.130.0.0/16'], [web, dns, local]))).toEqual([
      'ip daddr 127.0.0.1 meta nfproto ipv4 tcp dport 8080 dnat ip to 10.130.0.3:80',
      'fib daddr type local meta nfproto ipv4 tcp dport 8080 dnat ip to 10.130.0.2:80',
      'fib daddr type local meta nfproto ipv6 udp dport 53 dnat ip6 to [fd00::2]:53',
    ])
  })
  test('what leaves the cluster is masqueraded, what stays is not', () => {
    expect(podTable('t', ['10.130.0.0/16', 'fd00::/64'], [])).toContain(
      'ip saddr 10.130.0.0/16 ip daddr != { 10.130.0.0/16, 224.0.0.0/4 } masquerade',
    )
  })
})

describe('host ports', () => {
  const config = (portMappings: SandboxConfig['portMappings']) => ({ portMappings }) as SandboxConfig
  test('are those that ask for one, on the addresses of their family', () => {
    const asked = config([
      { protocol: 'TCP', containerPort: 80, hostPort: 8080, hostIP: '0.0.0.0' },
      { protocol: 'TCP', containerPort: 81, hostPort: 0, hostIP: '' },
      { protocol: 'UDP', containerPort: 53, hostPort: 53, hostIP: '::1' },
    ])
    expect(hostPortsOf(asked, ['10.0.0.2', 'fd00::2'])).toEqual([
      { protocol: 'TCP', hostIP: '', hostPort: 8080, podIP: '10.0.0.2', containerPort: 80 },
      { protocol: 'TCP', hostIP: '', hostPort: 8080, podIP: 'fd00::2', containerPort: 80 },
      { protocol: 'UDP', hostIP: '::1', hostPort: 53, podIP: 'fd00::2', containerPort: 53 },
    ])
  })
  test('come, go, and are known after a restart unless their sandbox is gone', async () => {
    const first = rules()
    await first.start(new Set())
    await first.add('a', [web])
    await first.add('b', [{ ...local, hostPort: 9090 }])
    await first.remove('none')
    expect(dnatLines(transactions.at(-1))).toHaveLength(2)
    const count = transactions.length

    const second = rules()
    await second.start(new Set(['b']))
    expect(transactions).toHaveLength(count + 1)
    expect(dnatLines(transactions.at(-1))).toEqual([
      'ip daddr 127.0.0.1 meta nfproto ipv4 tcp dport 9090 dnat ip to 10.130.0.3:80',
    ])
    expect(Object.keys(JSON.parse(readFileSync(join(dataDir, 'cni', 'host-ports.json'), 'utf8')) as object)).toEqual([
      'b',
    ])
  })
  test('that the kernel refuses are not kept', async () => {
    let fails = false
    const table = rules(() => fails)
    await table.start(new Set())
    fails = true
    await expect(table.add('a', [web])).rejects.toThrow('nft: no')
    fails = false
    await table.add('b', [local])
    expect(dnatLines(transactions.at(-1))).toHaveLength(1)
  })
  test('of many sandboxes at once are one or two transactions', async () => {
    const table = rules()
    await table.start(new Set())
    const before = transactions.length
    await Promise.all(Array.from({ length: 20 }, (_, i) => table.add(`s${i}`, [{ ...web, hostPort: 8000 + i }])))
    expect(transactions.length - before).toBeLessThanOrEqual(2)
    expect(dnatLines(transactions.at(-1))).toHaveLength(20)
  })
})

test('the network has routed pairs, addresses of its own file, and shaping', () => {
  expect(cniConfig(instance, { podCidrs: ['10.130.0.0/24'], mtu: 1400 })).toMatchObject({
    name: `coxswain-${instance.id}`,
    plugins: [
      {
        type: 'ptp',
        mtu: 1400,
        ipam: { type: 'host-local', ranges: [[{ subnet: '10.130.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'bandwidth' },
    ],
  })
})
test('names of an instance come from its directory and fit where they are used', () => {
  expect(instanceOf(dataDir)).toEqual(instance)
  expect(instance.id).toMatch(/^[0-9a-f]{8}$/)
  expect(instance.device.length).toBeLessThanOrEqual(15)
  const other = instanceOf(dataDir, 'second')
  expect(other.id).not.toBe(instance.id)
  expect(Buffer.byteLength(instanceOf(join(dataDir, 'x'.repeat(120))).containerdSocket)).toBeLessThanOrEqual(100)
})
