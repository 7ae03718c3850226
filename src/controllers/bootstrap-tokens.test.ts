import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { configMaps } from '../api/core/config-map.ts'
import { namespaces } from '../api/core/namespace.ts'
import { secrets } from '../api/core/secret.ts'
import { serviceAccounts } from '../api/core/service-account.ts'
import { bootstrapSigner, detachedSignature, hmacSha256, tokenCleaner } from './bootstrap-tokens.ts'
import { serviceAccountTokenController } from './service-account-token.ts'
import { fakeIdentity, type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const bytes = (text: string) => new TextEncoder().encode(text)

describe('bootstrap tokens', () => {
  it('sign cluster-info until they expire, and are deleted then', async () => {
    cluster = await testCluster([tokenCleaner, bootstrapSigner])
    const { client, advance } = cluster
    if ((await client.resource(namespaces).find('kube-public')) === undefined)
      await client.resource(namespaces).create({ metadata: { name: 'kube-public' }, spec: {} })
    await client
      .resource(configMaps)
      .create({ metadata: { name: 'cluster-info', namespace: 'kube-public' }, data: { kubeconfig: 'K' } })
    await client.resource(secrets).create({
      metadata: { name: 'bootstrap-token-abcdef', namespace: 'kube-system' },
      type: 'bootstrap.kubernetes.io/token',
      data: Object.fromEntries(
        Object.entries({
          'token-id': 'abcdef',
          'token-secret': '0123456789abcdef',
          'usage-bootstrap-signing': 'true',
          expiration: '2026-01-01T01:00:00Z',
        }).map(([key, value]) => [key, btoa(value)]),
      ),
    } as never)
    await advance()
    const data = async () => (await client.resource(configMaps).get('cluster-info', 'kube-public')).data
    expect(await data()).toEqual({
      kubeconfig: 'K',
      'jws-kubeconfig-abcdef': detachedSignature('K', 'abcdef', '0123456789abcdef'),
    })
    await advance(3_590_000)
    expect(await client.resource(secrets).find('bootstrap-token-abcdef', 'kube-system')).toBeDefined()
    await advance(20_000)
    expect(await client.resource(secrets).find('bootstrap-token-abcdef', 'kube-system')).toBeUndefined()
    expect(await data()).toEqual({ kubeconfig: 'K' })
  })
  it.each(['k', 'x'.repeat(64), 'y'.repeat(100)])('hmac agrees with the platform (key of %s)', (key) => {
    const expected = createHmac('sha256', key).update('message').digest('hex')
    expect(Buffer.from(hmacSha256(bytes(key), bytes('message'))).toString('hex')).toBe(expected)
  })
  it('the signature is a detached JWS', () => {
    const [header, nothing, signature] = detachedSignature('content', 'id', 'secret').split('.')
    expect(JSON.parse(atob(header ?? ''))).toEqual({ alg: 'HS256', kid: 'id' })
    expect(nothing).toBe('')
    const input = `${header}.${Buffer.from('content').toString('base64url')}`
    expect(signature).toBe(createHmac('sha256', 'id.secret').update(input).digest('base64url'))
  })
})

describe('service account token secrets', () => {
  it('are filled, and go with their account', async () => {
    cluster = await testCluster([serviceAccountTokenController], { settings: fakeIdentity })
    const { client, advance } = cluster
    const account = await client.resource(serviceAccounts).create({ metadata: { name: 'robot', namespace: 'default' } })
    const secret = await client.resource(secrets).create({
      metadata: { name: 's', namespace: 'default', annotations: { 'kubernetes.io/service-account.name': 'robot' } },
      type: 'kubernetes.io/service-account-token',
    } as never)
    await advance()
    const filled = await client.resource(secrets).get('s', 'default')
    expect(filled.metadata.annotations?.['kubernetes.io/service-account.uid']).toBe(account.metadata.uid)
    expect(atob(filled.data?.['ca.crt'] ?? '')).toBe(fakeIdentity.ca.certificatePem)
    expect(atob(filled.data?.['namespace'] ?? '')).toBe('default')
    expect(JSON.parse(atob(filled.data?.['token'] ?? ''))).toMatchObject({
      sub: 'system:serviceaccount:default:robot',
      'kubernetes.io': {
        serviceaccount: { name: 'robot', uid: account.metadata.uid },
        secret: { name: 's', uid: secret.metadata.uid },
      },
    })
    await client.resource(serviceAccounts).delete('robot', 'default')
    await advance()
    expect(await client.resource(secrets).find('s', 'default')).toBeUndefined()
  })
})
