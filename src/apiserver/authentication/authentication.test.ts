import { describe, expect, it } from 'vitest'
import { type CallOptions, testServer, type TestServer } from '../testing/server.ts'
import { sameSecret } from './bearer-tokens.ts'

const bearer = (token: string): CallOptions => ({ headers: { authorization: `Bearer ${token}` }, user: null })
const selfReview = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
const tokenReview = '/apis/authentication.k8s.io/v1/tokenreviews'

async function whoIs({ call }: TestServer, options: CallOptions) {
  const answer = await call('POST', selfReview, { kind: 'SelfSubjectReview' }, options)
  const { userInfo } = (answer.json['status'] ?? {}) as { userInfo?: { username: string; groups: string[] } }
  return answer.status === 201 ? [userInfo?.username, ...(userInfo?.groups ?? [])].join(' ') : String(answer.status)
}
const bootstrapSecret = (changes: Readonly<Record<string, string>> = {}) => ({
  metadata: { name: 'bootstrap-token-abcdef' },
  type: 'bootstrap.kubernetes.io/token',
  stringData: {
    'token-id': 'abcdef',
    'token-secret': '0123456789abcdef',
    'usage-bootstrap-authentication': 'true',
    'auth-extra-groups': 'system:bootstrappers:worker',
    ...changes,
  },
})
const secrets = '/api/v1/namespaces/kube-system/secrets'

describe('bootstrap tokens', () => {
  it('authenticate while their Secret says so', async () => {
    const server = await testServer()
    const { call, clock } = server
    const token = bearer('abcdef.0123456789abcdef')
    expect(await whoIs(server, token)).toBe('401')
    const expiration = new Date(clock.now() + 60_000).toISOString()
    expect((await call('POST', secrets, bootstrapSecret({ expiration }))).status).toBe(201)
    expect(await whoIs(server, token)).toBe(
      'system:bootstrap:abcdef system:bootstrappers system:bootstrappers:worker system:authenticated',
    )
    expect(await whoIs(server, bearer('abcdef.0123456789abcdee'))).toBe('401')
    expect(await whoIs(server, bearer('abcdeg.0123456789abcdef'))).toBe('401')
    clock.advance(60_001)
    expect(await whoIs(server, token)).toBe('401')
  })
  it.each([
    ['is not for authentication', { 'usage-bootstrap-authentication': 'false' }],
    ['has expired at a time that nobody can read', { expiration: 'tomorrow' }],
    ['gives a group outside system:bootstrappers', { 'auth-extra-groups': 'system:masters' }],
    ['names another id', { 'token-id': 'abcdeg' }],
  ])('are refused where the Secret %s', async (_why, changes) => {
    const server = await testServer()
    await server.call('POST', secrets, bootstrapSecret(changes))
    expect(await whoIs(server, bearer('abcdef.0123456789abcdef'))).toBe('401')
  })
})

describe('static tokens and anonymous requests', () => {
  const tokens = new Map([['s3cret', { name: 'joe', uid: '7', groups: ['devs'] }]])
  it('know the listed users', async () => {
    const server = await testServer({ tokens })
    expect(await whoIs(server, bearer('s3cret'))).toBe('joe devs system:authenticated')
    expect(await whoIs(server, bearer('other'))).toBe('401')
  })
  it('a server without anonymous users refuses requests without credentials', async () => {
    const open = await testServer()
    expect((await open.call('GET', '/version', undefined, { user: null })).status).toBe(200)
    const closed = await testServer({ tokens, settings: { anonymousAuth: false } })
    expect((await closed.call('GET', '/version', undefined, { user: null })).status).toBe(401)
    expect((await closed.call('GET', '/version', undefined, bearer('s3cret'))).status).toBe(200)
  })
})

