import { afterEach, beforeEach, expect, it } from 'vitest'
import { createOutgoing } from '../../host/outgoing.ts'
import { type Review, webhookServer, type WebhookServer } from '../../host/testing/webhook-server.ts'
import { type Loose, type TestServer, testServer, WatchReader } from '../testing/server.ts'

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const path = (version: string) => `/apis/example.com/${version}/namespaces/default/endpoints`

let server: TestServer
let hook: WebhookServer
let outgoing: ReturnType<typeof createOutgoing>

/** v1 has hostPort, v2 host and port. */
function convert({ apiVersion, request }: Review): object {
  const { desiredAPIVersion, objects } = request as unknown as {
    desiredAPIVersion: string
    objects: Record<string, string>[]
  }
  const convertedObjects = objects.map(({ hostPort, host, port, ...rest }) => {
    const [first = '', second = ''] = (hostPort ?? '').split(':')
    const fields = desiredAPIVersion.endsWith('v1') ? { hostPort: `${host}:${port}` } : { host: first, port: second }
    return { ...rest, apiVersion: desiredAPIVersion, ...fields }
  })
  return {
    kind: 'ConversionReview',
    apiVersion,
    response: { uid: request.uid, result: { status: 'Success' }, convertedObjects },
  }
}

beforeEach(async () => {
  hook = await webhookServer(convert)
  outgoing = createOutgoing()
  server = await testServer({ outgoing })
  const strings = (...names: string[]) => ({
    openAPIV3Schema: {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
    },
  })
  const made = await server.call('POST', crds, {
    metadata: { name: 'endpoints.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'endpoints', kind: 'Endpoint' },
      conversion: {
        strategy: 'Webhook',
        webhook: {
          clientConfig: { url: `${hook.url}/convert`, caBundle: hook.caBundle },
          conversionReviewVersions: ['v1'],
        },
      },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: strings('hostPort'),
          selectableFields: [{ jsonPath: '.hostPort' }],
        },
        {
          name: 'v2',
          served: true,
          storage: false,
          schema: strings('host', 'port'),
          selectableFields: [{ jsonPath: '.host' }, { jsonPath: '.port' }],
        },
      ],
    },
  })
  expect(made.status).toBe(201)
  await expect.poll(async () => (await server.call('GET', path('v2'))).status).toBe(200)
})
afterEach(async () => {
  await server.api.close()
  outgoing.close()
  await hook.close()
})
const create = (name: string, host: string, port: string) =>
  server.call('POST', path('v2'), { apiVersion: 'example.com/v2', kind: 'Endpoint', metadata: { name }, host, port })
const namesOf = (json: Loose) => (json['items'] as unknown as Loose[]).map((item) => item['metadata']?.['name'])

it('shows every version what the other has stored', async () => {
  expect((await create('a', 'h1', '80')).json).toMatchObject({ host: 'h1', port: '80' })
  expect((await server.call('GET', `${path('v1')}/a`)).json).toMatchObject({
    apiVersion: 'example.com/v1',
    hostPort: 'h1:80',
    metadata: { name: 'a' },
  })
  const put = { apiVersion: 'example.com/v1', kind: 'Endpoint', metadata: { name: 'b' }, hostPort: 'h2:81' }
  expect((await server.call('POST', path('v1'), put)).status).toBe(201)
  expect((await server.call('GET', path('v2'))).json['items']).toMatchObject([
    { apiVersion: 'example.com/v2', host: 'h1', port: '80' },
    { apiVersion: 'example.com/v2', host: 'h2', port: '81' },
  ])
})

it('selects by the fields that a version shows', async () => {
  const watch = await server.call('GET', `${path('v2')}?watch=1&fieldSelector=host=h1`)
  const reader = new WatchReader(watch.response)
  await create('a', 'h1', '80')
  await create('b', 'h1', '81')
  await create('c', 'h2', '80')
  const list = (selector: string, version = 'v2') =>
    server.call('GET', `${path(version)}?fieldSelector=${encodeURIComponent(selector)}`)
  expect(namesOf((await list('host=h1')).json)).toEqual(['a', 'b'])
  expect(namesOf((await list('host=h1,port=80')).json)).toEqual(['a'])
  expect(namesOf((await list('host!=h1')).json)).toEqual(['c'])
  expect(namesOf((await list('hostPort=h2:80', 'v1')).json)).toEqual(['c'])
  const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
  await server.call('PATCH', `${path('v2')}/a`, { host: 'h3' }, merge)
  await server.call('PATCH', `${path('v2')}/c`, { host: 'h1' }, merge)
  await server.call('DELETE', `${path('v2')}/b`)
  await reader.until(5)
  expect(reader.types).toEqual(['ADDED a', 'ADDED b', 'DELETED a', 'ADDED c', 'DELETED b'])
  reader.close()
  await server.call('DELETE', `${path('v2')}?fieldSelector=host=h1`)
  expect(namesOf((await server.call('GET', path('v2'))).json)).toEqual(['a'])
})
