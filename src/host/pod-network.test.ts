import { expect, test } from 'vitest'
import { parsePath, type Path, planRoutes, routeScript, tunnelMac, tunnelNumber } from './pod-network.ts'

const self = { name: 'a', addresses: ['192.0.2.1', '2001:db8::1'], podCidrs: ['10.1.0.0/24', 'fd00:1::/64'] }
const near = { name: 'b', addresses: ['192.0.2.2', '2001:db8::2'], podCidrs: ['10.1.1.0/24', 'fd00:1:0:1::/64'] }
const far = { name: 'c', addresses: ['198.51.100.3'], podCidrs: ['10.1.2.0/24'] }
const paths: Readonly<Record<string, Path>> = {
  '192.0.2.2': { device: 'eth0', direct: true },
  '2001:db8::2': { device: 'eth0', direct: true },
  '198.51.100.3': { device: 'eth0', direct: false },
}
const plan = (...nodes: (typeof far)[]) => planRoutes(self, nodes, (address) => paths[address], 'cxv0')

test('a node on the same link is the gateway of its pods, a family each', () => {
  expect(plan(near)).toEqual({
    routes: [
      { destination: '10.1.1.0/24', rest: 'via 192.0.2.2 dev eth0' },
      { destination: 'fd00:1:0:1::/64', rest: 'via 2001:db8::2 dev eth0' },
    ],
    tunnel: undefined,
  })
})
test('a node behind a router is reached in a tunnel, from an address that it can answer to', () => {
  const { routes, tunnel } = plan(near, far)
  expect(routes.at(-1)).toEqual({ destination: '10.1.2.0/24', rest: 'via 10.1.2.0 dev cxv0 onlink src 10.1.0.0' })
  expect(tunnel).toEqual({
    localAddress: '192.0.2.1',
    inner: ['10.1.0.0', 'fd00:1::'],
    peers: [{ mac: tunnelMac('198.51.100.3'), outer: '198.51.100.3', inner: ['10.1.2.0'] }],
  })
})
test('both ends know the other’s MAC and number without asking', () => {
  expect(tunnelMac('198.51.100.3')).toMatch(/^0a(:[0-9a-f]{2}){5}$/)
  expect(tunnelMac('198.51.100.3')).not.toBe(tunnelMac('198.51.100.4'))
  expect(tunnelNumber(['10.1.0.0/16'])).toBe(tunnelNumber(['10.1.0.0/16']))
  expect(tunnelNumber(['10.1.0.0/16'])).toBeLessThan(1 << 24)
})
test('what is no longer planned goes, and nothing of others', () => {
  const script = routeScript(plan(near), 'cxv0', 7, ['10.1.0.0/16'])
  expect(script).toContain('ip link delete cxv0')
  expect(script).toContain(
    "ip -4 route show root 10.1.0.0/16 proto 143 | { grep -Ev '^(10\\.1\\.1\\.0/24) ' || true; }",
  )
  expect(script).toContain('ip -4 route replace 10.1.1.0/24 via 192.0.2.2 dev eth0 proto 143')
  expect(script).not.toContain('ip -6')
})
test.each([
  ['192.0.2.2 dev eth0 src 192.0.2.1 uid 0 ', { device: 'eth0', direct: true }],
  ['198.51.100.3 via 192.0.2.254 dev eth0 src 192.0.2.1 uid 0 ', { device: 'eth0', direct: false }],
  ['local 192.0.2.1 dev lo src 192.0.2.1 uid 0 ', undefined],
  ['', undefined],
])('reads "%s"', (line, path) => {
  expect(parsePath(line)).toEqual(path)
})
