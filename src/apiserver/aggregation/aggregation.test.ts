import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openIdentity } from '../../host/identity.ts'
import { createOutgoing } from '../../host/outgoing.ts'
import { type TestServer, testServer, type Loose } from '../testing/server.ts'

const registration = '/apis/apiregistration.k8s.io/v1/apiservices'
const group = '/apis/wardle.example.com/v1'
const cleanups: (() => unknown)[] = []
let server: TestServer
let directory: string
const frontProxyOf = () => openIdentity({ directory }).frontProxy

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-aggregation-'))
  const outgoing = createOutgoing()
  const identity = openIdentity({ directory })
  server = await testServer({ outgoing, identity })
  cleanups.push(
    () => server.api.close(),
    () => outgoing.close(),
    () => rmSync(directory, { recursive: true }),
  )
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, unknown>>
  /** Common name of the client certificate. */
  readonly peer: string
}
/** A server for wardle.example.com/v1, with a certificate for the name of its Service. */
async function backend(more: readonly object[] = [], restless = false) {
  const seen: Seen[] = []
  const certificate = openIdentity({ directory }).serving('wardle', { dnsNames: ['api.default.svc'] })
  const documents: Record<string, object> = {
    [group]: {
      kind: 'APIResourceList',
      groupVersion: 'wardle.example.com/v1',
      resources: [
        { name: 'flunders', singularName: 'flunder', namespaced: true, kind: 'Flunder', verbs: ['get', 'list'] },
        { name: 'flunders/status', singularName: '', namespaced: true, kind: 'Flunder', verbs: ['get'] },
        ...more,
      ],
    },
    [`/openapi/v3${group}`]: { openapi: '3.0.0', paths: { [`${group}/flunders`]: {} } },
    '/openapi/v2': {
      swagger: '2.0',
      paths: {
        [`${group}/flunders`]: { get: { responses: { 200: { schema: { $ref: '#/definitions/Flunder' } } } } },
        '/apis/other/v1/': {},
      },
      definitions: { Flunder: { type: 'object' }, Unused: { type: 'object' } },
    },
  }
  const options = {
    cert: certificate.certificatePem,
    key: certificate.keyPem,
    ca: frontProxyOf()?.caPem ?? '',
    requestCert: true,
    rejectUnauthorized: true,
  }
  const target = https.createServer(options, (request, response) => {
    const peer = String((request.socket as TLSSocket).getPeerCertificate().subject.CN)
    const url = request.url ?? ''
    seen.push({ method: request.method ?? '', url, headers: request.headersDistinct, peer })
    if (restless && url.startsWith('/openapi/v3')) Object.assign(documents[url] ?? {}, { 'x-asked': seen.length })
    const document = documents[url]
    response.statusCode = document === undefined ? (url.includes('/flunders') ? 200 : 404) : 200
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(document ?? { kind: 'FlunderList', items: [] }))
  })
  await new Promise<void>((done) => target.listen(0, '127.0.0.1', done))
  cleanups.push(() => {
    target.closeAllConnections()
    target.close()
  })
  return { seen, port: (target.address() as AddressInfo).port }
}
/** The Service of the backend: a name, for endpoints may not be on the loopback device. */
const service = (port: number) =>
  server.call('POST', '/api/v1/namespaces/default/services', {
    metadata: { name: 'api' },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ name: 'https', port }] },
  })
const register = (port = 7443) =>
  server.call('POST', registration, {
    metadata: { name: 'v1.wardle.example.com' },
    spec: {
      group: 'wardle.example.com',
      version: 'v1',
      groupPriorityMinimum: 2000,
      versionPriority: 200,
      caBundle: Buffer.from(openIdentity({ directory }).ca.certificatePem).toString('base64'),
      service: { namespace: 'default', name: 'api', port },
    },
  })
/** Asks until the condition of the APIService is the one that is waited for. */
async function available(reason: string): Promise<Loose> {
  return expect
    .poll(
      async () => {
        const { json } = await server.call('GET', `${registration}/v1.wardle.example.com`)
        return (json['status']?.['conditions'] as unknown as Loose[] | undefined)?.[0]
      },
      { timeout: 5000, interval: 20 },
    )
    .toMatchObject({ type: 'Available', reason }) as unknown as Loose
}

it('passes requests on, and says who asks', async () => {
  const { seen, port } = await backend()
  await service(port)
  await register(port)
  await available('Passed')
  seen.length = 0
  const user = {
    name: 'jane',
    uid: 'u1',
    groups: ['dev', 'system:masters', 'system:authenticated'],
    extra: { Scope: ['a', 'b'] },
  }
  const answer = await server.call('GET', `${group}/namespaces/default/flunders?limit=3`, undefined, {
    user,
    headers: { 'x-remote-user': 'root', authorization: 'Bearer secret' },
  })
  expect(answer.response).toMatchObject({ status: 200 })
  // its own checks come between
  const passed = seen.filter(({ url }) => url.includes('flunders?'))
  expect(passed).toHaveLength(1)
  expect(passed[0]).toMatchObject({
    method: 'GET',
    url: `${group}/namespaces/default/flunders?limit=3`,
    peer: 'front-proxy-client',
  })
  expect(passed[0]?.headers).toMatchObject({
    'x-remote-user': ['jane'],
    'x-remote-uid': ['u1'],
    'x-remote-group': ['dev', 'system:masters', 'system:authenticated'],
    'x-remote-extra-scope': ['a', 'b'],
  })
  expect(passed[0]?.headers).not.toHaveProperty('authorization')
  const refused = await server.call('GET', `${group}/flunders`, undefined, {
    user: { name: 'nobody', groups: ['system:authenticated'] },
  })
  expect(refused.status).toBe(403)
})

