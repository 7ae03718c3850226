import { afterEach, describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { base64OfText, secrets } from '../api/core/secret.ts'
import { services } from '../api/core/service.ts'
import { endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { ingressClasses, ingresses } from '../api/networking/ingress.ts'
import { ingressController } from '../controllers/ingress.ts'
import { type TestCluster, testCluster } from '../controllers/testing/cluster.ts'
import { type EdgeAnswer, type EdgeListenOptions, type HttpEdge, PortTakenError } from '../ports/http-edge.ts'
import { noOutgoing, type Outgoing, readWhole } from '../ports/outgoing.ts'
import { type IngressServer, type IngressSettings, startIngress } from './ingress.ts'

/** Listeners by port; nothing listens in fact. */
class FakeEdge implements HttpEdge {
  readonly open = new Map<number, EdgeListenOptions>()
  readonly taken = new Set<number>()
  async listen(options: EdgeListenOptions) {
    const port = options.port === 0 ? 31_000 + this.open.size : options.port
    if (this.taken.has(port)) throw new PortTakenError(port)
    this.open.set(port, options)
    return { port, close: async () => void this.open.delete(port) }
  }
}
/** Answers with whom it was asked to call. */
const outgoing: Outgoing = {
  ...noOutgoing,
  send: ({ scheme, host, port, http2 }) =>
    Promise.resolve({
      status: 200,
      headers: {},
      trailers: () => ({}),
      body: (async function* body() {
        yield new TextEncoder().encode(`${http2 ? 'h2 ' : ''}${scheme}://${host}:${port}`)
      })(),
    }),
}
const textOf = async (answer: EdgeAnswer): Promise<string> => {
  if (answer.kind !== 'response') throw new Error('upgraded')
  const bytes = answer.body instanceof Uint8Array ? answer.body : await readWhole(answer.body, 1000)
  return `${answer.status} ${new TextDecoder().decode(bytes)}`.trim()
}

let cluster: TestCluster | undefined
let server: IngressServer | undefined
afterEach(async () => {
  await server?.stop()
  await cluster?.stop()
})
async function start(settings: IngressSettings = {}, edge = new FakeEdge()) {
  const made = await testCluster([ingressController], { nodes: 1 })
  cluster = made
  const { client, advance } = made
  const addresses = { status: { addresses: [{ type: 'InternalIP', address: '192.0.2.11' }] } }
  await client.resource(nodes).patch('n1', undefined, 'merge', addresses, { subresource: 'status' })
  server = startIngress({ ...made.context, nodeClient: client, nodeName: 'n1', edge, outgoing, ...settings })
  await advance()
  const get = async (host: string, path = '/', port = 80, more: object = {}) => {
    const { signal } = new AbortController()
    const request = {
      method: 'GET',
      scheme: 'http',
      httpVersion: '1',
      headers: {},
      sourceAddress: '192.0.2.99',
    } as const
    const listener = edge.open.get(port)
    if (listener === undefined) return 'nobody listens'
    return textOf(await listener.handle({ ...request, authority: host, path, signal, ...more }))
  }
  const serve = async (name: string, endpoints: readonly string[], port: object = {}) => {
    const ports = [{ name: 'http', port: 80, targetPort: 8080, ...port }]
    await client.resource(services).create({ metadata: { name, namespace: 'default' }, spec: { ports } } as never)
    await client.resource(endpointSlices).create({
      metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: endpoints.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    } as never)
    await advance()
  }
  const ingress = async (name: string, spec: object, metadata: object = {}) => {
    await client.resource(ingresses).create({ metadata: { name, namespace: 'default', ...metadata }, spec } as never)
    await advance()
  }
  const status = async (name: string) =>
    (await client.resource(ingresses).get(name, 'default')).status.loadBalancer.ingress
  return { ...made, edge, get, serve, ingress, status }
}
const backend = (name: string, port: object = { number: 80 }) => ({ service: { name, port } })
const rule = (host: string, to: object) => ({ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: to }] } })

