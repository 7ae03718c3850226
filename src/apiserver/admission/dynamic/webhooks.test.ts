import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createOutgoing } from '../../../host/outgoing.ts'
import { type Answer, reviewed, webhookServer, type WebhookServer } from '../../../host/testing/webhook-server.ts'
import { configMap, type TestServer, testServer } from '../../testing/server.ts'

const base = '/api/v1/namespaces/default/configmaps'
const registration = '/apis/admissionregistration.k8s.io/v1'
const everything = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }
const configMaps = { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }
const toBase64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')
const patch = (...operations: object[]) => ({ allowed: true, patchType: 'JSONPatch', patch: toBase64(operations) })

let outgoing: ReturnType<typeof createOutgoing>
let server: TestServer
const hooks: WebhookServer[] = []
beforeEach(async () => {
  outgoing = createOutgoing()
  server = await testServer({ outgoing })
})
afterEach(async () => {
  await server.api.close()
  outgoing.close()
  await Promise.all(hooks.splice(0).map((hook) => hook.close()))
})

const hookOf = async (answer: Answer) => {
  const hook = await webhookServer(answer)
  hooks.push(hook)
  return hook
}
const webhook = (hook: WebhookServer, name: string, more: object = {}) => ({
  name: `${name}.example.com`,
  clientConfig: { url: `${hook.url}/${name}`, caBundle: hook.caBundle },
  rules: [configMaps],
  sideEffects: 'None',
  admissionReviewVersions: ['v1', 'v1beta1'],
  ...more,
})
type Type = 'mutating' | 'validating'
async function configure(type: Type, webhooks: readonly object[], name = 'config') {
  const answer = await server.call('POST', `${registration}/${type}webhookconfigurations`, {
    metadata: { name },
    webhooks,
  })
  expect(answer.text).toContain('"uid"')
}
const create = (name: string, data: Record<string, string> = {}, more: object = {}) =>
  server.call('POST', base, configMap(name, data, more))

