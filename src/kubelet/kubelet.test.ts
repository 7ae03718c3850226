import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { pods } from '../api/core/pod.ts'
import { configMaps } from '../api/core/config-map.ts'
import { staticPods } from './static-pods.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

let node: TestNode
beforeEach(async () => {
  node = await testNode()
})
afterEach(() => node.stop())

const conditionsOf = async (name: string) =>
  Object.fromEntries(((await node.pod(name)).status.conditions ?? []).map((c) => [c.type, c.status]))

describe('a pod', () => {
  it('runs, with the status and the events that users know', async () => {
    await node.create('p', {})
    await node.advance()
    const { status } = await node.pod('p')
    expect(status).toMatchObject({
      phase: 'Running',
      hostIP: '192.168.0.10',
      podIP: '10.1.0.1',
      qosClass: 'BestEffort',
    })
    expect(status.containerStatuses?.[0]).toMatchObject({
      name: 'c',
      ready: true,
      started: true,
      restartCount: 0,
      image: 'img:1',
      containerID: 'fake://c-1',
    })
    expect(await conditionsOf('p')).toEqual({
      PodScheduled: 'True',
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      ContainersReady: 'True',
      Ready: 'True',
    })
    expect(await node.events('p')).toEqual([
      'Pulled: Container image "img:1" already present on machine and can be accessed by the pod',
      'Created: Container created',
      'Started: Container started',
    ])
    expect(node.log.records.filter((r) => r.level === 'error')).toEqual([])
  })
  it('ends gracefully when it is deleted, and leaves nothing behind', async () => {
    await node.create('p', {
      volumes: [{ name: 'v', emptyDir: {} }],
      containers: [{ name: 'c', image: 'img:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
    })
    await node.advance()
    const { uid } = (await node.pod('p')).metadata
    node.runtime.stubborn.add('c')
    await node.client.resource(pods).delete('p', 'default', { gracePeriodSeconds: 7 })
    await node.advance(6900)
    expect((await node.pod('p')).metadata.deletionTimestamp).toBeDefined()
    expect(node.runtime.running()).toEqual(['c'])
    await node.advance(200)
    expect(await node.client.resource(pods).find('p', 'default')).toBeUndefined()
    expect(node.runtime.calls).toContain('stop c 7')
    expect([...node.runtime.containers.keys(), ...node.runtime.sandboxes.keys()]).toEqual([])
    expect(await node.disk.readdir(`/var/lib/kubelet/pods/${uid}`)).toBeUndefined()
    expect([...node.host.paths].filter((path) => path.includes(uid))).toEqual([])
    expect(await node.events('p')).toContain('Killing: Stopping container c')
  })
  it('that was deleted by force makes room at once, though it is still ending', async () => {
    const whole = { requests: { cpu: (await node.client.resource(nodes).get('n1')).status.allocatable?.['cpu'] ?? '' } }
    const containers = [{ name: 'c', image: 'img:1', resources: whole }]
    await node.create('old', { containers })
    await node.advance()
    node.runtime.stubborn.add('c')
    await node.client.resource(pods).delete('old', 'default', { gracePeriodSeconds: 0 })
    await node.create('new', { containers })
    await node.advance()
    expect((await node.pod('new')).status.phase).toBe('Running')
  })
  it('is stopped sooner when a second deletion asks for it', async () => {
    await node.create('p', {})
    await node.advance()
    node.runtime.stubborn.add('c')
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(1000)
    await node.client.resource(pods).delete('p', 'default', { gracePeriodSeconds: 2 })
    await node.advance(2100)
    expect(await node.client.resource(pods).find('p', 'default')).toBeUndefined()
  })
  it('that always crashes waits 10 s, 20 s, 40 s ... 5 min, and starts anew after 10 minutes of peace', async () => {
    const startsMs: number[] = []
    node.runtime.endings.set('c', (run) => {
      startsMs.push(node.clock.now())
      return run === 8 ? { afterMs: 11 * 60_000, exitCode: 1 } : { afterMs: 1000, exitCode: 1 }
    })
    await node.create('p', {})
    await node.advance(1500)
    expect((await node.pod('p')).status.containerStatuses?.[0]).toMatchObject({ restartCount: 1 })
    await node.advance(2000)
    const { uid } = (await node.pod('p')).metadata
    expect((await node.pod('p')).status.containerStatuses?.[0]).toMatchObject({
      ready: false,
      state: {
        waiting: {
          reason: 'CrashLoopBackOff',
          message: `back-off 10s restarting failed container=c pod=p_default(${uid})`,
        },
      },
      lastState: { terminated: { exitCode: 1, reason: 'Error' } },
    })
    await node.advance(45 * 60_000)
    const waits = startsMs.slice(1).map((ms, i) => Math.round((ms - (startsMs[i] ?? 0)) / 1000))
    expect(waits.slice(0, 10)).toEqual([1, 11, 21, 41, 81, 161, 301, 301, 660, 11])
    expect(await node.events('p')).toContain(`BackOff: Back-off restarting failed container c in pod p_default(${uid})`)
  })
  it('succeeds when its work is done, and keeps its termination message', async () => {
    node.runtime.endings.set('c', () => ({ afterMs: 50, exitCode: 0, message: 'bye' }))
    await node.create('p', { restartPolicy: 'Never' })
    await node.advance(100)
    const { status } = await node.pod('p')
    expect(status.phase).toBe('Succeeded')
    expect(status.containerStatuses?.[0]?.state.terminated).toMatchObject({
      exitCode: 0,
      reason: 'Completed',
      message: 'bye',
    })
    expect(status.conditions?.find((c) => c.type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'PodCompleted',
    })
    expect(status.podIP).toBe('10.1.0.1')
  })
  it('runs init containers one after another, then a sidecar, then the rest', async () => {
    node.runtime.endings.set('i', () => ({ afterMs: 10, exitCode: 0 }))
    node.runtime.endings.set('j', (run) => ({ afterMs: 10, exitCode: run === 0 ? 1 : 0 }))
    await node.create('p', {
      initContainers: [
        { name: 'i', image: 'img:1' },
        { name: 'j', image: 'img:1' },
        { name: 's', image: 'img:1', restartPolicy: 'Always' },
      ],
    })
    await node.advance(5)
    expect(await conditionsOf('p')).toMatchObject({ Initialized: 'False', Ready: 'False' })
    expect((await node.pod('p')).status.containerStatuses?.[0]?.state.waiting).toEqual({ reason: 'PodInitializing' })
    await node.advance(100)
    expect(node.runtime.calls.filter((c) => c.startsWith('start'))).toEqual([
      'start i',
      'start j',
      'start j',
      'start s',
      'start c',
    ])
    expect(await conditionsOf('p')).toMatchObject({ Initialized: 'True', Ready: 'True' })
  })
  it('waits for a ConfigMap and goes on the moment it exists', async () => {
    await node.create('p', {
      volumes: [{ name: 'v', configMap: { name: 'cm' } }],
      containers: [
        {
          name: 'c',
          image: 'img:1',
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
          env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cm', key: 'a' } } }],
        },
      ],
    })
    await node.advance(10)
    expect((await node.pod('p')).status.containerStatuses?.[0]?.state.waiting?.reason).toBe('ContainerCreating')
    expect(await node.events('p')).toEqual([
      'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "cm" not found',
    ])
    expect(node.runtime.calls).toEqual([])
    const created = await node.client
      .resource(configMaps)
      .create({ metadata: { name: 'cm', namespace: 'default' }, data: { b: '2' } })
    await node.advance()
    expect((await node.pod('p')).status.containerStatuses?.[0]?.state.waiting).toEqual({
      reason: 'CreateContainerConfigError',
      message: "couldn't find key a in ConfigMap default/cm",
    })
    await node.client.resource(configMaps).update({ ...created, data: { a: '1', b: '3' } })
    await node.advance()
    expect((await node.pod('p')).status.phase).toBe('Running')
    const { uid } = (await node.pod('p')).metadata
    expect(node.disk.text(`/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~configmap/v/b`)).toBe('3')
    const container = [...node.runtime.containers.values()][0]
    expect(container?.config.env).toContainEqual({ key: 'A', value: '1' })
  })
  it('tells why an image cannot be had, and backs off', async () => {
    node.runtime.unpullable.set('gone:1', 'rpc error: not found')
    await node.create('p', { containers: [{ name: 'c', image: 'gone:1' }] })
    await node.advance(10)
    const waiting = async () => (await node.pod('p')).status.containerStatuses?.[0]?.state.waiting
    expect(await waiting()).toEqual({ reason: 'ErrImagePull', message: 'rpc error: not found' })
    await node.advance(2000)
    expect(await waiting()).toEqual({
      reason: 'ImagePullBackOff',
      message: 'Back-off pulling image "gone:1": ErrImagePull: rpc error: not found',
    })
    expect(await node.events('p')).toEqual([
      'Pulling: Pulling image "gone:1"',
      'Failed: Failed to pull image "gone:1": rpc error: not found',
      'Failed: Error: ErrImagePull',
      'BackOff: Back-off pulling image "gone:1"',
      'Failed: Error: ImagePullBackOff',
    ])
    node.runtime.unpullable.clear()
    await node.advance(10_000)
    expect((await node.pod('p')).status.phase).toBe('Running')
  })
  it('fails past its deadline', async () => {
    await node.create('p', { activeDeadlineSeconds: 5 })
    await node.advance(6000)
    expect((await node.pod('p')).status).toMatchObject({
      phase: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    })
  })
  it('is made ready and restarted by its probes', async () => {
    node.prober.http = { ok: true, status: 503, location: undefined, body: '' }
    await node.create('p', {
      containers: [
        {
          name: 'c',
          image: 'img:1',
          ports: [{ name: 'web', containerPort: 80 }],
          readinessProbe: { httpGet: { path: '/ready', port: 'web' }, periodSeconds: 5 },
          livenessProbe: { exec: { command: ['alive'] }, periodSeconds: 5, failureThreshold: 2 },
        },
      ],
    })
    await node.advance(3000)
    expect(await conditionsOf('p')).toMatchObject({ Ready: 'False', ContainersReady: 'False' })
    expect(await node.events('p')).toContain(
      'Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503',
    )
    node.prober.http = { ok: true, status: 200, location: undefined, body: '' }
    await node.advance(5000)
    expect(await conditionsOf('p')).toMatchObject({ Ready: 'True' })
    node.runtime.execs.set('alive', () => ({ exitCode: 1, output: 'dead' }))
    await node.advance(11_000)
    expect((await node.pod('p')).status.containerStatuses?.[0]?.restartCount).toBe(1)
    expect(await node.events('p')).toContain('Unhealthy: Liveness probe failed: dead')
    expect(await node.events('p')).toContain('Killing: Container c failed liveness probe, will be restarted')
  })
  it('runs its hooks', async () => {
    await node.create('p', {
      containers: [
        {
          name: 'c',
          image: 'img:1',
          lifecycle: { postStart: { exec: { command: ['hello'] } }, preStop: { sleep: { seconds: 3 } } },
        },
      ],
    })
    await node.advance(10)
    expect(node.runtime.calls).toContain('exec c hello')
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(2900)
    expect(node.runtime.running()).toEqual(['c'])
    await node.advance(200)
    expect(node.runtime.calls).toContain('stop c 27')
    expect(await node.client.resource(pods).find('p', 'default')).toBeUndefined()
  })
  it('gets a new sandbox when the old one dies, and runs on', async () => {
    node.runtime.endings.set('i', () => ({ afterMs: 10, exitCode: 0 }))
    await node.create('p', { initContainers: [{ name: 'i', image: 'img:1' }] })
    await node.advance(100)
    const before = (await node.pod('p')).status.podIP
    node.runtime.killSandbox()
    await node.advance(500)
    const { status } = await node.pod('p')
    expect(status.podIP).not.toBe(before)
    expect(status.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 1 })
    expect(status.initContainerStatuses?.[0]).toMatchObject({ restartCount: 1 })
    expect(await node.events('p')).toContain('SandboxChanged: Pod sandbox changed, it will be killed and re-created.')
  })
})

it('lets the traffic of a pod with bandwidth annotations go no faster from the start, and of no other', async () => {
  const shaped = { annotations: { 'kubernetes.io/egress-bandwidth': '10M' } }
  await node.create('plain', {})
  await node.create('of-host', { hostNetwork: true }, shaped)
  await node.advance()
  expect(node.host.limited).toEqual([])
  await node.create('shaped', {}, shaped)
  await node.advance()
  expect(node.host.limited).toEqual([4711])
  node.host.limitBursts = () => Promise.reject(new Error('tc is not installed'))
  await node.create('unlimited', {}, shaped)
  await node.advance()
  expect((await node.pod('unlimited')).status.phase).toBe('Running')
})

describe('an in-place resize', () => {
  const container = { name: 'c', image: 'img:1', resources: { requests: { cpu: '100m' }, limits: { cpu: '200m' } } }
  const resize = (cpu: string) =>
    node.client
      .resource(pods)
      .patch(
        'p',
        'default',
        'strategic',
        { spec: { containers: [{ name: 'c', resources: { requests: { cpu }, limits: { cpu: '4' } } }] } },
        { subresource: 'resize' },
      )
  const resizeConditions = async () =>
    ((await node.pod('p')).status.conditions ?? []).filter((c) => c.type.startsWith('PodResize'))

  it('changes what runs, without a restart', async () => {
    await node.create('p', { containers: [container] })
    await node.advance()
    await resize('150m')
    await node.advance()
    expect(node.runtime.calls.filter((c) => c.startsWith('update'))).toEqual(['update c'])
    const { status, metadata } = await node.pod('p')
    expect(status.observedGeneration).toBe(metadata.generation)
    expect(status.containerStatuses?.[0]).toMatchObject({
      restartCount: 0,
      allocatedResources: { cpu: '150m' },
      resources: { requests: { cpu: '150m' }, limits: { cpu: '4' } },
    })
    expect(await resizeConditions()).toEqual([])
    expect((await node.events('p')).map((e) => e.split(':')[0])).toEqual([
      'Pulled',
      'Created',
      'Started',
      'ResizeStarted',
      'ResizeCompleted',
    ])
  })
  it('restarts a container that asks for it', async () => {
    await node.create('p', {
      containers: [{ ...container, resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] }],
    })
    await node.advance()
    await resize('150m')
    await node.advance()
    expect((await node.pod('p')).status.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      ready: true,
      resources: { requests: { cpu: '150m' } },
    })
  })
  it('waits for room, and is never granted more than the node has', async () => {
    await node.create('p', { containers: [container] })
    await node.create('other', { containers: [{ ...container, resources: { requests: { cpu: '1' } } }] })
    await node.advance()
    await resize('1500m')
    await node.advance()
    expect(await resizeConditions()).toMatchObject([
      {
        type: 'PodResizePending',
        reason: 'Deferred',
        message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
      },
    ])
    expect((await node.pod('p')).status.containerStatuses?.[0]?.allocatedResources).toEqual({ cpu: '100m' })
    await node.restart()
    await node.advance()
    expect(await resizeConditions()).toMatchObject([{ reason: 'Deferred' }])
    await node.client.resource(pods).delete('other', 'default', { gracePeriodSeconds: 1 })
    await node.advance(2000)
    expect(await resizeConditions()).toEqual([])
    expect((await node.pod('p')).status.containerStatuses?.[0]?.allocatedResources).toEqual({ cpu: '1500m' })
    await resize('3')
    await node.advance()
    expect(await resizeConditions()).toMatchObject([{ type: 'PodResizePending', reason: 'Infeasible' }])
  })
})

