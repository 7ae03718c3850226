import { describe, expect, it } from 'vitest'
import { encryptionConfigurations } from '../../api/encryption/encryption-configuration.ts'
import { ConfigError, readConfig } from '../../api/machinery/config-file.ts'
import { openMemoryStore } from '../../store/memory.ts'
import { testClock, testRandom, testServer, textAt } from '../testing/server.ts'
import { SealError, transformerOf } from './transformer.ts'

const secrets = '/api/v1/namespaces/default/secrets'
const key = (seed: number, size = 32) =>
  btoa(String.fromCharCode(...Array.from({ length: size }, (_, i) => (i * 7 + seed) & 255)))
const config = (providers: string, resources = '[secrets]') =>
  readConfig(
    `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: ${resources}\n  providers: ${providers}`,
    encryptionConfigurations,
  )
const keyed = (provider: string, ...keys: readonly (readonly [string, string])[]) =>
  `{${provider}: {keys: [${keys.map(([name, secret]) => `{name: ${name}, secret: "${secret}"}`).join()}]}}`
const secret = (name: string) => ({ metadata: { name }, stringData: { password: 'correct horse battery' } })

describe('objects at rest', () => {
  it.each(['aesgcm', 'aescbc', 'secretbox'])(
    'are never plain with %s, and are read as they were written',
    async (provider) => {
      const store = openMemoryStore({ clock: testClock() })
      const encryption = config(`[${keyed(provider, ['k1', key(1)])}, {identity: {}}]`)
      const { call } = await testServer({ store, encryption })
      await call('POST', secrets, secret('a'))
      const stored = await store.get('/registry/secrets/default/a')
      const text = new TextDecoder('latin1').decode(stored?.value)
      expect(text.startsWith(`k8s:enc:${provider}:v1:k1:`)).toBe(true)
      for (const plain of ['password', btoa('correct horse battery'), 'metadata']) expect(text).not.toContain(plain)
      expect(textAt((await call('GET', `${secrets}/a`)).json, 'data', 'password')).toBe(btoa('correct horse battery'))
      // A server that starts over the same store reads them from there.
      const again = await testServer({ store, encryption })
      expect((await again.call('GET', secrets)).json['items']).toHaveLength(1)
      await call('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'c' }, data: { k: 'v' } })
      const other = await store.get('/registry/configmaps/default/c')
      expect(new TextDecoder().decode(other?.value)).toContain('"k":"v"')
    },
  )
  it('are rewritten with a new key by an update that changes nothing', async () => {
    const store = openMemoryStore({ clock: testClock() })
    const first = await testServer({ store, encryption: config(`[${keyed('aesgcm', ['old', key(1)])}]`) })
    await first.call('POST', secrets, secret('a'))
    const rotated = config(`[${keyed('aesgcm', ['new', key(2)], ['old', key(1)])}]`)
    const { call } = await testServer({ store, encryption: rotated })
    const prefix = async () => {
      const stored = await store.get('/registry/secrets/default/a')
      return new TextDecoder('latin1').decode(stored?.value.subarray(0, 22))
    }
    expect(await prefix()).toBe('k8s:enc:aesgcm:v1:old:')
    const { json } = await call('GET', `${secrets}/a`)
    expect((await call('PUT', `${secrets}/a`, json)).status).toBe(200)
    expect(await prefix()).toBe('k8s:enc:aesgcm:v1:new:')
    // Now it is as it would be written: nothing more to do.
    const after = await call('GET', `${secrets}/a`)
    const same = await call('PUT', `${secrets}/a`, after.json)
    expect(textAt(same.json, 'metadata', 'resourceVersion')).toBe(textAt(after.json, 'metadata', 'resourceVersion'))
  })
  it('go from plain to encrypted and back', async () => {
    const store = openMemoryStore({ clock: testClock() })
    const plain = await testServer({ store })
    await plain.call('POST', secrets, secret('a'))
    const sealed = await testServer({
      store,
      encryption: config(`[${keyed('aesgcm', ['k', key(1)])}, {identity: {}}]`),
    })
    const first = (await sealed.call('GET', `${secrets}/a`)).json
    await sealed.call('PUT', `${secrets}/a`, first)
    const open = await testServer({ store, encryption: config(`[{identity: {}}, ${keyed('aesgcm', ['k', key(1)])}]`) })
    const second = (await open.call('GET', `${secrets}/a`)).json
    expect(second['data']).toEqual(first['data'])
    await open.call('PUT', `${secrets}/a`, second)
    const stored = await store.get('/registry/secrets/default/a')
    expect(new TextDecoder().decode(stored?.value)).toContain('"kind":"Secret"')
  })
  it('of which the key is gone are an error that says so, and nothing else stops', async () => {
    const store = openMemoryStore({ clock: testClock() })
    const first = await testServer({ store, encryption: config(`[${keyed('aesgcm', ['old', key(1)])}]`) })
    await first.call('POST', secrets, secret('a'))
    const { call } = await testServer({ store, encryption: config(`[${keyed('aesgcm', ['new', key(2)])}]`) })
    const answer = await call('GET', secrets)
    expect(answer.status).toBe(500)
    expect(textAt(answer.json, 'message')).toContain('the key that it was encrypted with is not configured')
    expect((await call('GET', '/api/v1/namespaces')).status).toBe(200)
  })
  it('of custom resources and whole groups can be named too', async () => {
    const store = openMemoryStore({ clock: testClock() })
    const encryption = config(`[${keyed('secretbox', ['k', key(1)])}]`, '["*.example.com", "deployments.apps"]')
    const { call } = await testServer({ store, encryption })
    await call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      metadata: { name: 'pandas.example.com' },
      spec: {
        group: 'example.com',
        names: { plural: 'pandas', singular: 'panda', kind: 'Panda' },
        scope: 'Namespaced',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    })
    const pandas = '/apis/example.com/v1/namespaces/default/pandas'
    const panda = { apiVersion: 'example.com/v1', kind: 'Panda', metadata: { name: 'p' }, bamboo: 'much' }
    await expect.poll(() => call('POST', pandas, panda).then(({ status }) => status)).toBe(201)
    const stored = await store.get('/registry/example.com/pandas/default/p')
    expect(new TextDecoder('latin1').decode(stored?.value)).toMatch(/^k8s:enc:secretbox:v1:k:/)
    expect(textAt((await call('GET', `${pandas}/p`)).json, 'bamboo')).toBe('much')
  })
})