describe('validating webhooks', () => {
  it('refuse in upstream words, with the status that they give, from the moment they are there', async () => {
    const hook = await hookOf((review, path) =>
      reviewed(review, {
        allowed: false,
        ...(path.startsWith('/b') ? {} : { status: { code: 403, reason: 'Forbidden', message: 'no such data' } }),
      }),
    )
    expect((await create('before')).status).toBe(201)
    await configure('validating', [webhook(hook, 'a')], 'a')
    const denied = await create('x')
    expect(denied.json).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message: 'admission webhook "a.example.com" denied the request: no such data',
    })
    await server.call('DELETE', `${registration}/validatingwebhookconfigurations/a`)
    await configure('validating', [webhook(hook, 'b')], 'b')
    expect((await create('x')).json).toMatchObject({
      code: 400,
      message: 'admission webhook "b.example.com" denied the request without explanation',
    })
    expect((await server.call('GET', `${base}/x`)).status).toBe(404)
  })

  it('see reviews too, and may refuse to have them answered', async () => {
    const hook = await hookOf((review) => reviewed(review, { allowed: false }))
    const reviews = { operations: ['*'], apiGroups: ['authorization.k8s.io'], apiVersions: ['*'], resources: ['*'] }
    await configure('validating', [webhook(hook, 'ask', { rules: [reviews] })])
    const answer = await server.call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      spec: { user: 'joe', resourceAttributes: { verb: 'get', resource: 'pods' } },
    })
    expect(answer.json).toMatchObject({ code: 400, message: expect.stringContaining('denied the request') as string })
    expect(hook.reviews[0]?.body).toMatchObject({
      request: { operation: 'CREATE', kind: { kind: 'SubjectAccessReview' }, object: { spec: { user: 'joe' } } },
    })
  })

  it('are told everything about the request', async () => {
    const hook = await hookOf((review) => reviewed(review, { allowed: true, warnings: ['mind the gap'] }))
    await configure('validating', [webhook(hook, 'tell', { rules: [everything] })])
    const answer = await server.call(
      'POST',
      `${base}?dryRun=All&fieldManager=me`,
      configMap('x', { a: '1' }, { labels: { l: 'v' } }),
    )
    expect(answer.headers['warning']).toBe('299 - "mind the gap"')
    const [review] = hook.reviews
    expect(review?.path).toBe('/tell?timeout=10s')
    expect(review?.body).toMatchObject({
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        kind: { group: '', version: 'v1', kind: 'ConfigMap' },
        resource: { group: '', version: 'v1', resource: 'configmaps' },
        requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
        name: 'x',
        namespace: 'default',
        operation: 'CREATE',
        userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
        object: { kind: 'ConfigMap', apiVersion: 'v1', data: { a: '1' } },
        oldObject: null,
        dryRun: true,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', dryRun: ['All'], fieldManager: 'me' },
      },
    })
    await create('x')
    await server.call('DELETE', `${base}/x`)
    expect(hook.reviews.at(-1)?.body.request).toMatchObject({
      operation: 'DELETE',
      object: null,
      oldObject: { metadata: { name: 'x' } },
      options: { kind: 'DeleteOptions' },
    })
    // what is configured here does not decide about its own configuration
    const seen = hook.reviews.length
    await server.call('DELETE', `${registration}/validatingwebhookconfigurations/config`)
    expect(hook.reviews).toHaveLength(seen)
  })

  it('are asked by rule, scope, selectors and conditions', async () => {
    const hook = await hookOf((review) => reviewed(review, { allowed: false }))
    await server.call(
      'PATCH',
      '/api/v1/namespaces/default',
      { metadata: { labels: { team: 'a' } } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    )
    const expression = (text: string) => [{ name: 'c', expression: text }]
    const cases: readonly (readonly [object, boolean])[] = [
      [{}, true],
      [{ rules: [{ ...configMaps, scope: 'Cluster' }] }, false],
      [{ rules: [{ ...configMaps, operations: ['DELETE'] }] }, false],
      [{ rules: [{ ...configMaps, resources: ['configmaps/status'] }] }, false],
      [{ rules: [{ ...configMaps, apiVersions: ['v2'] }] }, false],
      [{ namespaceSelector: { matchLabels: { team: 'a' } } }, true],
      [{ namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['a'] }] } }, false],
      [{ objectSelector: { matchLabels: { skip: 'no' } } }, true],
      [{ objectSelector: { matchLabels: { skip: 'yes' } } }, false],
      [{ matchConditions: expression('object.data.a == "1" && request.operation == "CREATE"') }, true],
      [{ matchConditions: expression('request.userInfo.username.startsWith("system:node:")') }, false],
      [
        { matchConditions: expression('authorizer.group("").resource("pods").namespace("x").check("get").allowed()') },
        true,
      ],
      [
        {
          matchConditions: expression(
            'authorizer.serviceAccount("default", "none").group("").resource("pods").check("create").allowed()',
          ),
        },
        false,
      ],
      [{ failurePolicy: 'Ignore', matchConditions: expression('object.nothing.at.all') }, false],
    ]
    for (const [more, asked] of cases) {
      await configure('validating', [webhook(hook, 'm', more)])
      const { status } = await create('x', { a: '1' }, { labels: { skip: 'no' } })
      expect([more, status]).toEqual([more, asked ? 400 : 201])
      await server.call('DELETE', `${registration}/validatingwebhookconfigurations/config`)
      await server.call('DELETE', `${base}/x`)
    }
  })

  it('see other versions of what they ask for', async () => {
    const hook = await hookOf((review) => reviewed(review, { allowed: false }))
    const events = { ...configMaps, apiGroups: ['events.k8s.io'], resources: ['events'] }
    const event = {
      metadata: { name: 'e' },
      involvedObject: { namespace: 'default' },
      source: {},
      reason: 'R',
      message: 'm',
    }
    await configure('validating', [webhook(hook, 'exact', { rules: [events], matchPolicy: 'Exact' })])
    expect((await server.call('POST', '/api/v1/namespaces/default/events', event)).status).toBe(201)
    await configure('validating', [webhook(hook, 'equivalent', { rules: [events] })], 'second')
    const second = await server.call('POST', '/api/v1/namespaces/default/events', { ...event, metadata: { name: 'f' } })
    expect(second.status).toBe(400)
    expect(hook.reviews[0]?.body.request).toMatchObject({
      kind: { group: 'events.k8s.io', version: 'v1', kind: 'Event' },
      requestKind: { group: '', version: 'v1', kind: 'Event' },
      object: { apiVersion: 'events.k8s.io/v1', note: 'm' },
    })
  })

  it('that fail are ignored or not, as they say', async () => {
    const silent = await hookOf(() => undefined)
    const liar = await hookOf(({ apiVersion }) => ({
      kind: 'AdmissionReview',
      apiVersion,
      response: { uid: 'other', allowed: true },
    }))
    await configure('validating', [webhook(silent, 'slow', { timeoutSeconds: 2 })])
    const arrived = silent.arrived()
    const pending = create('x')
    await arrived
    server.clock.advance(2001)
    expect((await pending).json).toMatchObject({
      code: 500,
      reason: 'InternalError',
      message: `Internal error occurred: failed calling webhook "slow.example.com": failed to call webhook: Post "${silent.url}/slow?timeout=2s": context deadline exceeded`,
    })
    await server.call('DELETE', `${registration}/validatingwebhookconfigurations/config`)
    await configure('validating', [webhook(liar, 'liar')])
    expect((await create('x')).json['message']).toMatch(
      /failed calling webhook "liar.example.com": received invalid webhook response: expected response.uid=/,
    )
    await server.call('DELETE', `${registration}/validatingwebhookconfigurations/config`)
    const wrong = { clientConfig: { url: `${liar.url}/x` }, failurePolicy: 'Fail' }
    await configure('validating', [webhook(liar, 'untrusted', wrong)])
    expect((await create('x')).json['message']).toMatch(/x509: certificate signed by unknown authority/)
    await server.call('DELETE', `${registration}/validatingwebhookconfigurations/config`)
    await configure('validating', [webhook(liar, 'ignored', { failurePolicy: 'Ignore' })])
    expect((await create('x')).status).toBe(201)
  })

  it('see connections and what subresources speak of', async () => {
    const hook = await hookOf((review) => reviewed(review, { allowed: false }))
    await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
    await configure('validating', [
      webhook(hook, 'sub', {
        rules: [{ ...everything, resources: ['pods/*', 'deployments/scale', 'serviceaccounts/token'] }],
      }),
    ])
    const token = await server.call('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', {
      spec: { audiences: ['x'] },
    })
    expect(token.status).toBe(400)
    expect(hook.reviews.at(-1)?.body.request).toMatchObject({
      kind: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
      resource: { resource: 'serviceaccounts' },
      subResource: 'token',
      name: 'default',
      object: { kind: 'TokenRequest', spec: { audiences: ['x'] } },
    })
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
    await server.call('POST', '/apis/apps/v1/namespaces/default/deployments', {
      metadata: { name: 'd' },
      spec: { selector: { matchLabels: { a: 'b' } }, template },
    })
    const scaled = await server.call(
      'PATCH',
      '/apis/apps/v1/namespaces/default/deployments/d/scale',
      { spec: { replicas: 3 } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    expect(scaled.status).toBe(400)
    expect(hook.reviews.at(-1)?.body.request).toMatchObject({
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      subResource: 'scale',
      object: { kind: 'Scale', spec: { replicas: 3 } },
      oldObject: { kind: 'Scale', spec: { replicas: 1 } },
    })
  })
})