describe('a restarted kubelet', () => {
  it('takes over what runs and writes nothing', async () => {
    await node.create('p', { containers: [{ name: 'c', image: 'img:1', readinessProbe: { tcpSocket: { port: 80 } } }] })
    await node.advance(1000)
    const before = await node.pod('p')
    expect(before.status.containerStatuses?.[0]?.ready).toBe(true)
    const calls = node.runtime.calls.length
    await node.restart()
    await node.advance(15_000)
    const after = await node.pod('p')
    expect(after.metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    expect(node.runtime.calls.slice(calls)).toEqual([])
  })
  it('ends pods that were deleted meanwhile, by force or gracefully', async () => {
    await node.create('gone', {})
    await node.create('going', {})
    await node.advance(100)
    await node.kubelet.stop()
    await node.client.resource(pods).delete('gone', 'default', { gracePeriodSeconds: 0 })
    await node.client.resource(pods).delete('going', 'default')
    expect(node.runtime.running()).toEqual(['c', 'c'])
    await node.restart()
    await node.advance(1000)
    expect(node.runtime.running()).toEqual([])
    expect((await node.client.resource(pods).list()).items).toEqual([])
    expect([...node.runtime.sandboxes.keys()]).toEqual([])
  })
  it('goes on with a back-off', async () => {
    node.runtime.endings.set('c', () => ({ afterMs: 1000, exitCode: 1 }))
    await node.create('p', {})
    await node.advance(40_000)
    const message = async () => (await node.pod('p')).status.containerStatuses?.[0]?.state.waiting?.message
    expect(await message()).toMatch(/^back-off 40s /)
    await node.restart()
    await node.advance(1000)
    expect(await message()).toMatch(/^back-off 40s /)
  })
  it('starts pods again that were taken off the node', async () => {
    await node.create('p', {})
    await node.advance(100)
    await node.restart({ pods: 'remove' })
    await node.advance(1000)
    expect((await node.pod('p')).status.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 1 })
  })
})

