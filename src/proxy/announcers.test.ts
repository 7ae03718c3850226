import { expect, it } from 'vitest'
import type { Node } from '../api/core/node.ts'
import type { Service } from '../api/core/service.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import { announcerOf, announcersFor, announcingNodes } from './announcers.ts'

const node = (name: string, ready: boolean, more: object = {}) =>
  ({
    metadata: { name, ...more },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }] },
  }) as unknown as Node

it('ready nodes announce, all of them while none is ready, and never those that are left out', () => {
  const labels = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }
  const others = [node('x', true, { labels }), node('going', true, { deletionTimestamp: '2026-01-01T00:00:00Z' })]
  expect(announcingNodes([node('b', true), node('a', true), node('c', false), ...others])).toEqual(['a', 'b'])
  expect(announcingNodes([node('b', false), node('a', false), ...others])).toEqual(['a', 'b'])
  expect(announcingNodes(others)).toEqual([])
})

it('each address has one announcer, addresses spread, and a node that goes moves only its own', () => {
  const nodes = ['n1', 'n2', 'n3']
  const addresses = Array.from({ length: 300 }, (_, i) => `192.0.2.${i % 256}${i > 255 ? '0' : ''}`)
  const before = new Map(addresses.map((a) => [a, announcerOf(a, nodes)]))
  for (const name of nodes)
    expect([...before.values()].filter((one) => one === name).length).toBeGreaterThan(before.size / 5)
  for (const [address, name] of before) {
    expect(announcerOf(address, nodes.toReversed())).toBe(name)
    const after = announcerOf(address, ['n1', 'n3'])
    if (name !== 'n2') expect(after).toBe(name)
  }
  expect(announcerOf('192.0.2.1', [])).toBeUndefined()
})

it('a Local Service is announced where it has an endpoint that is ready', () => {
  const local = { spec: { externalTrafficPolicy: 'Local' } } as unknown as Service
  const slice = {
    endpoints: [
      { addresses: ['10.0.0.1'], nodeName: 'n2', conditions: { ready: true } },
      { addresses: ['10.0.0.2'], nodeName: 'n3', conditions: { ready: false } },
    ],
  } as unknown as EndpointSlice
  expect(announcersFor(local, [slice], ['n1', 'n2', 'n3'])).toEqual(['n2'])
  expect(announcersFor(local, [], ['n1'])).toEqual([])
  expect(announcersFor({ spec: {} } as unknown as Service, [], ['n1'])).toEqual(['n1'])
})
