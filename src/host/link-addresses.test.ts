import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { labelled, linkAddresses } from './link-addresses.ts'
import { silentLog as log } from '../ports/log.ts'
import { createShell } from './shell.ts'
import { whomToTell } from './tell-neighbours.ts'
import { isRoot } from './testing/needs.ts'

it('reads what ip shows', () => {
  expect(labelled('', 'lo:x')).toEqual([])
  const info = [{ local: '10.1.2.3', label: 'lo:x' }, { local: '127.0.0.1', label: 'lo' }, {}]
  expect(labelled(JSON.stringify([{ addr_info: info }, {}]), 'lo:x')).toEqual(['10.1.2.3'])
})

it('neighbours on the links of default routes and of the address are told; one a link hears ARP for all', () => {
  const routes = [
    { dst: 'default', dev: 'eth0' },
    { dst: '10.0.0.0/24', dev: 'eth1' },
    { dst: '10.131.0.5', dev: 'veth1' },
    { dst: '10.9.0.0/24', dev: 'eth2' },
  ]
  const at = (dst: string, dev: string, state = 'REACHABLE') => ({
    dst,
    dev,
    lladdr: '02:00:00:00:00:01',
    state: [state],
  })
  const neighbours = [
    at('192.0.2.1', 'eth0'),
    at('192.0.2.2', 'eth0'),
    at('10.0.0.9', 'eth1', 'PERMANENT'),
    { dst: '10.0.0.8', dev: 'eth1', state: ['FAILED'] },
    at('10.0.0.7', 'eth1'),
    at('10.131.0.5', 'veth1'),
    at('10.9.0.1', 'eth2'),
  ]
  expect(whomToTell('10.0.0.77', routes, neighbours)).toEqual([
    { neighbour: '192.0.2.1', device: 'eth0' },
    { neighbour: '10.0.0.7', device: 'eth1' },
  ])
  const six = [at('fd00::1', 'eth0'), at('fe80::1', 'eth0')]
  expect(whomToTell('fd00::77', routes, six)).toHaveLength(2)
})

describe.runIf(isRoot)('addresses on a link', () => {
  const [node, neighbour] = [`coxlan${process.pid}`, `coxlbn${process.pid}`]
  const sh = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: 'pipe' })
  const shell = createShell(1)
  const shown = () => sh(`ip -n ${node} -o address show scope global | awk '{print $4}'`).trim().split('\n').sort()
  beforeAll(() => {
    sh(`ip netns add ${node}; ip netns add ${neighbour}
      ip link add v0 netns ${node} type veth peer name v1 netns ${neighbour}
      ip -n ${node} addr add 192.0.2.1/24 dev v0; ip -n ${node} addr add fd02::1/64 dev v0 nodad; ip -n ${node} link set v0 up
      ip -n ${neighbour} addr add 192.0.2.2/24 dev v1; ip -n ${neighbour} addr add fd02::2/64 dev v1 nodad
      ip -n ${neighbour} link set v1 up
      ip -n ${node} link set lo up; ip -n ${node} addr add 10.96.0.10/32 dev lo`)
  }, 60_000)
  afterAll(() => {
    shell.close()
    for (const name of [node, neighbour]) sh(`ip netns del ${name}`)
  })
  /** Nobody listens there: a refusal shows that the packet has found the node. */
  const dial = (address: string) =>
    sh(`ip netns exec ${neighbour} timeout 5 bash --norc -c 'exec 3<>/dev/tcp/${address}/9' 2>&1 || true`)
  it('are answered for by ARP and NDP while they are announced, and what was left behind goes', async () => {
    const own = ['10.96.0.10/32', '192.0.2.1/24', 'fd02::1/64']
    sh(`ip -n ${node} addr add 192.0.2.77/32 dev lo label lo:test`)
    const told: string[] = []
    const tell = async (address: string) => void told.push(address)
    const prefix = ['ip', 'netns', 'exec', node]
    const links = linkAddresses({ shell, log, device: 'lo', label: 'lo:test', prefix, tell, lifetimeSeconds: 18 })
    await links.apply(['192.0.2.50', 'fd02::50'])
    expect(told).toEqual(['192.0.2.50', 'fd02::50'])
    expect(shown()).toEqual([...own, '192.0.2.50/32', 'fd02::50/128'].sort())
    for (const address of ['192.0.2.50', 'fd02::50']) expect(dial(address)).toContain('refused')
    // Without us they would go: the lifetime that the kernel tells falls, and is renewed.
    for (const address of ['192.0.2.50/32', 'fd02::50/128']) {
      const left = () => Number(/valid_lft (\d+)sec/.exec(sh(`ip -n ${node} address show to ${address}`))?.[1])
      const until = async (check: () => boolean) => {
        while (!check()) await new Promise((done) => setTimeout(done, 50))
      }
      await until(() => left() < 18)
      // However often somebody else's rules change.
      await until(() => {
        void links.apply(['192.0.2.50', 'fd02::50'])
        return left() === 18
      })
    }
    await links.apply(['192.0.2.51'])
    expect(shown()).toEqual([...own, '192.0.2.51/32'].sort())
    await links.apply([])
    expect(shown()).toEqual([...own].sort())
  }, 60_000)
  it('a cox that takes over from one that was killed renews at once what it keeps, and lets go of the rest', async () => {
    const prefix = ['ip', 'netns', 'exec', node]
    const told: string[] = []
    const tell = async (address: string) => void told.push(address)
    const killed = linkAddresses({ shell, log, device: 'lo', label: 'lo:test', prefix, lifetimeSeconds: 1000 })
    await killed.apply(['192.0.2.60', '192.0.2.61'])
    const next = linkAddresses({ shell, log, device: 'lo', label: 'lo:test', prefix, tell, lifetimeSeconds: 2000 })
    await next.apply(['192.0.2.60'])
    expect(told).toEqual(['192.0.2.60'])
    expect(shown()).not.toContain('192.0.2.61/32')
    const left = Number(/valid_lft (\d+)sec/.exec(sh(`ip -n ${node} address show to 192.0.2.60/32`))?.[1])
    expect(left).toBeGreaterThan(1000)
    await next.apply([])
    await killed.apply([])
  })
})