describe('a node that runs short of memory', () => {
  it('says so, throws out the greediest pod, and takes no more of its kind', async () => {
    await node.create('p', {})
    await node.create('modest', {
      containers: [{ name: 'c', image: 'img:1', resources: { requests: { memory: '1Mi' } } }],
    })
    await node.advance(1000)
    node.host.load = { ...node.host.load, memoryAvailableBytes: 50 * 2 ** 20 }
    await node.advance(10_000)
    node.host.load = { ...node.host.load, memoryAvailableBytes: 500 * 2 ** 20 }
    await node.advance(5000)
    const phases = async () =>
      Object.fromEntries((await node.client.resource(pods).list()).items.map((p) => [p.metadata.name, p.status.phase]))
    expect(new Set(Object.values(await phases()))).toEqual(new Set(['Failed', 'Running']))
    const failed = (await node.client.resource(pods).list()).items.find((p) => p.status.phase === 'Failed')
    expect(failed?.status).toMatchObject({ reason: 'Evicted' })
    expect(failed?.status.message).toMatch(
      /^The node was low on resource: memory\. Threshold quantity: 100Mi, available: 50Mi\. /,
    )
    expect(failed?.status.conditions?.find((c) => c.type === 'DisruptionTarget')).toMatchObject({
      status: 'True',
      reason: 'TerminationByKubelet',
    })
    const pressure = async () =>
      (await node.client.resource(nodes).get('n1')).status.conditions?.find((c) => c.type === 'MemoryPressure')?.status
    expect(await pressure()).toBe('True')
    await node.create('late', {})
    await node.advance(1000)
    expect((await node.pod('late')).status).toMatchObject({ phase: 'Failed', reason: 'Evicted' })
    await node.advance(310_000)
    expect(await pressure()).toBe('False')
  })
})

