import { describe, expect, it, vi } from 'vitest'
import { openMemoryStore } from '../../store/memory.ts'
import { testClock, testServer, textAt, type Loose } from '../testing/server.ts'

const services = '/api/v1/namespaces/default/services'
const service = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } })
const addresses = '/apis/networking.k8s.io/v1/ipaddresses'
const portOf = (json: Loose) =>
  (json['spec']?.['ports'] as unknown as { nodePort?: number }[] | undefined)?.[0]?.nodePort ?? 0
const small = { settings: { serviceCidrs: ['10.0.0.0/29'], nodePorts: { from: 30000, to: 30002 } } }

describe('service addresses', () => {
  it('are given with an IPAddress beside them, and both go together', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', services, service('a'))
    const ip = textAt(json, 'spec', 'clusterIP')
    expect(ip).toMatch(/^10\.96\./)
    expect((await call('GET', `${addresses}/${ip}`)).json['spec']).toEqual({
      parentRef: { group: '', resource: 'services', namespace: 'default', name: 'a' },
    })
    await call('DELETE', `${services}/a`)
    expect((await call('GET', `${addresses}/${ip}`)).status).toBe(404)
  })
  it('are never given twice, however many ask at once', async () => {
    const { call } = await testServer(small)
    // Six usable addresses, of which the kubernetes Service holds one.
    const made = await Promise.all(Array.from({ length: 9 }, (_, i) => call('POST', services, service(`s${i}`))))
    const given = made.filter((m) => m.status === 201).map((m) => textAt(m.json, 'spec', 'clusterIP'))
    expect(given).toHaveLength(5)
    expect(new Set(given).size).toBe(5)
    expect(textAt(made.find((m) => m.status !== 201)?.json ?? {}, 'message')).toMatch(/range is full$/)
  })
  it('asked for are given once', async () => {
    const { call } = await testServer()
    expect((await call('POST', services, service('a', { clusterIP: '10.96.7.7' }))).status).toBe(201)
    const taken = await call('POST', services, service('b', { clusterIP: '10.96.7.7' }))
    expect(taken.json['message']).toBe(
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.7.7"]: failed to allocate IP 10.96.7.7: provided IP is already allocated',
    )
  })
  it('come and go with the type', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', services, service('a'))
    const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
    const change = { spec: { type: 'ExternalName', externalName: 'x.example', clusterIP: null, clusterIPs: null } }
    const external = await call('PATCH', `${services}/a`, change, merge)
    expect(external.json['spec']?.['clusterIP']).toBeUndefined()
    expect((await call('GET', `${addresses}/${textAt(json, 'spec', 'clusterIP')}`)).status).toBe(404)
    const back = await call('PATCH', `${services}/a`, { spec: { type: 'ClusterIP', externalName: null } }, merge)
    expect(textAt(back.json, 'spec', 'clusterIP')).toMatch(/^10\.96\./)
  })
  it('of both families where the cluster has both', async () => {
    const { call } = await testServer({ settings: { serviceCidrs: ['10.96.0.0/16', 'fd00:1::/108'] } })
    const { json } = await call('POST', services, service('a', { ipFamilyPolicy: 'RequireDualStack' }))
    expect(json['spec']).toMatchObject({
      ipFamilies: ['IPv4', 'IPv6'],
      clusterIPs: [expect.stringMatching(/^10\.96\./), expect.stringMatching(/^fd00:1::/)],
    })
  })
  it('are not taken by a dry run', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', `${services}?dryRun=All`, service('a'))
    expect((await call('GET', `${addresses}/${textAt(json, 'spec', 'clusterIP')}`)).status).toBe(404)
  })
})

describe('node ports', () => {
  it('are never given twice, and are free again afterwards', async () => {
    const { call } = await testServer({ settings: { nodePorts: { from: 30000, to: 30002 } } })
    const make = (name: string) => call('POST', services, service(name, { type: 'NodePort' }))
    const made = await Promise.all(['a', 'b', 'c', 'd'].map(make))
    const good = made.filter((m) => m.status === 201)
    expect(new Set(good.map((m) => portOf(m.json)))).toEqual(new Set([30000, 30001, 30002]))
    await call('DELETE', `${services}/${textAt(good[0]?.json ?? {}, 'metadata', 'name')}`)
    expect((await make('e')).status).toBe(201)
  })
  it('outside of the range or taken are refused', async () => {
    const { call } = await testServer()
    const ask = async (name: string, nodePort: number) =>
      textAt(
        (await call('POST', services, service(name, { type: 'NodePort', ports: [{ port: 80, nodePort }] }))).json,
        'message',
      )
    expect(await ask('a', 80)).toBe(
      'Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
    )
    expect(await ask('b', 30080)).toBe('')
    expect(await ask('c', 30080)).toBe(
      'Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated',
    )
  })
})

it('a second start over the same store finds everything in its place', async () => {
  const store = openMemoryStore({ clock: testClock() })
  const first = await testServer({ store })
  const before = await first.call('GET', `${services}/kubernetes`)
  // What a server says of its flow schemas comes after its start.
  await vi.waitFor(async () => {
    const { json } = await first.call('GET', '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas')
    const items = json.items as unknown as readonly Loose[]
    expect(items.filter(({ status }) => status?.conditions === undefined)).toEqual([])
  })
  await first.api.close()
  const revision = store.currentRevision()
  const second = await testServer({ store })
  expect((await second.call('GET', `${services}/kubernetes`)).json).toEqual(before.json)
  expect(store.currentRevision()).toBe(revision)
})
