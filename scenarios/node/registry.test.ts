// Images from a private registry: credentials of pods, service accounts and providers, mirrors, and what users are told.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { events } from '../../src/api/core/event.ts'
import { type Pod, pods } from '../../src/api/core/pod.ts'
import { secrets } from '../../src/api/core/secret.ts'
import { serviceAccounts } from '../../src/api/core/service-account.ts'
import type { Client } from '../../src/client/client.ts'
import { clientOf } from '../cli/client.ts'
import { type TestCluster, testCluster } from '../cli/cox.ts'
import { able } from '../kubectl/binary.ts'
import { hasRegistry, hostsToml, type Registry, startRegistry, user } from './registry.ts'

describe.runIf(able && hasRegistry)('a private registry', () => {
  let registry: Registry
  let cluster: TestCluster
  let client: Client
  beforeAll(async () => {
    registry = await startRegistry()
    for (const name of ['team/app:1', 'team/app:2', 'provided/app:1']) await registry.push(name)
    cluster = testCluster('registry')
    const bin = join(cluster.dataDir, 'bin')
    mkdirSync(bin)
    const answer = {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Registry',
      auth: { [registry.host]: user },
    }
    writeFileSync(join(bin, 'provider'), `#!/bin/sh\ngrep -q provided/app && echo '${JSON.stringify(answer)}'\n`)
    chmodSync(join(bin, 'provider'), 0o755)
    const config = join(cluster.dataDir, 'providers.yaml')
    writeFileSync(
      config,
      `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- {name: provider, matchImages: ["${registry.host}/provided"], defaultCacheDuration: 1m, apiVersion: credentialprovider.kubelet.k8s.io/v1}
`,
    )
    hostsToml(cluster.dataDir, registry.host, registry.host)
    hostsToml(cluster.dataDir, 'mirrored.example', registry.openHost)
    const flags = ['--image-credential-provider-config', config, '--image-credential-provider-bin-dir', bin]
    const { code, stderr } = await cluster.run(['up', '--detach', '--yes', '--listen', '127.0.0.1:0', ...flags])
    if (code !== 0) throw new Error(stderr)
    client = clientOf(cluster.dataDir)
    const auths = { auths: { [registry.host]: user } }
    await client.resource(secrets).create({
      metadata: { name: 'pull', namespace: 'default' },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(JSON.stringify(auths)).toString('base64') },
    } as never)
  })
  afterAll(async () => {
    await cluster?.remove()
    await registry?.stop()
  })

  const run = async (name: string, image: string, more: object = {}, policy = 'Always') => {
    const end = Date.now() + 60_000
    // The service account of a fresh namespace comes a moment after it.
    while ((await client.resource(serviceAccounts).find('default', 'default')) === undefined && Date.now() < end)
      await new Promise((done) => setTimeout(done, 100))
    const containers = [{ name: 'c', image, imagePullPolicy: policy }]
    const spec = { terminationGracePeriodSeconds: 0, containers, ...more }
    await client.resource(pods).create({ metadata: { name, namespace: 'default' }, spec } as never)
  }
  const podIs = (name: string, what: (pod: Pod) => boolean) =>
    expect
      .poll(async () => what(await client.resource(pods).get(name, 'default')), { timeout: 90_000, interval: 100 })
      .toBe(true)
  const running = (name: string) => podIs(name, (p) => p.status.containerStatuses?.[0]?.state?.running !== undefined)
  const waits = (name: string, reason: string) =>
    podIs(name, (p) => p.status.containerStatuses?.[0]?.state?.waiting?.reason === reason)
  const told = async (name: string) =>
    (await client.resource(events).list({ namespace: 'default' })).items
      .filter((event) => event.involvedObject.name === name)
      .map((event) => `${event.reason}: ${event.message}`)

  it('gives nothing to a pod without credentials, and the pod says why', async () => {
    await run('nobody', `${registry.host}/team/app:1`)
    await waits('nobody', 'ImagePullBackOff')
    const said = (await told('nobody')).join('\n')
    expect(said).toContain(`Pulling: Pulling image "${registry.host}/team/app:1"`)
    expect(said).toMatch(/Failed: Failed to pull image ".*": .*(401 Unauthorized|authorization failed)/)
    expect(said).toContain('Failed: Error: ErrImagePull')
    expect(said).toContain(`BackOff: Back-off pulling image "${registry.host}/team/app:1"`)
  })
  it("takes the pod's own secret", async () => {
    await run('own', `${registry.host}/team/app:1`, { imagePullSecrets: [{ name: 'pull' }] })
    await running('own')
    const pulled = (await told('own')).find((line) => line.startsWith('Pulled: '))
    expect(pulled).toMatch(
      /^Pulled: Successfully pulled image ".*" in [\d.ms]+ \([\d.ms]+ including waiting\)\. Image size: \d+ bytes\.$/,
    )
  })
  it('keeps what one pod could pull from those who could not, and gives it to those who could', async () => {
    const image = `${registry.host}/team/app:1`
    await run('guest', image, {}, 'IfNotPresent')
    await run('never', image, {}, 'Never')
    await run('equal', image, { imagePullSecrets: [{ name: 'pull' }] }, 'IfNotPresent')
    await waits('guest', 'ImagePullBackOff')
    await waits('never', 'ErrImageNeverPull')
    await running('equal')
    const present = `Pulled: Container image "${image}" already present on machine and can be accessed by the pod`
    expect(await told('equal')).toContain(present)
  })
  it('takes what a credential provider of the node knows', async () => {
    await run('provided', `${registry.host}/provided/app:1`)
    await running('provided')
  })
  it('is reached through a mirror', async () => {
    await run('mirrored', 'mirrored.example/team/app:1')
    await running('mirrored')
  })
  it("takes the service account's secrets", async () => {
    const secret = { imagePullSecrets: [{ name: 'pull' }] }
    await client.resource(serviceAccounts).patch('default', 'default', 'merge', secret)
    await run('account', `${registry.host}/team/app:2`)
    await running('account')
  })
  it('is asked each time where the policy says Always, and not where the image is there', async () => {
    await registry.stop()
    await run('present', `${registry.host}/team/app:2`, {}, 'IfNotPresent')
    await running('present')
    await run('always', `${registry.host}/team/app:2`)
    await waits('always', 'ErrImagePull')
  })
})
