import { afterEach, describe, expect, it } from 'vitest'
import { pods } from '../api/core/pod.ts'
import { type ResourceClaim, resourceClaims, type ResourceSlice, resourceSlices } from '../api/resource/resource.ts'
import type { Input } from '../client/client.ts'
import { deviceTaintEvictionController, planDeviceEviction } from './device-taint-eviction.ts'
import { resourceClaimController } from './resource-claim.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

const driver = 'gpu.example.com'
type Taints = NonNullable<NonNullable<ResourceSlice['spec']['devices']>[number]['taints']>
const addedAt = '2026-01-01T00:00:00Z'
const addedMs = Date.parse(addedAt)
const noExecute = (key: string, value?: string) => ({ key, value, effect: 'NoExecute', timeAdded: addedAt })

describe('when a pod has to leave its devices', () => {
  const results = (tolerations: unknown, ...devices: readonly string[]) =>
    devices.map((device) => ({ request: 'r', driver, pool: 'p', device, tolerations }))
  const claim = (tolerations: unknown, ...devices: readonly string[]) =>
    ({ status: { allocation: { devices: { results: results(tolerations, ...devices) } } } }) as unknown as ResourceClaim
  const exists = (more: object = {}) => ({ operator: 'Exists', ...more })
  const sick = { sick: [noExecute('hot', 'yes')] }
  it.each<[string, readonly ResourceClaim[], Record<string, Taints>, number | 'never']>([
    ['no taint', [claim(undefined, 'well')], {}, 'never'],
    ['a taint of a device of somebody else', [claim(undefined, 'well')], sick, 'never'],
    ['not tolerated', [claim(undefined, 'sick')], sick, 0],
    ['one of several devices', [claim(undefined, 'well', 'sick')], sick, 0],
    ['one of several claims', [claim(undefined, 'well'), claim(undefined, 'sick')], sick, 0],
    ['tolerated for ever', [claim([exists()], 'sick')], sick, 'never'],
    ['another value is tolerated', [claim([{ key: 'hot', operator: 'Equal', value: 'no' }], 'sick')], sick, 0],
    ['another effect is tolerated', [claim([exists({ effect: 'NoSchedule' })], 'sick')], sick, 0],
    ['tolerated for a while', [claim([exists({ tolerationSeconds: 30 })], 'sick')], sick, addedMs + 30_000],
    ['tolerated for no time', [claim([exists({ tolerationSeconds: -5 })], 'sick')], sick, addedMs],
    [
      'the shortest of two that fit',
      [claim([exists({ tolerationSeconds: 60 }), exists({ key: 'hot', tolerationSeconds: 5 })], 'sick')],
      sick,
      addedMs + 5000,
    ],
    [
      'each taint must be tolerated',
      [claim([exists({ key: 'hot' })], 'x')],
      { x: [...sick.sick, noExecute('old')] },
      0,
    ],
  ])('%s', (_name, claims, taints, wanted) => {
    expect(planDeviceEviction(claims, (_driver, _pool, device) => taints[device] ?? [])).toBe(wanted)
  })
})

