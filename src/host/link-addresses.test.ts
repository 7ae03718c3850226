import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { labelled, linkAddresses } from './link-addresses.ts'
import { createShell } from './shell.ts'
import { isRoot } from './testing/needs.ts'

it('reads what ip shows', () => {
  expect(labelled('', 'lo:x')).toEqual([])
  const info = [{ local: '10.1.2.3', label: 'lo:x' }, { local: '127.0.0.1', label: 'lo' }, {}]
  expect(labelled(JSON.stringify([{ addr_info: info }, {}]), 'lo:x')).toEqual(['10.1.2.3'])
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
      ip -n ${neighbour} link set v1 up; ip -n ${node} -6 route add default via fd02::2
      ip -n ${node} link set lo up; ip -n ${node} addr add 10.96.0.10/32 dev lo`)
  }, 60_000)
  afterAll(() => {
    shell.close()
    for (const name of [node, neighbour]) sh(`ip netns del ${name}`)
  })
  /** Nobody listens there: a refusal shows that the packet has found the node. */
  const dial = (address: string) =>
    sh(`ip netns exec ${neighbour} timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/9' 2>&1 || true`)
  it('are answered for by ARP and NDP while they are announced, and what was left behind goes', async () => {
    const own = ['10.96.0.10/32', '192.0.2.1/24', 'fd02::1/64']
    sh(`ip -n ${node} addr add 192.0.2.77/32 dev lo label lo:test`)
    const links = linkAddresses({ shell, device: 'lo', label: 'lo:test', prefix: ['ip', 'netns', 'exec', node] })
    await links.apply(['192.0.2.50', 'fd02::50'])
    expect(shown()).toEqual([...own, '192.0.2.50/32', 'fd02::50/128'].sort())
    for (const address of ['192.0.2.50', 'fd02::50']) expect(dial(address)).toContain('refused')
    await links.apply(['192.0.2.51'])
    expect(shown()).toEqual([...own, '192.0.2.51/32'].sort())
    await links.apply([])
    expect(shown()).toEqual([...own].sort())
  }, 60_000)
})
