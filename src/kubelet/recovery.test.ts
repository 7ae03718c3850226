// What breaks under a pod, told in the order that hurts: each is mended once, without waiting for what was not its fault.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pods } from '../api/core/pod.ts'
import { BackOff } from './back-off.ts'
import { manualClock } from '../client/testing/manual-clock.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

let node: TestNode
beforeEach(async () => {
  node = await testNode()
})
afterEach(() => node.stop())

const restartsOf = async (name: string) => (await node.pod(name)).status.containerStatuses?.[0]?.restartCount
const created = () => node.runtime.calls.filter((call) => call === 'create c').length
/** The runtime loses the sandbox, and has not told of it yet. */
function loseSandbox(): void {
  for (const [id, sandbox] of node.runtime.sandboxes) node.runtime.sandboxes.set(id, { ...sandbox, ready: false })
}

describe('a pod whose sandbox dies', () => {
  it('runs at once in a new one, also when the end of its container is told first', async () => {
    await node.create('p', {})
    await node.advance()
    loseSandbox()
    node.runtime.end('c', 137)
    await node.advance()
    expect(node.runtime.running()).toEqual(['c'])
    expect(await restartsOf('p')).toBe(1)
    expect(created()).toBe(2)
    expect(node.runtime.calls.filter((call) => call === 'sandbox')).toHaveLength(2)
  })
  it('does not wait for what the old one refused', async () => {
    await node.create('p', {})
    await node.advance()
    const create = node.runtime.createContainer.bind(node.runtime)
    node.runtime.createContainer = () => Promise.reject(new Error('no running task found'))
    node.runtime.end('c', 137)
    await node.advance()
    expect((await node.pod('p')).status.containerStatuses?.[0]?.state?.waiting?.reason).toBe('CreateContainerError')
    node.runtime.createContainer = create
    node.runtime.killSandbox()
    await node.advance()
    await node.advance(1_100)
    expect(node.runtime.running()).toEqual(['c'])
    node.runtime.end('c', 1)
    await node.advance(9_900)
    expect(node.runtime.running()).toEqual([])
    await node.advance(200)
    expect(node.runtime.running()).toEqual(['c'])
  })
})

it('a container of which only its start is known is found by listing, not started again', async () => {
  const containerStatus = node.runtime.containerStatus.bind(node.runtime)
  node.runtime.containerStatus = () => Promise.reject(new Error('the runtime went away'))
  await node.create('p', {})
  await node.advance()
  node.runtime.containerStatus = containerStatus
  await node.advance(2_000)
  expect(node.runtime.running()).toEqual(['c'])
  expect((await node.pod('p')).status.phase).toBe('Running')
  expect(created()).toBe(1)
})

describe('a wall clock that is set back', () => {
  it('does not make an old run the newest', async () => {
    await node.create('p', {})
    await node.advance()
    node.clock.shift(-3_600_000)
    node.runtime.end('c', 1)
    await node.advance()
    expect(node.runtime.running()).toEqual(['c'])
    node.runtime.end('c', 1)
    await node.advance(11_000)
    expect(node.runtime.running()).toEqual(['c'])
    expect(await restartsOf('p')).toBe(2)
    await node.restart()
    expect(node.runtime.running()).toEqual(['c'])
    expect(created()).toBe(3)
  })
  it('does not make a back-off longer', async () => {
    const clock = manualClock()
    const backOff = new BackOff(clock, 10_000, 300_000)
    backOff.restart('k', { id: 'first', atMs: clock.now() })
    await clock.advance(60_000)
    const failure = { id: 'second', atMs: clock.now() }
    clock.shift(-3_600_000)
    expect(backOff.remainingMs('k', failure)).toBe(10_000)
    await clock.advance(4_000)
    expect(backOff.remainingMs('k', failure)).toBe(6_000)
    await clock.advance(6_000)
    expect(backOff.remainingMs('k', failure)).toBe(0)
  })
})
describe('a back-off', () => {
  it('counts a failure once, however often its restart is tried', () => {
    const clock = manualClock()
    const backOff = new BackOff(clock, 10_000, 300_000)
    const atMs = clock.now()
    backOff.restart('k', { id: 'first', atMs })
    backOff.restart('k', { id: 'first', atMs })
    expect(backOff.remainingMs('k', { id: 'first', atMs })).toBe(0)
    // On a virtual clock the next run may fail within the same millisecond.
    expect(backOff.remainingMs('k', { id: 'second', atMs })).toBe(10_000)
  })
})

