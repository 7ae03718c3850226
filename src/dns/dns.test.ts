import { decode, encode, type Packet, RECURSION_DESIRED, type RecordType, type StringAnswer } from 'dns-packet'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { type TestCluster, testCluster } from '../controllers/testing/cluster.ts'
import type { DnsSockets } from '../ports/dns-sockets.ts'
import { type DnsServer, startDns } from './dns.ts'

let cluster: TestCluster
let dns: DnsServer
/** Questions that went upstream. */
const asked: string[] = []
let upstreamAnswers = true
const sockets: DnsSockets = {
  serve: () => Promise.resolve({ close: () => Promise.resolve() }),
  upstreams: () => Promise.resolve(['192.0.2.53']),
  exchange(server, bytes) {
    const query = decode(Buffer.from(bytes))
    const name = query.questions?.[0]?.name ?? ''
    asked.push(`${server} ${name}`)
    if (!upstreamAnswers) return Promise.reject(new Error('silence'))
    const count = name.startsWith('big.') ? 200 : 1
    const answers = Array.from({ length: count }, (_, i) => ({
      type: 'A' as const,
      name,
      ttl: 60,
      data: `198.51.100.${(i % 250) + 1}`,
    }))
    return Promise.resolve(encode({ ...query, type: 'response', answers }))
  },
}
beforeAll(async () => {
  cluster = await testCluster([])
  const { client } = cluster
  const service = (name: string, spec: object) =>
    client.resource(services).create({ metadata: { name, namespace: 'default' }, spec } as never)
  const port = { name: 'http', port: 80 }
  await service('web', { ports: [port] })
  await service('heads', { clusterIP: 'None', ports: [port] })
  await service('there', { type: 'ExternalName', externalName: 'example.com' })
  await service('a', { type: 'ExternalName', externalName: 'b.default.svc.cluster.local' })
  await service('b', { type: 'ExternalName', externalName: 'a.default.svc.cluster.local' })
  await service('self', { type: 'ExternalName', externalName: 'self.default.svc.cluster.local' })
  await client.resource(endpointSlices).create({
    metadata: { name: 'heads-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'heads' } },
    addressType: 'IPv4',
    endpoints: Array.from({ length: 100 }, (_, i) => ({
      addresses: [`10.9.${i >> 4}.${i + 1}`],
      hostname: `pod-${i}`,
      conditions: { ready: true },
    })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  } as never)
  const { informers, clock, random, log } = cluster.context
  dns = startDns({
    informers,
    sockets,
    clock,
    random,
    log,
    addresses: ['10.96.0.10'],
    stubDomains: { 'corp.example': ['192.0.2.99'] },
  })
  await cluster.advance()
  await dns.ready
}, 120_000)
afterAll(async () => {
  await dns.stop()
  await cluster.stop()
})

it('waits for an address that somebody else has, and answers there when it is free', async () => {
  const { informers, clock, random, log } = cluster.context
  let tries = 0
  const taken = {
    ...sockets,
    serve() {
      tries++
      if (tries < 3) return Promise.reject(new Error('bind EADDRINUSE 10.96.0.11:53'))
      return Promise.resolve({ close: () => Promise.resolve() })
    },
  }
  const second = startDns({ informers, sockets: taken, clock, random, log, addresses: ['10.96.0.11'] })
  await cluster.advance(11_000)
  await second.ready
  expect(tries).toBe(3)
  await second.stop()
})

interface Asked {
  readonly type?: RecordType
  readonly via?: 'udp' | 'tcp'
  readonly edns?: number
}
async function ask(name: string, { type = 'A', via = 'udp', edns }: Asked = {}) {
  const additionals: Packet['additionals'] =
    edns === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: edns,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
  const query = encode({ type: 'query', id: 7, flags: RECURSION_DESIRED, questions: [{ type, name }], additionals })
  const bytes = await dns.answer(query, via)
  if (bytes === undefined) throw new Error('silence')
  const packet = decode(Buffer.from(bytes))
  const data = (packet.answers ?? []).map((a) => (a as StringAnswer).data)
  return { packet, data, size: bytes.length, code: (bytes[3] ?? 0) & 15, truncated: ((bytes[2] ?? 0) & 2) !== 0 }
}

describe('answers', () => {
  it('names that are not there: NXDOMAIN with the zone’s SOA; a name without such records: NOERROR with it', async () => {
    const missing = await ask('missing.default.svc.cluster.local')
    expect([missing.code, missing.packet.authorities?.[0]?.type]).toEqual([3, 'SOA'])
    const noData = await ask('web.default.svc.cluster.local', { type: 'AAAA' })
    expect([noData.code, noData.data, noData.packet.authorities?.[0]?.type]).toEqual([0, [], 'SOA'])
  })
  it('more than fits: cut by UDP, more with EDNS, whole by TCP', async () => {
    const name = 'heads.default.svc.cluster.local'
    const small = await ask(name)
    expect(small.truncated).toBe(true)
    expect(small.size).toBeLessThanOrEqual(512)
    const larger = await ask(name, { edns: 4096 })
    expect(larger.truncated).toBe(true)
    expect(larger.size).toBeLessThanOrEqual(1232)
    expect(larger.data.length).toBeGreaterThan(small.data.length)
    const whole = await ask(name, { via: 'tcp' })
    expect([whole.truncated, whole.data.length]).toEqual([false, 100])
    const upstream = await ask('big.example.com')
    expect(upstream.truncated).toBe(true)
    expect((await ask('big.example.com', { via: 'tcp' })).data).toHaveLength(200)
  })
  it('an alias with what stands behind it; loops end with SERVFAIL', async () => {
    const there = await ask('there.default.svc.cluster.local')
    expect(there.data).toEqual(['example.com', '198.51.100.1'])
    expect((await ask('a.default.svc.cluster.local')).code).toBe(2)
    expect((await ask('self.default.svc.cluster.local')).code).toBe(2)
    upstreamAnswers = false
    await client('silent', { type: 'ExternalName', externalName: 'silent.example' })
    expect((await ask('silent.default.svc.cluster.local')).data).toEqual(['silent.example'])
    expect((await ask('nobody.example')).code).toBe(2)
    upstreamAnswers = true
  })
  it('upstream is asked once for a time, and stub domains have servers of their own', async () => {
    asked.length = 0
    for (let i = 0; i < 3; i++) expect((await ask('www.example.org')).data).toEqual(['198.51.100.1'])
    await ask('x.corp.example')
    expect(asked).toEqual(['192.0.2.53 www.example.org', '192.0.2.99 x.corp.example'])
    await cluster.advance(61_000)
    await ask('www.example.org')
    expect(asked).toHaveLength(3)
  })
  it('change with the endpoints, at once', async () => {
    const name = 'pod-0.heads.default.svc.cluster.local'
    expect((await ask(name)).data).toEqual(['10.9.0.1'])
    await cluster.client.resource(endpointSlices).patch('heads-1', 'default', 'merge', { endpoints: [] })
    await cluster.advance()
    expect((await ask(name)).code).toBe(3)
  })
})
async function client(name: string, spec: object): Promise<void> {
  await cluster.client.resource(services).create({ metadata: { name, namespace: 'default' }, spec } as never)
  await cluster.advance()
}

describe('packets by chance', () => {
  const check = async (bytes: Uint8Array, via: 'udp' | 'tcp') => {
    const answer = await dns.answer(bytes, via)
    if (answer === undefined) return
    expect([answer[0], answer[1]]).toEqual([bytes[0], bytes[1]])
    expect((answer[2] ?? 0) & 0x80).toBe(0x80)
    if (via === 'udp') expect(answer.length).toBeLessThanOrEqual(1232)
    decode(Buffer.from(answer))
  }
  const via = fc.constantFrom('udp' as const, 'tcp' as const)
  it('noise is answered or not, and never an error', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), via, check), { numRuns: 300 })
  }, 120_000)
  it('broken questions too', async () => {
    const name = fc.oneof(
      fc.constantFrom('web.default.svc.cluster.local', 'heads.default.svc.cluster.local', 'example.com', '.', ''),
      fc.array(fc.string({ maxLength: 70, unit: 'binary' }), { maxLength: 12 }).map((labels) => labels.join('.')),
    )
    const type = fc.constantFrom<RecordType[]>(
      'A',
      'AAAA',
      'SRV',
      'PTR',
      'TXT',
      'ANY' as RecordType,
      'CNAME',
      'NAPTR',
      'OPT',
    )
    const change = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 })
    const property = fc.asyncProperty(name, type, change, via, async (n, t, changes, way) => {
      let bytes: Uint8Array
      try {
        bytes = encode({ type: 'query', id: 9, questions: [{ type: t, name: n }] })
      } catch (error) {
        // A name that cannot be written is no question.
        if (error instanceof Error) return
        throw error
      }
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
      await check(bytes, way)
    })
    await fc.assert(property, { numRuns: 300 })
  }, 120_000)
})