describe('the ingress of a node', () => {
  it('takes its ports with the first Ingress and gives them back with the last', async () => {
    const { edge, get, serve, ingress, status, client, advance } = await start()
    expect([...edge.open.keys()]).toEqual([])
    await serve('web', ['10.0.0.7'])
    await ingress('web', { rules: [rule('web.example', backend('web'))] })
    expect([...edge.open.keys()]).toEqual([80, 443])
    expect(await get('web.example')).toBe('200 http://10.0.0.7:8080')
    expect(await get('other.example')).toBe('404 404 page not found')
    expect(await status('web')).toEqual([{ ip: '192.0.2.11' }])
    await client.resource(ingresses).delete('web', 'default')
    await advance()
    expect([...edge.open.keys()]).toEqual([])
  })
  it('serves what is ready now, by port name, protocol and external name', async () => {
    const { get, serve, ingress, client, advance } = await start()
    await serve('web', ['10.0.0.7'])
    await serve('grpc', ['10.0.0.8'], { appProtocol: 'kubernetes.io/h2c' })
    const external = { type: 'ExternalName', externalName: 'there.example', ports: [{ port: 81 }] }
    await client.resource(services).create({ metadata: { name: 'ext', namespace: 'default' }, spec: external } as never)
    await ingress('all', {
      rules: [
        rule('web', backend('web', { name: 'http' })),
        rule('grpc', backend('grpc')),
        rule('ext', backend('ext', { number: 81 })),
        rule('none', backend('none')),
        rule('port', backend('web', { number: 99 })),
      ],
    })
    expect(await get('web')).toBe('200 http://10.0.0.7:8080')
    expect(await get('grpc')).toBe('200 h2 http://10.0.0.8:8080')
    expect(await get('ext')).toBe('200 http://there.example:81')
    expect(await get('none')).toContain('503')
    expect(await get('port')).toContain('503')
    const gone = { endpoints: [{ addresses: ['10.0.0.7'], conditions: { ready: false } }] }
    await client.resource(endpointSlices).patch('web-1', 'default', 'merge', gone)
    await advance()
    expect(await get('web')).toContain('503')
  })
  it('TLS certificates follow their Secrets', async () => {
    const { edge, ingress, client, advance } = await start()
    await ingress('tls', {
      tls: [{ hosts: ['a.example'], secretName: 'cert' }],
      rules: [rule('a.example', backend('x'))],
    })
    const certificate = () => edge.open.get(443)?.certificateFor?.('a.example')
    expect(certificate()).toBeUndefined()
    const data = (text: string) => ({ 'tls.crt': base64OfText(text), 'tls.key': base64OfText(`${text}-key`) })
    await client.resource(secrets).create({
      metadata: { name: 'cert', namespace: 'default' },
      type: 'kubernetes.io/tls',
      data: data('one'),
    } as never)
    await advance()
    expect(certificate()).toEqual({ certificatePem: 'one', keyPem: 'one-key' })
    expect(certificate()).toBe(certificate())
    await client.resource(secrets).patch('cert', 'default', 'merge', { data: data('two') })
    await advance()
    expect(certificate()).toEqual({ certificatePem: 'two', keyPem: 'two-key' })
    expect(edge.open.get(443)?.certificateFor?.('b.example')).toBeUndefined()
  })
  it('takes free ports where its own are taken, and the status says which', async () => {
    const edge = new FakeEdge()
    edge.taken.add(80)
    const { ingress, status } = await start({}, edge)
    await ingress('web', { defaultBackend: backend('web') })
    expect([...edge.open.keys()]).toEqual([31_000, 443])
    expect(await status('web')).toEqual([
      {
        ip: '192.0.2.11',
        ports: [
          { port: 31_000, protocol: 'TCP' },
          { port: 443, protocol: 'TCP' },
        ],
      },
    ])
  })
  it('waits for a port that was asked for', async () => {
    const edge = new FakeEdge()
    edge.taken.add(8080)
    const { ingress, advance, log } = await start({ httpPort: 8080, httpsPort: 8443 }, edge)
    await ingress('web', { defaultBackend: backend('web') })
    expect([...edge.open.keys()]).toEqual([])
    expect(JSON.stringify(log)).toContain('port 8080 is taken by another program')
    edge.taken.clear()
    await advance(10_000)
    expect([...edge.open.keys()]).toEqual([8080, 8443])
  })
})

describe('IngressClasses', () => {
  it('ours is there, is the default, and only its Ingresses are served', async () => {
    const { client, get, serve, ingress, status, advance } = await start()
    const ours = await client.resource(ingressClasses).get('coxswain')
    expect(ours.metadata.annotations).toEqual({ 'ingressclass.kubernetes.io/is-default-class': 'true' })
    await client.resource(ingressClasses).create({ metadata: { name: 'other' }, spec: { controller: 'x.io/y' } })
    await serve('web', ['10.0.0.7'])
    await ingress('mine', { rules: [rule('mine', backend('web'))] })
    await ingress('theirs', { ingressClassName: 'other', rules: [rule('theirs', backend('web'))] })
    await ingress(
      'old',
      { rules: [rule('old', backend('web'))] },
      { annotations: { 'kubernetes.io/ingress.class': 'coxswain' } },
    )
    expect(await Promise.all(['mine', 'theirs', 'old'].map((host) => get(host)))).toEqual([
      '200 http://10.0.0.7:8080',
      '404 404 page not found',
      '200 http://10.0.0.7:8080',
    ])
    expect(await status('theirs')).toBeUndefined()
    await client.resource(ingresses).patch('mine', 'default', 'merge', { spec: { ingressClassName: 'other' } })
    await advance()
    expect(await status('mine')).toBeUndefined()
  })
  it('says what it cannot serve', async () => {
    const { ingress, eventsOf, serve, advance } = await start()
    const resource = { resource: { apiGroup: 'k8s.example.com', kind: 'StorageBucket', name: 'static' } }
    await ingress('bad', { defaultBackend: resource, rules: [rule('a', backend('missing'))] })
    expect(await eventsOf('bad')).toEqual([
      'RejectedBackend: resource backend StorageBucket "static" cannot be served: use a Service; service "missing" not found',
    ])
    await serve('missing', ['10.0.0.1'])
    await advance()
    expect(await eventsOf('bad')).toHaveLength(2)
  })
})