describe('an exit that the runtime does not show yet', () => {
  const terminated = async () => (await node.pod('p')).status.containerStatuses?.[0]?.state?.terminated
  it('is told at once, and the log is read when it is whole', async () => {
    const beside = { name: 'd', image: 'img:1' }
    await node.create('p', { restartPolicy: 'Never', containers: [{ name: 'c', image: 'img:1' }, beside] })
    await node.advance()
    node.runtime.exit('c', 3)
    await node.advance()
    expect(await terminated()).toMatchObject({ exitCode: 3, reason: 'Error' })
    let said = ''
    const target = { namespace: 'default', pod: 'p', container: 'c' }
    const reading = (async () => {
      const log = await node.kubelet.api.containerLogs(target, {}, new AbortController().signal)
      for await (const chunk of log) said += new TextDecoder().decode(chunk)
    })()
    await node.advance()
    const path = [...node.runtime.containers.values()].find((c) => c.metadata.name === 'c')?.logPath ?? ''
    expect(said).toBe('')
    node.disk.put(path, '2024-01-01T00:00:00Z stdout F last words\n')
    node.runtime.end('c', 3)
    await node.advance()
    await reading
    expect(said).toBe('last words\n')
  })
  it('restarts the container', async () => {
    await node.create('p', {})
    await node.advance()
    node.runtime.exit('c', 0)
    await node.advance()
    expect(created()).toBe(2)
  })
  it('waits where the last words are in the log', async () => {
    const container = { name: 'c', image: 'img:1', terminationMessagePolicy: 'FallbackToLogsOnError' }
    await node.create('p', { restartPolicy: 'Never', containers: [container] })
    await node.advance()
    node.runtime.exit('c', 3)
    await node.advance()
    expect(await terminated()).toBeUndefined()
    node.runtime.end('c', 3)
    await node.advance()
    expect(await terminated()).toMatchObject({ exitCode: 3 })
  })
})

it('a container that cannot be started and is not to run again has failed', async () => {
  node.runtime.startContainer = (id) => {
    const known = node.runtime.containers.get(id)
    if (known !== undefined)
      node.runtime.containers.set(id, { ...known, state: 'exited', exitCode: 128, reason: 'StartError' })
    return Promise.reject(new Error('no such file or directory'))
  }
  await node.create('p', { restartPolicy: 'Never' })
  await node.advance()
  await node.advance(1_000)
  const { phase, containerStatuses } = (await node.pod('p')).status
  expect(containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 128, reason: 'StartError' })
  expect(phase).toBe('Failed')
})

it('a pod whose deletion the API does not hear of leaves no group behind', async () => {
  await node.create('p', {})
  await node.advance()
  const { uid } = (await node.pod('p')).metadata
  await node.client.resource(pods).delete('p', 'default', { gracePeriodSeconds: 1 })
  const resource = node.client.resource.bind(node.client)
  let refused = 0
  Object.assign(node.client, {
    resource: (kind: never) => ({
      ...resource(kind),
      delete: () =>
        refused++ === 0
          ? Promise.reject(new Error('connection refused'))
          : resource(pods).delete('p', 'default', { gracePeriodSeconds: 0 }),
    }),
  })
  await node.advance(2_000)
  expect(refused).toBeGreaterThan(1)
  expect(await node.client.resource(pods).find('p', 'default')).toBeUndefined()
  expect([...node.host.paths].filter((path) => path.includes(uid))).toEqual([])
})

