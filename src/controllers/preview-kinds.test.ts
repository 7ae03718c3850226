import { describe, expect, it } from 'vitest'
import { customResourceDefinitions } from '../api/apiextensions/custom-resource-definition.ts'
import { identityLabel, identityOf, identityValue, leaseNamespace } from '../api/coordination/server-identity.ts'
import { leases } from '../api/coordination/lease.ts'
import { configMaps } from '../api/core/config-map.ts'
import { type Kind, defineKind } from '../api/machinery/kind.ts'
import { type KubeObject, kindSchema } from '../api/machinery/meta.ts'
import { clusterTrustBundles, podCertificateRequests } from '../api/preview/certificates.ts'
import { storageVersionMigrations, storageVersions } from '../api/preview/storage-versions.ts'
import { parseRuntimeConfig, previewKinds, servedKinds } from '../api/runtime-config.ts'
import { allControllers } from './all.ts'
import { controllersFor } from './framework/controller.ts'
import { podCertificateRequestCleaner } from './pod-certificate-request-cleaner.ts'
import { storageVersionCollector } from './storage-version-collector.ts'
import { storageVersionMigrator } from './storage-version-migrator.ts'
import { fakeIdentity, testCluster } from './testing/cluster.ts'
import { bundleName, trustBundlePublisher } from './trust-bundle-publisher.ts'

const own = identityOf('192.0.2.1:6443')

describe('controllers of kinds that are served on request', () => {
  it('run where their kind is served, and nowhere else', () => {
    const names = (config: string) =>
      controllersFor(servedKinds(parseRuntimeConfig(config)), allControllers).map(({ name }) => name)
    const usual = names('')
    const more = (config: string) => names(config).filter((name) => !usual.includes(name))
    expect(usual.filter((name) => /storage-?version|podcertificate|trustbundle/.test(name))).toEqual([])
    expect(more('api/beta')).toEqual([
      'storage-version-migrator-controller',
      'podcertificaterequest-cleaner-controller',
      'kube-apiserver-serving-clustertrustbundle-publisher-controller',
    ])
    expect(more('internal.apiserver.k8s.io/v1alpha1')).toEqual(['storageversion-garbage-collector-controller'])
  })
  it('the server has an identity by default, and says how it stores where that is asked', async () => {
    const test = await testCluster([])
    await test.advance(10)
    const lease = await test.client.resource(leases).get(own, leaseNamespace)
    expect(lease.metadata.labels?.[identityLabel]).toBe(identityValue)
    expect(lease.spec).toMatchObject({ leaseDurationSeconds: 3600 })
    await test.advance(601_000)
    const renewed = await test.client.resource(leases).get(own, leaseNamespace)
    expect(renewed.spec.renewTime).not.toBe(lease.spec.renewTime)
    await test.stop()
  })
  it('storage versions of a server that is gone are taken out, and a resource without any goes', async () => {
    const test = await testCluster([storageVersionCollector], { kinds: previewKinds })
    const versions = test.client.resource(storageVersions)
    await test.until('published', async () => (await versions.find('apps.deployments')) !== undefined)
    await test.advance(10)
    const deployments = await versions.get('apps.deployments')
    expect(deployments.status).toMatchObject({
      commonEncodingVersion: 'apps/v1',
      storageVersions: [{ apiServerID: own, encodingVersion: 'apps/v1' }],
      conditions: [{ type: 'AllEncodingVersionsEqual', status: 'True', reason: 'CommonEncodingVersionSet' }],
    })
    expect((await versions.get('core.pods')).status.commonEncodingVersion).toBe('v1')
    const other = { apiServerID: 'apiserver-other', encodingVersion: 'apps/v2', decodableVersions: ['apps/v2'] }
    const labels = { [identityLabel]: identityValue }
    const spec = { holderIdentity: 'x', leaseDurationSeconds: 60, renewTime: '1970-01-01T00:00:00.000000Z' }
    await test.client
      .resource(leases)
      .create({ metadata: { name: 'apiserver-other', namespace: leaseNamespace, labels }, spec })
    const both = [...(deployments.status.storageVersions ?? []), other]
    await versions.updateStatus({ ...deployments, status: { ...deployments.status, storageVersions: both } })
    await versions.create({ metadata: { name: 'gone.things' }, spec: {} } as never)
    const things = await versions.get('gone.things')
    await versions.updateStatus({ ...things, status: { storageVersions: [other] } })
    await test.advance(100)
    expect((await versions.get('apps.deployments')).status.storageVersions).toHaveLength(2)
    await test.advance(601_000)
    expect((await versions.get('apps.deployments')).status.storageVersions).toHaveLength(1)
    expect(await versions.find('gone.things')).toBeUndefined()
    await test.stop()
  })
  it('a pod certificate request lives for a quarter of an hour; the server’s authority is a trust bundle', async () => {
    const test = await testCluster([podCertificateRequestCleaner, trustBundlePublisher], {
      kinds: previewKinds,
      settings: { ca: fakeIdentity.ca },
    })
    const requests = test.client.resource(podCertificateRequests)
    const spec = {
      signerName: 'example.com/s',
      podName: 'p',
      podUID: 'u',
      serviceAccountName: 'default',
      serviceAccountUID: 'u',
      nodeName: 'n',
      nodeUID: 'u',
      stubPKCS10Request: 'AAAA',
    }
    await requests.create({ metadata: { name: 'r', namespace: 'default' }, spec } as never)
    await test.advance(14 * 60_000)
    expect(await requests.find('r', 'default')).toBeDefined()
    await test.advance(2 * 60_000)
    expect(await requests.find('r', 'default')).toBeUndefined()
    const bundles = test.client.resource(clusterTrustBundles)
    const pem = fakeIdentity.ca.certificatePem
    expect((await bundles.get(bundleName(pem))).spec.trustBundle).toBe(pem)
    await test.stop()
  })
})

