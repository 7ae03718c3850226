import { afterEach, describe, expect, it } from 'vitest'
import { pods } from '../api/core/pod.ts'
import type { PodResources } from '../ports/pod-resources.ts'
import { reservedMemoryProblem } from './numa-memory.ts'
import type { KubeletConfig } from './config.ts'
import { type TestNode, testNode } from './testing/test-node.ts'

const Gi = 2 ** 30
const Mi = 2 ** 20
const numaNodes = [0, 1].map((id) => ({ id, memoryBytes: 4 * Gi, hugepages: [] }))
const stateFile = '/var/lib/kubelet/memory_manager_state'

describe('reservedMemory', () => {
  const problem = (reservedMemory: KubeletConfig['reservedMemory']) =>
    reservedMemoryProblem(
      {
        reservedMemory,
        kubeReserved: { memory: '300Mi' },
        systemReserved: { memory: '100Mi' },
        reservedSystemCpus: undefined,
        evictionHard: { 'memory.available': '100Mi' },
      },
      { numaNodes, memoryBytes: 8 * Gi },
    )
  it('is as much as is kept from pods', () => {
    const [first, second] = [
      { numaNode: 0, limits: { memory: 300 * Mi } },
      { numaNode: 1, limits: { memory: 200 * Mi } },
    ]
    expect(problem([first, second])).toBeUndefined()
    expect(problem([first])).toBe(
      `the total amount "${300 * Mi}" of type "memory" is not equal to the value "${500 * Mi}" determined by Node Allocatable feature`,
    )
    expect(problem([first, { ...second, numaNode: 2 }])).toContain('a NUMA node 2 that does not exist on this machine')
    expect(problem([{ ...first, limits: { ...first.limits, 'hugepages-2Mi': Mi } }, second])).toContain('hugepages-2Mi')
  })
})

