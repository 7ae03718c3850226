import { describe, expect, it } from 'vitest'
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, apiVersions, discoveryOf } from './discovery.ts'
import { defineKind } from './kind.ts'
import { type KubeObject, kindSchema } from './meta.ts'
import { compareVersions } from './served.ts'
import { hex, sha256 } from './sha256.ts'
import { defaultTable, partialObjectList, tableOf } from './table.ts'

const daemonSets = defineKind<KubeObject>({
  group: 'apps',
  version: 'v1',
  kind: 'DaemonSet',
  plural: 'daemonsets',
  singular: 'daemonset',
  shortNames: ['ds'],
  categories: ['all'],
  namespaced: true,
  schema: kindSchema('io.k8s.api.apps.v1.DaemonSet', {}),
  storagePrefix: '/registry/daemonsets',
  subresources: { status: true, scale: { specReplicasPath: [], statusReplicasPath: [] } },
  versions: [
    { group: 'extensions', version: 'v1beta1', schema: kindSchema('x', {}), toStored: () => {}, fromStored: () => {} },
  ],
})
const pods = defineKind<KubeObject>({
  group: '',
  version: 'v1',
  kind: 'Pod',
  plural: 'pods',
  singular: 'pod',
  namespaced: true,
  schema: kindSchema('io.k8s.api.core.v1.Pod', {}),
  storagePrefix: '/registry/pods',
  verbs: ['get', 'create'],
  subresources: { custom: ['eviction', 'log', 'exec'] },
})
const discovery = discoveryOf([daemonSets, pods])

describe('discovery', () => {
  it('lists versions and groups', () => {
    expect(apiVersions(discovery, '1.2.3.4:6443')).toEqual({
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: '1.2.3.4:6443' }],
    })
    expect(apiGroupList(discovery).groups.map((g) => g.preferredVersion.groupVersion)).toEqual([
      'apps/v1',
      'extensions/v1beta1',
    ])
    expect(apiGroup(discovery, 'apps')).toMatchObject({
      kind: 'APIGroup',
      versions: [{ groupVersion: 'apps/v1', version: 'v1' }],
    })
    expect(apiGroup(discovery, 'nope')).toBeUndefined()
  })
  it('lists resources', () => {
    expect(apiResourceList(discovery, { group: 'apps', version: 'v1' })).toEqual({
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: 'apps/v1',
      resources: [
        {
          name: 'daemonsets',
          singularName: 'daemonset',
          namespaced: true,
          kind: 'DaemonSet',
          shortNames: ['ds'],
          categories: ['all'],
          storageVersionHash: 'dd7pWHUlMKQ=',
          verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
        },
        {
          name: 'daemonsets/scale',
          singularName: '',
          namespaced: true,
          group: 'autoscaling',
          version: 'v1',
          kind: 'Scale',
          verbs: ['get', 'patch', 'update'],
        },
        {
          name: 'daemonsets/status',
          singularName: '',
          namespaced: true,
          kind: 'DaemonSet',
          verbs: ['get', 'patch', 'update'],
        },
      ],
    })
    expect(apiResourceList(discovery, { group: '', version: 'v1' })?.resources).toEqual([
      { name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs: ['create', 'get'] },
      {
        name: 'pods/eviction',
        singularName: '',
        namespaced: true,
        kind: 'Eviction',
        group: 'policy',
        version: 'v1',
        verbs: ['create'],
      },
      { name: 'pods/exec', singularName: '', namespaced: true, kind: 'PodExecOptions', verbs: ['create', 'get'] },
      { name: 'pods/log', singularName: '', namespaced: true, kind: 'Pod', verbs: ['get'] },
    ])
    expect(apiResourceList(discovery, { group: 'apps', version: 'v9' })).toBeUndefined()
  })
  it('aggregates', () => {
    const apis = aggregatedDiscovery(discovery, 'apis', 'v2')
    expect(apis.apiVersion).toBe('apidiscovery.k8s.io/v2')
    expect(apis.items.map((item) => item.metadata.name)).toEqual(['apps', 'extensions'])
    expect(apis.items[0]?.versions[0]?.resources[0]).toMatchObject({
      resource: 'daemonsets',
      scope: 'Namespaced',
      responseKind: { group: '', version: '', kind: 'DaemonSet' },
      subresources: [
        { subresource: 'scale', responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
        { subresource: 'status' },
      ],
    })
    expect(aggregatedDiscovery(discovery, 'api', 'v2beta1').items[0]?.metadata).toEqual({})
  })
  it('orders versions', () => {
    expect(['v1alpha1', 'foo', 'v1', 'v2beta1', 'v10', 'v1beta2', 'v2'].sort(compareVersions)).toEqual([
      'v10',
      'v2',
      'v1',
      'v2beta1',
      'v1beta2',
      'v1alpha1',
      'foo',
    ])
  })
})

describe('sha256', () => {
  it.each([
    ['', 'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855'],
    ['abc', 'BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD'],
    ['a'.repeat(1000), '41EDECE42D63E8D9BF515A9BA6932E1C20CBC9F5A5D134645ADB5DB1B9737EA3'],
  ])('of %j', (text, wanted) => expect(hex(sha256(text))).toBe(wanted))
})

describe('table', () => {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', uid: 'u', resourceVersion: '1', creationTimestamp: '1970-01-01T00:00:00Z' },
  } as KubeObject
  it('prints rows with ages, objects as asked', () => {
    const definition = {
      columns: [
        { name: 'Name', type: 'string' as const },
        { name: 'Born', type: 'date' as const, priority: 1 },
      ],
      row: (o: KubeObject) => [o.metadata.name, o.metadata.creationTimestamp],
    }
    expect(tableOf(definition, [object], { resourceVersion: '9' }, { nowMs: 60_000 })).toEqual({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '9' },
      columnDefinitions: [
        { name: 'Name', type: 'string', format: '', description: '', priority: 0 },
        { name: 'Born', type: 'date', format: '', description: '', priority: 1 },
      ],
      rows: [
        {
          cells: ['p', '60s'],
          object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
        },
      ],
    })
    const bare = tableOf(undefined, [object], {}, { nowMs: 60_000, includeObject: 'None', withoutColumns: true })
    expect(bare).toEqual({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: {},
      rows: [{ cells: ['p', '1970-01-01T00:00:00Z'] }],
    })
    expect(tableOf(defaultTable, [object], {}, { nowMs: 0, includeObject: 'Object' }).rows[0]?.object).toBe(object)
    expect(partialObjectList([object], {}).items[0]?.metadata).toBe(object.metadata)
  })
})