describe('a sealed value', () => {
  const [entry] = config(`[${keyed('aesgcm', ['k', key(3)])}]`).resources ?? []
  const transformer = transformerOf(entry?.providers ?? [], testRandom())
  const plain = new TextEncoder().encode('hello')
  it('opens only in its own place, unchanged', () => {
    const sealed = transformer.seal(plain, '/registry/secrets/a/b')
    expect(transformer.open(sealed, '/registry/secrets/a/b').plain).toEqual(plain)
    expect(() => transformer.open(sealed, '/registry/secrets/a/c')).toThrow(SealError)
    for (const at of [sealed.length - 1, sealed.length - 20]) {
      const changed = sealed.slice()
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(() => transformer.open(changed, '/registry/secrets/a/b')).toThrow(SealError)
    }
    // Without identity among the providers what lies there in plain is not believed.
    expect(() => transformer.open(plain, '/registry/secrets/a/b')).toThrow(SealError)
  })
  it('is another one each time', () => {
    expect(transformer.seal(plain, 'k')).not.toEqual(transformer.seal(plain, 'k'))
  })
})

it.each([
  ['[]', 'resources[0].providers: Required value: at least one provider is needed'],
  [
    '[{kms: {name: x}}]',
    'resources[0].providers[0].kms: Forbidden: key management services are not supported here: use aesgcm, aescbc, secretbox or identity',
  ],
  [
    `[${keyed('secretbox', ['a', key(1, 16)])}]`,
    'resources[0].providers[0].secretbox.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 16, expected one of [32]',
  ],
  [
    '[{aesgcm: {keys: [{name: a, secret: "?"}]}}]',
    'resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
  ],
  ['[{aesgcm: {}}]', 'resources[0].providers[0].aesgcm.keys: Required value: at least one key is needed'],
  ['[{rot13: {}}]', 'unknown field "resources[0].providers[0].rot13"'],
])('providers %s are refused', (providers, message) => {
  expect(() => config(providers)).toThrow(new ConfigError(message))
})