describe('a node with two NUMA nodes of 4 GiB', () => {
  let node: TestNode
  let resources: PodResources | undefined
  afterEach(() => node.stop())
  const start = async (config: Partial<KubeletConfig> = {}) => {
    const topology = [0, 1, 2, 3].map((cpu) => ({ cpu, core: cpu, socket: cpu >> 1, numaNode: cpu >> 1 }))
    const settings: Partial<KubeletConfig> = {
      memoryManagerPolicy: 'Static',
      reservedMemory: [{ numaNode: 0, limits: { memory: 100 * Mi } }],
      ...config,
    }
    node = await testNode(settings, {
      machine: { cpuCount: 4, topology, numaNodes },
      podResources: {
        serve(_, served) {
          resources = served
          return Promise.resolve({ close: () => Promise.resolve() })
        },
      },
    })
  }
  const guaranteed = (name: string, memory: string, cpu = '100m') => ({
    name,
    image: 'img:1',
    resources: { limits: { cpu, memory }, requests: { cpu, memory } },
  })
  const memsOf = (container: string) =>
    [...node.runtime.containers.values()].filter((c) => c.metadata.name === container).at(-1)?.config.linux.resources
      .cpusetMems
  /** The NUMA nodes of each container, or why the pod was refused. */
  const run = async (name: string, ...containers: readonly ReturnType<typeof guaranteed>[]) => {
    await node.create(name, { containers })
    await node.advance(100)
    const { phase, reason, message } = (await node.pod(name)).status
    return phase === 'Failed' ? `${reason}: ${message}` : containers.map((c) => memsOf(c.name))
  }
  it('gives Guaranteed containers the fewest nodes that have enough, until they end, also over a restart', async () => {
    await start()
    expect(await run('a', guaranteed('a', '3Gi'))).toEqual(['0'])
    expect(await run('b', guaranteed('b', '1Gi'))).toEqual(['1'])
    await node.create('burstable', { containers: [{ name: 'burstable', image: 'img:1' }] })
    await node.advance(100)
    expect(memsOf('burstable')).toBeUndefined()
    const saved = JSON.parse(new TextDecoder().decode(await node.disk.readFile(stateFile)))
    expect(saved).toMatchObject({
      policyName: 'Static',
      machineState: { 0: { numberOfAssignments: 1, memoryMap: { memory: { free: Gi - 100 * Mi } }, cells: [0] } },
      entries: { [(await node.pod('a')).metadata.uid]: { a: [{ numaAffinity: [0], type: 'memory', size: 3 * Gi }] } },
    })
    await node.restart()
    // Both have some left, but together they would be counted in neither.
    expect(await run('c', guaranteed('c', '3500Mi'))).toBe(
      'UnexpectedAdmissionError: Pod was rejected: Allocate failed due to [memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available, which is unexpected',
    )
    await node.client.resource(pods).delete('a', 'default')
    await node.client.resource(pods).delete('b', 'default')
    await node.advance(100)
    expect(await run('d', guaranteed('d', '6Gi'))).toEqual(['0-1'])
  })
  it('frees what pods had that went while no kubelet ran', async () => {
    await start()
    await run('a', guaranteed('a', '3Gi'))
    const { uid } = (await node.pod('a')).metadata
    const text = new TextDecoder().decode(await node.disk.readFile(stateFile)).replaceAll(uid, 'gone')
    await node.disk.replaceFile(stateFile, new TextEncoder().encode(text))
    await node.restart()
    await node.advance(100)
    expect(new TextDecoder().decode(await node.disk.readFile(stateFile))).not.toContain('gone')
  })
  it('lets init containers use what the others will have', async () => {
    await start()
    await node.create('p', {
      initContainers: [guaranteed('small', '1Gi'), guaranteed('large', '3Gi')],
      containers: [guaranteed('app', '2Gi')],
    })
    await node.advance(100)
    const { uid } = (await node.pod('p')).metadata
    const saved = JSON.parse(new TextDecoder().decode(await node.disk.readFile(stateFile)))
    const sizes = Object.fromEntries(
      Object.entries<{ size: number }[]>(saved.entries[uid]).map(([name, [block]]) => [name, (block?.size ?? 0) / Gi]),
    )
    expect(sizes).toEqual({ app: 2, small: 0, large: 1 })
    expect(memsOf('small')).toBe('0')
  })
  it('is near the CPUs where the topology policy asks for it, and tells who has what', async () => {
    await start({
      cpuManagerPolicy: 'static',
      reservedSystemCpus: '0',
      topologyManagerPolicy: 'single-numa-node',
    })
    expect(await run('a', guaranteed('a', '1Gi', '2'))).toEqual(['1'])
    expect(resources?.get('default', 'a')?.containers[0]?.memory).toEqual([
      { type: 'memory', bytes: Gi, numaNodes: [1] },
    ])
    expect(resources?.allocatable().memory).toEqual([
      { type: 'memory', bytes: 4 * Gi - 100 * Mi, numaNodes: [0] },
      { type: 'memory', bytes: 4 * Gi, numaNodes: [1] },
    ])
    expect(await run('b', guaranteed('b1', '3Gi'), guaranteed('b2', '2Gi'))).toEqual(['0', '1'])
    expect(await run('c', guaranteed('c', '1500Mi'))).toContain('TopologyAffinityError')
  })
  it('does not give a running container more or less', async () => {
    await start()
    await run('a', guaranteed('a', '1Gi'))
    const { resources: wish } = guaranteed('a', '2Gi')
    await node.client
      .resource(pods)
      .patch(
        'a',
        'default',
        'strategic',
        { spec: { containers: [{ name: 'a', resources: wish }] } },
        { subresource: 'resize' },
      )
    await node.advance(100)
    expect((await node.pod('a')).status.conditions).toContainEqual(
      expect.objectContaining({
        type: 'PodResizePending',
        reason: 'Infeasible',
        message: 'Resize is infeasible for Guaranteed Pods alongside Memory Manager static policy',
      }),
    )
  })
  it('does not start where the reserved amounts do not fit', async () => {
    await start({ memoryManagerPolicy: 'None' })
    expect(resources?.allocatable().memory).toEqual([])
    await expect(testNode({ memoryManagerPolicy: 'Static' }, { machine: { numaNodes } })).rejects.toThrow(
      'reservedMemory: the total amount "0" of type "memory" is not equal to the value "104857600"',
    )
  })
})