describe('mutating webhooks', () => {
  it('change what is stored, one after the other', async () => {
    const hook = await hookOf((review, path) =>
      reviewed(review, patch({ op: 'add', path: `/data/${path.slice(1, 2)}`, value: 'yes' })),
    )
    await configure('mutating', [webhook(hook, 'a'), webhook(hook, 'b')])
    const made = await create('x', { own: '1' })
    expect(made.json['data']).toEqual({ own: '1', a: 'yes', b: 'yes' })
    expect(hook.reviews.map(({ body }) => (body.request['object'] as { data: object }).data)).toEqual([
      { own: '1' },
      { own: '1', a: 'yes' },
    ])
    expect(hook.reviews.map(({ path }) => path)).toEqual(['/a?timeout=10s', '/b?timeout=10s'])
    expect(made.json['metadata']?.['managedFields']).toEqual([
      // What a webhook adds is nobody's.
      expect.objectContaining({ fieldsV1: { 'f:data': { '.': {}, 'f:own': {} } } }),
    ])
  })

  it('are asked again when others changed what they saw, if they want to', async () => {
    const hook = await hookOf((review, path) =>
      reviewed(
        review,
        path.startsWith('/last') ? patch({ op: 'add', path: '/data/last', value: 'x' }) : { allowed: true },
      ),
    )
    const again = { reinvocationPolicy: 'IfNeeded' }
    await configure('mutating', [webhook(hook, 'first', again), webhook(hook, 'never'), webhook(hook, 'last', again)])
    await create('x', { a: '1' })
    expect(hook.reviews.map(({ path }) => path.slice(1, path.indexOf('?')))).toEqual([
      'first',
      'never',
      'last',
      'first',
    ])
  })

  it('cannot make an object what it may not be', async () => {
    const hook = await hookOf((review, path) =>
      reviewed(
        review,
        path.startsWith('/uid')
          ? patch({ op: 'replace', path: '/metadata/uid', value: 'mine' })
          : path.startsWith('/bad')
            ? patch({ op: 'remove', path: '/data/none' })
            : patch({ op: 'add', path: '/metadata/labels', value: { 'no good': 'x' } }),
      ),
    )
    await configure('mutating', [webhook(hook, 'uid')])
    expect((await create('a')).json['metadata']?.['uid']).not.toBe('mine')
    await configure('mutating', [webhook(hook, 'labels')], 'labels')
    expect((await create('b')).json).toMatchObject({ code: 422, reason: 'Invalid' })
    await server.call('DELETE', `${registration}/mutatingwebhookconfigurations/labels`)
    await configure('mutating', [webhook(hook, 'bad')], 'bad')
    expect((await create('c')).json).toMatchObject({ code: 500, reason: 'InternalError' })
  })
})
