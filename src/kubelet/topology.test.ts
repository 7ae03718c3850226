import { afterEach, describe, expect, it } from 'vitest'
import { type TestNode, testNode } from './testing/test-node.ts'
import { mergeHints, type TopologyPolicy } from './topology.ts'
import { type Hint, hintsFor, maskOf } from './topology-hints.ts'

const hint = (nodes: number, preferred: boolean): Hint => ({ nodes, preferred })

describe('hintsFor', () => {
  /** Four CPUs on each of two nodes, so many of them free. */
  const hints = (needed: number, free: readonly number[]) => {
    const sum = (of: readonly number[]) => (nodes: number) =>
      of.reduce((total, count, node) => total + ((nodes & (1 << node)) === 0 ? 0 : count), 0)
    return hintsFor(0b11, needed, sum([4, 4]), sum(free))
  }
  it.each([
    [2, [4, 4], [hint(0b01, true), hint(0b10, true), hint(0b11, false)]],
    [3, [2, 4], [hint(0b10, true), hint(0b11, false)]],
    [3, [2, 2], [hint(0b11, false)]],
    [5, [4, 4], [hint(0b11, true)]],
    [5, [2, 2], []],
  ] as const)('%i of %j free', (needed, free, expected) => expect(hints(needed, free)).toEqual(expected))
})

describe('mergeHints', () => {
  const [first, second, both] = [hint(0b01, true), hint(0b10, true), hint(0b11, false)]
  const cases: readonly (readonly [TopologyPolicy, readonly (readonly Hint[])[], number | undefined, boolean])[] = [
    ['none', [[]], undefined, true],
    ['single-numa-node', [], undefined, true],
    // Both can have either node: the first.
    [
      'restricted',
      [
        [first, second, both],
        [first, second, both],
      ],
      0b01,
      true,
    ],
    // Only the second node has both.
    [
      'single-numa-node',
      [
        [first, second, both],
        [second, both],
      ],
      0b10,
      true,
    ],
    // Each has one node for itself, and both of them the other's.
    [
      'best-effort',
      [
        [first, both],
        [second, both],
      ],
      0b01,
      true,
    ],
    [
      'restricted',
      [
        [first, both],
        [second, both],
      ],
      0b01,
      false,
    ],
    [
      'single-numa-node',
      [
        [first, both],
        [second, both],
      ],
      0b11,
      false,
    ],
    // What needs two nodes at least may have them, unless one is wished.
    ['restricted', [[hint(0b11, true)]], 0b11, true],
    ['single-numa-node', [[hint(0b11, true)]], 0b11, false],
    // Nothing is left of it anywhere.
    ['best-effort', [[]], 0b11, true],
    ['restricted', [[]], 0b11, false],
  ]
  it.each(cases)('%s of %j', (policy, hints, nodes, admit) =>
    expect(mergeHints(policy, maskOf([0, 1]), hints)).toEqual({ nodes, admit }),
  )
})

describe('a node with two NUMA nodes of four CPUs', () => {
  let node: TestNode
  afterEach(() => node.stop())
  const topology = Array.from({ length: 8 }, (_, cpu) => ({ cpu, core: cpu, socket: cpu >> 2, numaNode: cpu >> 2 }))
  const start = async (
    topologyManagerPolicy: TopologyPolicy,
    topologyManagerScope: 'container' | 'pod' = 'container',
  ) => {
    const config = {
      cpuManagerPolicy: 'static',
      reservedSystemCpus: '0',
      topologyManagerPolicy,
      topologyManagerScope,
    } as const
    node = await testNode(config, { machine: { cpuCount: 8, topology } })
  }
  const run = async (name: string, ...cpus: readonly number[]) => {
    const containers = cpus.map((cpu, i) => {
      const resources = { limits: { cpu: String(cpu), memory: '1Mi' }, requests: { cpu: String(cpu), memory: '1Mi' } }
      return { name: `${name}${i}`, image: 'img:1', resources }
    })
    await node.create(name, { containers })
    await node.advance()
    const { phase, reason, message } = (await node.pod(name)).status
    const sets = containers.map((c) => {
      const started = [...node.runtime.containers.values()].find((own) => own.metadata.name === c.name)
      return started?.config.linux.resources.cpusetCpus
    })
    return phase === 'Failed' ? { reason, message } : sets
  }
  it('gives each container the node that has enough', async () => {
    await start('single-numa-node')
    expect(await run('a', 3, 2)).toEqual(['1-3', '4-5'])
    expect(await run('b', 2)).toEqual(['6-7'])
  })
  it('refuses what would have to be spread', async () => {
    await start('restricted')
    expect(await run('a', 2)).toEqual(['1-2'])
    expect(await run('b', 2)).toEqual(['4-5'])
    expect(await run('c', 3)).toEqual({
      reason: 'TopologyAffinityError',
      message: 'Pod was rejected: Resources cannot be allocated with Topology locality',
    })
  })
  it('spreads it where that is allowed', async () => {
    await start('best-effort')
    await run('a', 2)
    await run('b', 2)
    expect(await run('c', 3)).toEqual(['3,6-7'])
  })
  it('takes the pod as one where the scope says so', async () => {
    await start('single-numa-node', 'pod')
    expect(await run('a', 1, 1)).toEqual(['1', '2'])
    expect(await run('b', 1, 1)).toEqual(['4', '5'])
    // Each container alone would find its place.
    expect(await run('c', 2, 1)).toMatchObject({ reason: 'TopologyAffinityError' })
  })
})