const crontabs = (version: string): Kind =>
  defineKind<KubeObject>({
    group: 'example.com',
    version,
    kind: 'CronTab',
    plural: 'crontabs',
    singular: 'crontab',
    namespaced: true,
    schema: kindSchema('', {}),
    storagePrefix: '',
  })
describe('storage version migration', () => {
  it('writes every object back in the version of today, and the definition forgets the old one', async () => {
    const test = await testCluster([storageVersionMigrator], { kinds: previewKinds })
    const definitions = test.client.resource(customResourceDefinitions)
    const version = (name: string, storage: boolean) => ({
      name,
      served: true,
      storage,
      schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
    })
    const names = { plural: 'crontabs', singular: 'crontab', kind: 'CronTab' }
    const versions = [version('v1', true), version('v2', false)]
    await definitions.create({
      metadata: { name: 'crontabs.example.com' },
      spec: { group: 'example.com', scope: 'Namespaced', names, versions },
    } as never)
    await test.advance(100)
    const old = test.client.resource(crontabs('v1'))
    await old.create({ metadata: { name: 'a', namespace: 'default' } } as never)
    const definition = await definitions.get('crontabs.example.com')
    const turned = { ...definition.spec, versions: [version('v1', false), version('v2', true)] }
    await definitions.update({ ...definition, spec: turned } as never)
    await test.advance(100)
    expect((await definitions.get('crontabs.example.com')).status.storedVersions).toEqual(['v1', 'v2'])
    const before = await test.client.resource(crontabs('v2')).get('a', 'default')
    const migrations = test.client.resource(storageVersionMigrations)
    const resource = { group: 'example.com', resource: 'crontabs' }
    await migrations.create({ metadata: { name: 'm' }, spec: { resource } } as never)
    await test.advance(1000)
    const { status } = await migrations.get('m')
    expect(status.conditions?.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
      'Running=False',
      'Succeeded=True',
    ])
    expect(Number(status.resourceVersion)).toBeGreaterThan(0)
    const after = await test.client.resource(crontabs('v2')).get('a', 'default')
    expect(after.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion)
    expect((await definitions.get('crontabs.example.com')).status.storedVersions).toEqual(['v2'])
    await test.stop()
  })
  it('does not touch what is stored as it should be, and says what does not exist', async () => {
    const test = await testCluster([storageVersionMigrator], { kinds: previewKinds })
    const kept = await test.client
      .resource(configMaps)
      .create({ metadata: { name: 'c', namespace: 'default' }, data: {} })
    const migrations = test.client.resource(storageVersionMigrations)
    for (const resource of ['configmaps', 'nothings'])
      await migrations.create({ metadata: { name: resource }, spec: { resource: { group: '', resource } } } as never)
    await test.advance(1000)
    const last = async (name: string) => (await migrations.get(name)).status.conditions?.at(-1)
    expect(await last('configmaps')).toMatchObject({ type: 'Succeeded', status: 'True' })
    expect(await last('nothings')).toMatchObject({
      type: 'Failed',
      message: 'resource nothings does not exist or cannot be migrated',
    })
    const now = await test.client.resource(configMaps).get('c', 'default')
    expect(now.metadata.resourceVersion).toBe(kept.metadata.resourceVersion)
    await test.stop()
  })
})