describe('on a cluster', () => {
  let cluster: TestCluster | undefined
  afterEach(async () => {
    await cluster?.stop()
    cluster = undefined
  })
  /** A pod with a claim that has the device, and the slice that offers it; `taint` changes the device's taints. */
  async function start(tolerations?: unknown, { bound = true } = {}) {
    cluster = await testCluster([deviceTaintEvictionController, resourceClaimController], bound ? { nodes: 1 } : {})
    const { client, advance, all } = cluster
    const spec = { driver, nodeName: 'n1', pool: { name: 'p', generation: 1, resourceSliceCount: 1 } }
    await client.resource(resourceSlices).create({
      metadata: { name: 's' },
      spec: { ...spec, devices: [{ name: 'd' }, { name: 'other' }] },
    } as Input<ResourceSlice>)
    const made = await client.resource(resourceClaims).create({
      metadata: { name: 'c', namespace: 'default' },
      spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu', tolerations } }] } },
    } as Input<ResourceClaim>)
    const pod = await client.resource(pods).create({
      metadata: { name: 'a', namespace: 'default' },
      spec: {
        containers: [{ name: 'c', image: 'i' }],
        resourceClaims: [{ name: 'c', resourceClaimName: 'c' }],
      } as never,
    })
    const results = [{ request: 'r', driver, pool: 'p', device: 'd', ...(tolerations ? { tolerations } : {}) }]
    await client.resource(resourceClaims).updateStatus({
      ...made,
      status: {
        allocation: { devices: { results } },
        reservedFor: [{ resource: 'pods', name: 'a', uid: pod.metadata.uid }],
      },
    } as unknown as ResourceClaim)
    await advance(1000)
    const taint = async (device: string, ...taints: readonly object[]) => {
      const slice = await client.resource(resourceSlices).get('s')
      const devices = slice.spec.devices?.map((one) =>
        one.name === device ? { ...one, taints: taints as never } : one,
      )
      return client.resource(resourceSlices).update({ ...slice, spec: { ...slice.spec, devices } })
    }
    const alive = async () => (await all(pods)).map(({ metadata }) => metadata.name)
    return { ...cluster, taint, alive }
  }
  const untimed = (key: string) => ({ key, effect: 'NoExecute' })

  it('a pod that does not tolerate the taint of its device is told so and deleted', async () => {
    const { client, taint, alive, advance, eventsOf } = await start()
    await client.resource(pods).patch('a', 'default', 'merge', { metadata: { finalizers: ['example.com/look'] } })
    await taint('other', untimed('hot'))
    await taint('d', { key: 'hot', effect: 'NoSchedule' }, { key: 'seen', effect: 'None' })
    await advance(60_000)
    expect((await client.resource(pods).get('a', 'default')).metadata.deletionTimestamp).toBeUndefined()
    await taint('d', untimed('hot'))
    await advance(1000)
    const { metadata, status } = await client.resource(pods).get('a', 'default')
    expect(metadata.deletionTimestamp).toBeDefined()
    expect(status.conditions?.find(({ type }) => type === 'DisruptionTarget')).toMatchObject({
      status: 'True',
      reason: 'DeletionByDeviceTaintManager',
      message: 'Device Taint manager: deleting due to NoExecute taint',
    })
    expect(await eventsOf('a')).toContain('DeviceTaintManagerEviction: Marking for deletion')
    await client.resource(pods).patch('a', 'default', 'merge', { metadata: { finalizers: null } })
    await advance(5000)
    expect(await alive()).toEqual([])
    // and the device is free
    expect((await client.resource(resourceClaims).get('c', 'default')).status).toEqual({})
  })
  it('tolerationSeconds count from when the taint was added; a taint that goes in time spares the pod', async () => {
    const { taint, alive, advance, eventsOf, clock } = await start([{ operator: 'Exists', tolerationSeconds: 60 }])
    const slice = await taint('d', untimed('hot'))
    expect(Date.parse(slice.spec.devices?.[0]?.taints?.[0]?.timeAdded ?? '')).toBe(
      Math.floor(clock.now() / 1000) * 1000,
    )
    await advance(50_000)
    expect(await alive()).toEqual(['a'])
    await taint('d')
    await advance(30_000)
    expect(await alive()).toEqual(['a'])
    expect(await eventsOf('a')).toContain('DeviceTaintManagerEviction: Cancelling deletion')
    await taint('d', untimed('hot'))
    await advance(50_000)
    expect(await alive()).toEqual(['a'])
    await advance(15_000)
    expect(await alive()).toEqual([])
  })
  it('a newer generation of the pool that has the device well again spares the pod', async () => {
    const { client, taint, alive, advance } = await start([{ operator: 'Exists', tolerationSeconds: 60 }])
    await taint('d', untimed('hot'))
    await advance(1000)
    await client.resource(resourceSlices).create({
      metadata: { name: 's2' },
      spec: {
        driver,
        nodeName: 'n1',
        pool: { name: 'p', generation: 2, resourceSliceCount: 1 },
        devices: [{ name: 'd' }],
      },
    } as Input<ResourceSlice>)
    await advance(120_000)
    expect(await alive()).toEqual(['a'])
  })
  it('a pod that has no node yet is left to the scheduler', async () => {
    const { taint, alive, advance } = await start(undefined, { bound: false })
    await taint('d', untimed('hot'))
    await advance(60_000)
    expect(await alive()).toEqual(['a'])
  })
})