describe('manifests at a URL', () => {
  const origin = { source: 'http', where: 'http://x/', nodeName: 'n1', nowMs: 0 } as const
  const pod = (name: string) =>
    `{kind: Pod, apiVersion: v1, metadata: {name: ${name}}, spec: {containers: [{name: c, image: i}]}}`
  it('may be one pod, several or none', () => {
    const names = (text: string) => staticPods(text, origin).map(({ metadata }) => metadata.name)
    expect(names(pod('a'))).toEqual(['a-n1'])
    expect(names(`{kind: PodList, apiVersion: v1, items: [${pod('a')}, ${pod('b')}]}`)).toEqual(['a-n1', 'b-n1'])
    expect(names('{kind: PodList, apiVersion: v1, items: []}')).toEqual([])
    expect(() => names('{kind: List, apiVersion: v1, items: []}')).toThrow('expected a Pod or a PodList')
    expect(() => names('')).toThrow()
  })
})

describe('a static pod', () => {
  const manifest = (image: string) =>
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: c\n    image: ${image}\n`
  const path = '/etc/manifests/web.yaml'
  beforeEach(async () => {
    await node.stop()
    node = await testNode({ staticPodPath: '/etc/manifests' })
    node.disk.put(path, manifest('img:1'))
    await node.advance()
  })
  it('runs, and shows itself through a mirror', async () => {
    const { metadata, status } = await node.pod('web-n1')
    expect(status).toMatchObject({ phase: 'Running', containerStatuses: [{ ready: true }] })
    expect(metadata.annotations).toMatchObject({ 'kubernetes.io/config.source': 'file' })
    expect(metadata.annotations?.['kubernetes.io/config.mirror']).toBe(
      metadata.annotations?.['kubernetes.io/config.hash'],
    )
  })
  it('is not stopped by deleting the mirror', async () => {
    const before = await node.pod('web-n1')
    await node.client.resource(pods).delete('web-n1', 'default')
    await node.advance(10_000)
    const after = await node.pod('web-n1')
    expect(after.metadata.uid).not.toBe(before.metadata.uid)
    expect(after.status.containerStatuses).toEqual(before.status.containerStatuses)
    expect(node.runtime.calls.filter((c) => c.startsWith('stop'))).toEqual([])
  })
  it('is kept by a restarted kubelet, mirror and all', async () => {
    const before = await node.pod('web-n1')
    await node.restart()
    await node.advance(10_000)
    expect((await node.pod('web-n1')).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    expect(node.runtime.calls.filter((c) => c.startsWith('st'))).toEqual(['start c'])
  })
  it('is replaced when its manifest changes, and goes with it', async () => {
    node.runtime.images.set('img:2', { ...node.runtime.images.get('img:1'), id: 'two', repoTags: ['img:2'] } as never)
    node.disk.put(path, manifest('img:2'))
    await node.advance(3000)
    expect((await node.pod('web-n1')).status.containerStatuses?.[0]?.image).toBe('img:2')
    expect(node.runtime.running()).toEqual(['c'])
    await node.disk.remove(path)
    await node.advance(3000)
    expect(await node.client.resource(pods).find('web-n1', 'default')).toBeUndefined()
    expect(node.runtime.running()).toEqual([])
  })
})

describe('the node', () => {
  it('registers, is Ready, and renews its lease', async () => {
    await node.advance(1000)
    const { metadata, status } = await node.client.resource(nodes).get('n1')
    expect(metadata.labels).toMatchObject({ 'kubernetes.io/hostname': 'n1', 'kubernetes.io/os': 'linux' })
    expect(status.capacity).toMatchObject({ cpu: '2', memory: '8Gi', pods: '110' })
    expect(status.allocatable).toMatchObject({ cpu: '2', memory: '8092Mi' })
    expect(status.conditions?.map((c) => `${c.type} ${c.status} ${c.reason}`)).toEqual([
      'MemoryPressure False KubeletHasSufficientMemory',
      'DiskPressure False KubeletHasNoDiskPressure',
      'PIDPressure False KubeletHasSufficientPID',
      'Ready True KubeletReady',
    ])
    const { resourceVersion } = metadata
    await node.advance(60_000)
    expect((await node.client.resource(nodes).get('n1')).metadata.resourceVersion).toBe(resourceVersion)
    await node.advance(300_000)
    expect((await node.client.resource(nodes).get('n1')).metadata.resourceVersion).not.toBe(resourceVersion)
  })
})

it('tells on the node of what the kernel killed for memory', async () => {
  node.host.killForMemory({ process: 'java', pid: 4711 })
  await node.advance()
  expect(await node.events('n1')).toContain('SystemOOM: System OOM encountered, victim process: java, pid: 4711')
})