describe('client certificates and front proxies', () => {
  const groups: readonly string[] = ['devs']
  const certificate = { name: 'joe', groups, sha256: '0a', isUser: true, isFrontProxy: false }
  const proxy = { name: 'gate', groups: [], sha256: '0b', isUser: false, isFrontProxy: true }
  const settings = { frontProxies: { caPem: 'x', allowedNames: ['gate'] } }
  it('a certificate is a user, and its hash the credential', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', selfReview, {}, { user: null, request: { certificate } })
    expect(json['status']).toEqual({
      userInfo: {
        username: 'joe',
        groups: ['devs', 'system:authenticated'],
        extra: { 'authentication.kubernetes.io/credential-id': ['X509SHA256=0a'] },
      },
    })
  })
  it('a proxy tells who asks', async () => {
    const { call } = await testServer({ settings })
    const rawHeaders = ['X-Remote-User', 'ann', 'X-Remote-Uid', '7', 'X-Remote-Group', 'a,b', 'X-Remote-Group', 'c']
    rawHeaders.push('X-Remote-Extra-Example.com%2fTeam', 'blue', 'x-remote-extra-example.com%2fteam', 'green')
    const headers = {
      'x-remote-user': 'ann',
      'x-remote-uid': '7',
      'x-remote-group': 'a,b, c',
      'x-remote-extra-example.com%2fteam': 'blue, green',
    }
    const { json } = await call(
      'POST',
      selfReview,
      {},
      { user: null, headers, request: { certificate: proxy, rawHeaders } },
    )
    expect(json['status']).toEqual({
      userInfo: {
        username: 'ann',
        uid: '7',
        groups: ['a,b', 'c', 'system:authenticated'],
        extra: { 'example.com/team': ['blue', 'green'] },
      },
    })
  })
  it.each([
    ['from a proxy of another name', { certificate: { ...proxy, name: 'other' } }, '401'],
    ['from a user', { certificate }, 'joe devs system:authenticated'],
    ['without a certificate', {}, 'system:anonymous system:unauthenticated'],
  ])('headers %s mean nothing', async (_who, request, expected) => {
    const anybody = { authorizers: [{ name: 'all', authorize: () => ({ decision: 'allow' as const, reason: '' }) }] }
    const server = await testServer({ settings, ...anybody })
    const options = { user: null, headers: { 'x-remote-user': 'admin', 'x-remote-group': 'system:masters' }, request }
    expect(await whoIs(server, options)).toBe(expected)
  })
  it('a proxy that does not say who asks is nobody', async () => {
    const server = await testServer({ settings })
    expect(await whoIs(server, { user: null, request: { certificate: proxy } })).toBe('401')
  })
})

describe('TokenReview', () => {
  it('knows every kind of token, for the audiences that it is good for', async () => {
    const server = await testServer({ tokens: new Map([['s3cret', { name: 'joe', groups: [] }]]) })
    const { call } = server
    await call('POST', secrets, bootstrapSecret())
    const request = await call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'robot' } })
    expect(request.status).toBe(201)
    const minted = await call('POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', {
      spec: { audiences: ['vault'] },
    })
    const { token } = minted.json['status'] as unknown as { token: string }
    const review = async (spec: object) => {
      const answer = await call('POST', tokenReview, { spec })
      const { authenticated, user, audiences, error } = answer.json['status'] as unknown as {
        authenticated?: boolean
        user: { username?: string }
        audiences?: string[]
        error?: string
      }
      return authenticated === true ? `${user.username} for ${audiences?.join()}` : error
    }
    const own = 'https://kubernetes.default.svc'
    expect(await review({ token: 's3cret' })).toBe(`joe for ${own}`)
    expect(await review({ token: 's3cret', audiences: ['vault'] })).toBe('invalid bearer token')
    expect(await review({ token: 'abcdef.0123456789abcdef' })).toBe(`system:bootstrap:abcdef for ${own}`)
    expect(await review({ token })).toBe('invalid bearer token')
    expect(await review({ token, audiences: ['vault', 'x'] })).toBe('system:serviceaccount:default:robot for vault')
  })
})

describe('OIDC discovery of the service account issuer', () => {
  it('is there for service accounts that are bound to its role', async () => {
    const { call } = await testServer({ settings: { advertiseAddress: 'fd00::1' } })
    const account = { name: 'system:serviceaccount:a:b', groups: ['system:serviceaccounts', 'system:authenticated'] }
    const document = await call('GET', '/.well-known/openid-configuration', undefined, { user: account })
    expect(document.status).toBe(200)
    expect(document.json).toMatchObject({
      issuer: 'https://kubernetes.default.svc',
      jwks_uri: 'https://[fd00::1]:6443/openid/v1/jwks',
    })
    expect(document.headers['cache-control']).toBe('public, max-age=3600')
    const keys = await call('GET', '/openid/v1/jwks', undefined, { user: account })
    expect([keys.status, keys.headers['content-type']]).toEqual([200, 'application/jwk-set+json'])
    expect((await call('GET', '/openid/v1/jwks', undefined, { user: null })).status).toBe(403)
  })
})

it('secrets are compared whole', () => {
  expect(sameSecret('abc', 'abc')).toBe(true)
  for (const other of ['abd', 'ab', 'abcd', '']) expect(sameSecret('abc', other)).toBe(false)
})