it('offers what the other server serves', async () => {
  const { port } = await backend()
  await service(port)
  await register(port)
  await available('Passed')
  const groups = await server.call('GET', '/apis')
  expect(groups.json['groups']).toContainEqual({
    name: 'wardle.example.com',
    versions: [{ groupVersion: 'wardle.example.com/v1', version: 'v1' }],
    preferredVersion: { groupVersion: 'wardle.example.com/v1', version: 'v1' },
  })
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  const all = await server.call('GET', '/apis', undefined, { headers: { accept } })
  expect(all.json['items']).toContainEqual({
    metadata: { name: 'wardle.example.com' },
    versions: [
      {
        version: 'v1',
        freshness: 'Current',
        resources: [
          {
            resource: 'flunders',
            responseKind: { group: '', version: '', kind: 'Flunder' },
            scope: 'Namespaced',
            singularResource: 'flunder',
            verbs: ['get', 'list'],
            subresources: [
              { subresource: 'status', responseKind: { group: '', version: '', kind: 'Flunder' }, verbs: ['get'] },
            ],
          },
        ],
      },
    ],
  })
  const v3 = await server.call('GET', '/openapi/v3')
  const url = v3.json['paths']?.['apis/wardle.example.com/v1']?.['serverRelativeURL'] as unknown as string
  expect((await server.call('GET', url)).json).toEqual({ openapi: '3.0.0', paths: { [`${group}/flunders`]: {} } })
  const v2 = await server.call('GET', '/openapi/v2')
  expect(v2.json['paths']).toHaveProperty([`${group}/flunders`])
  expect(v2.json['paths']).not.toHaveProperty(['/apis/other/v1/'])
  expect(v2.json['definitions']).toHaveProperty('Flunder')
  expect(v2.json['definitions']).not.toHaveProperty('Unused')
  await server.call('DELETE', `${registration}/v1.wardle.example.com`)
  await expect.poll(async () => (await server.call('GET', `${group}/flunders`)).status).toBe(404)
}, 60_000)

it('says why another server cannot be asked', async () => {
  await register()
  await available('ServiceNotFound')
  expect((await server.call('GET', `${group}/flunders`)).json).toMatchObject({
    code: 503,
    message: 'service unavailable',
  })
  await server.call('POST', '/api/v1/namespaces/default/services', {
    metadata: { name: 'api' },
    spec: { ports: [{ name: 'https', port: 7443 }] },
  })
  await available('MissingEndpoints')
})

it('lists its own group versions as Local, and those of custom resources while they are there', async () => {
  const { json } = await server.call('GET', registration)
  const items = json['items'] as unknown as readonly Loose[]
  const names = items.map((item) => item['metadata']?.['name'] as unknown as string)
  expect(names).toEqual(expect.arrayContaining(['v1.', 'v1.apps', 'v1.apiregistration.k8s.io']))
  expect(
    items.find((item) => (item['metadata']?.['name'] as unknown as string) === 'v1.apps')?.['status'],
  ).toMatchObject({
    conditions: [{ type: 'Available', status: 'True', reason: 'Local' }],
  })
  const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  const schema = { openAPIV3Schema: { type: 'object' } }
  await server.call('POST', crds, {
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Cluster',
      names: { plural: 'things', kind: 'Thing' },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  })
  const status = async () => (await server.call('GET', `${registration}/v1.example.com`)).status
  await expect.poll(status).toBe(200)
  await server.call('DELETE', `${crds}/things.example.com`)
  await expect.poll(status).toBe(404)
})

it('publishes whom servers behind it may believe', async () => {
  const { json } = await server.call(
    'GET',
    '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication',
  )
  expect(json['data']).toMatchObject({
    'requestheader-allowed-names': '["front-proxy-client"]',
    'requestheader-client-ca-file': frontProxyOf()?.caPem,
    'requestheader-username-headers': '["X-Remote-User"]',
  })
})

it('a server that says something new each time is not asked all the time', async () => {
  const { seen, port } = await backend([], true)
  await service(port)
  await register(port)
  await available('Passed')
  const checks = () => seen.filter(({ url }) => !url.includes('flunders'))
  const before = checks().length
  for (let i = 0; i < 40; i++) await server.call('GET', `${group}/namespaces/default/flunders`)
  // The report of the first check may have led to a second one, of five questions.
  expect(checks().length - before).toBeLessThanOrEqual(5)
})

it('lists parts of what is not served itself, as metrics servers have them', async () => {
  const { port } = await backend([
    { name: 'pods/queue', singularName: '', namespaced: true, kind: 'MetricValueList', verbs: ['get'] },
  ])
  await service(port)
  await register(port)
  await available('Passed')
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  const { json } = await server.call('GET', '/apis', undefined, { headers: { accept } })
  const found = (json['items'] as unknown as Loose[]).find(
    (item) => (item['metadata'] as { readonly name?: unknown } | undefined)?.name === 'wardle.example.com',
  )
  const resources = found?.['versions']?.[0]?.['resources'] as unknown as Loose[]
  expect(resources.map(({ resource }) => resource)).toEqual(['flunders', 'pods'])
  expect(resources[1]).toMatchObject({ scope: 'Namespaced', verbs: [], subresources: [{ subresource: 'queue' }] })
})
