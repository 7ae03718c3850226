import { describe, expect, it } from 'vitest'
import { collectingLog } from '../client/testing/fixtures.ts'
import { manualClock } from '../client/testing/manual-clock.ts'
import { CredentialProviders, readCredentialProviders } from './credential-providers.ts'
import { memoryDisk } from './testing/memory-disk.ts'

const file = (providers: string) =>
  `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n${providers}`
const one = `- name: vendor
  matchImages: ["*.vendor.example", "registry.example:5000/team"]
  defaultCacheDuration: 10m
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [--fast]
  env: [{name: PROFILE, value: node}]
`

async function providers(answer: (image: string) => unknown) {
  const [clock, disk, log] = [manualClock(), memoryDisk(), collectingLog()]
  disk.put('/etc/providers.yaml', file(one))
  disk.put('/opt/bin/vendor', '')
  const asked: unknown[] = []
  const all = new CredentialProviders({
    configFile: '/etc/providers.yaml',
    binDirectory: '/opt/bin',
    disk,
    clock,
    log,
    programs: {
      run(program, args, { input, env }) {
        asked.push({ program, args, env, input: JSON.parse(input) as unknown })
        return Promise.resolve(JSON.stringify(answer((JSON.parse(input) as { image: string }).image)))
      },
    },
  })
  await all.start()
  return { all, asked, clock, log }
}
const response = (cacheKeyType: string, auth: object, more = {}) => ({
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  kind: 'CredentialProviderResponse',
  cacheKeyType,
  auth,
  ...more,
})
const user = (username: string) => ({ username, password: 'pw' })

describe('credential providers', () => {
  it('are asked for images that match, in their protocol', async () => {
    const { all, asked } = await providers(() =>
      response('Image', {
        '*.vendor.example': user('any'),
        'eu.vendor.example/app': user('app'),
        'other.io': user('no'),
      }),
    )
    expect(await all.for('quay.io/app:1')).toEqual([])
    expect(asked).toEqual([])
    expect((await all.for('eu.vendor.example/app:1')).map((auth) => auth.username)).toEqual(['app', 'any'])
    expect(asked).toEqual([
      {
        program: '/opt/bin/vendor',
        args: ['--fast'],
        env: { PROFILE: 'node' },
        input: {
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
          kind: 'CredentialProviderRequest',
          image: 'eu.vendor.example/app:1',
        },
      },
    ])
  })
  it.each([
    ['Image', ['eu.vendor.example/a', 'eu.vendor.example/a', 'eu.vendor.example/b', 'us.vendor.example/a'], 3],
    ['Registry', ['eu.vendor.example/a', 'eu.vendor.example/b', 'us.vendor.example/a'], 2],
    ['Global', ['eu.vendor.example/a', 'us.vendor.example/b', 'registry.example:5000/team/x'], 1],
  ])('are asked once per %s', async (type, images, times) => {
    const { all, asked } = await providers(() => response(type, { '*.vendor.example': user('u') }))
    for (const image of images) await all.for(image)
    expect(asked).toHaveLength(times)
  })
  it('are asked again when their answer is old', async () => {
    const { all, asked, clock } = await providers(() => response('Image', {}, { cacheDuration: '1m' }))
    await all.for('eu.vendor.example/a')
    await clock.advance(59_000)
    await all.for('eu.vendor.example/a')
    await clock.advance(2_000)
    await all.for('eu.vendor.example/a')
    expect(asked).toHaveLength(2)
  })
  it('that answer nonsense give nothing, and are told of', async () => {
    const { all, log } = await providers(() => ({ kind: 'Pod' }))
    expect(await all.for('eu.vendor.example/a')).toEqual([])
    expect(log.records.at(-1)?.message).toBe('a credential provider failed')
  })
  it.each([
    ['- name: a/b', 'providers[0].name: expected the name of a program'],
    ['- name: a', 'providers[0].matchImages: at least 1 item is required'],
    [
      '- {name: a, matchImages: [x.io], apiVersion: credentialprovider.kubelet.k8s.io/v1}',
      'providers[0].defaultCacheDuration',
    ],
    [
      '- {name: a, matchImages: [x.io], defaultCacheDuration: 1m, apiVersion: v1}',
      'expected credentialprovider.kubelet.k8s.io/v1',
    ],
  ])('are refused: %s', (text, message) => {
    expect(() => readCredentialProviders(file(text))).toThrow(message)
  })
})