it('a sandbox that cannot be made is tried later and later, whatever its remains do in the runtime', async () => {
  const { runtime } = node
  const run = runtime.runPodSandbox.bind(runtime)
  runtime.runPodSandbox = async (...wanted) => {
    const id = await run(...wanted)
    // Another one is seen before the failed one is cleared away.
    node.clock.after(100, () => void runtime.removePodSandbox(id))
    throw new Error('the network plugin failed')
  }
  await node.create('p', {})
  for (let second = 0; second < 60; second++) await node.advance(1000)
  const tries = runtime.calls.filter((call) => call === 'sandbox').length
  expect(tries).toBeGreaterThan(6)
  expect(tries).toBeLessThan(12)
  runtime.runPodSandbox = run
  await node.advance(10_000)
  expect((await node.pod('p')).status.phase).toBe('Running')
})

describe('a deletion', () => {
  const held = () => {
    let release = (_failure?: Error) => {}
    const { runtime } = node
    const stop = runtime.stopPodSandbox.bind(runtime)
    runtime.stopPodSandbox = (id) => {
      runtime.stopPodSandbox = stop
      return new Promise<void>((done, failed) => {
        release = (failure) => (failure === undefined ? done(stop(id)) : failed(failure))
      })
    }
    return (failure?: Error) => release(failure)
  }
  const find = () => node.client.resource(pods).find('p', 'default')
  it('waits for the last process of the pod, and not for its network', async () => {
    await node.create('p', {})
    await node.advance()
    const release = held()
    await node.client.resource(pods).delete('p', 'default')
    await node.advance(1_000)
    expect(await find()).toBeDefined()
    node.runtime.exitSandbox()
    await node.advance()
    expect(await find()).toBeUndefined()
    expect(node.runtime.calls).not.toContain('remove sandbox')
    release()
    await node.advance()
    expect([node.runtime.sandboxes.size, node.host.paths.size]).toEqual([0, 3])
  })
  it('keeps its host ports from the next pod until its network is down', async () => {
    const withPort = (hostPort: number) => ({
      containers: [{ name: 'c', image: 'img:1', ports: [{ containerPort: 80, hostPort }] }],
    })
    await node.create('p', withPort(8080))
    await node.advance()
    const release = held()
    await node.client.resource(pods).delete('p', 'default')
    await node.advance()
    node.runtime.exitSandbox()
    await node.advance()
    expect(await find()).toBeUndefined()
    await node.create('same', withPort(8080))
    await node.create('other', withPort(8081))
    await node.advance(1_000)
    const phases = async () => Promise.all(['same', 'other'].map(async (name) => (await node.pod(name)).status.phase))
    expect(await phases()).toEqual(['Pending', 'Running'])
    release()
    await node.advance()
    expect(await phases()).toEqual(['Running', 'Running'])
  })
  it('does not keep a pod that is itself deleted meanwhile waiting', async () => {
    const spec = { containers: [{ name: 'c', image: 'img:1', ports: [{ containerPort: 80, hostPort: 8080 }] }] }
    await node.create('p', spec)
    await node.advance()
    held()
    await node.client.resource(pods).delete('p', 'default')
    await node.advance()
    node.runtime.exitSandbox()
    await node.create('next', spec)
    await node.advance(1_000)
    await node.client.resource(pods).delete('next', 'default')
    await node.advance(1_000)
    expect(await node.client.resource(pods).find('next', 'default')).toBeUndefined()
  })
  it('takes a network down again where that failed', async () => {
    await node.create('p', {})
    await node.advance()
    const release = held()
    await node.client.resource(pods).delete('p', 'default')
    await node.advance()
    node.runtime.exitSandbox()
    await node.advance()
    release(new Error('the network plugin failed'))
    await node.advance(2_000)
    expect(node.runtime.calls.filter((call) => call === 'stop sandbox').length).toBe(1)
    expect(await find()).toBeUndefined()
    expect(node.runtime.sandboxes.size).toBe(0)
  })
})
