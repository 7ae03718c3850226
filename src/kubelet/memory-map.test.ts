import { describe, expect, it } from 'vitest'
import { chooseNodes, emptyNodeMap, memoryHints, type MemoryBlock, withBlocks } from './memory-map.ts'

const Gi = 2 ** 30
const block = (size: number, ...numaAffinity: number[]): MemoryBlock => ({ numaAffinity, type: 'memory', size })
const wanted = (memory: number, pages = 0) =>
  new Map([['memory', memory * Gi] as const, ...(pages === 0 ? [] : [['hugepages-1Gi', pages * Gi] as const])])
/** Two nodes of 10 GiB, of which 1 is reserved on the first and 2 are huge pages on the second. */
const machine = emptyNodeMap(
  [
    { id: 0, memoryBytes: 10 * Gi, hugepages: [{ pageSize: '1GB', bytes: 0 }] },
    { id: 1, memoryBytes: 10 * Gi, hugepages: [{ pageSize: '1GB', bytes: 2 * Gi }] },
  ],
  [{ numaNode: 0, limits: { memory: Gi } }],
)
const free = (map: typeof machine) => [...map.values()].map((s) => (s.memoryMap['memory']?.free ?? 0) / Gi)

it('leaves out what is reserved and what huge pages take', () => {
  expect(machine.get(0)?.memoryMap['memory']).toEqual({
    total: 10 * Gi,
    systemReserved: Gi,
    allocatable: 9 * Gi,
    reserved: 0,
    free: 9 * Gi,
  })
  expect(machine.get(1)?.memoryMap).toMatchObject({
    memory: { total: 10 * Gi, allocatable: 8 * Gi },
    'hugepages-1Gi': { total: 2 * Gi, free: 2 * Gi },
  })
})
it('counts what a group gives from its first nodes first', () => {
  const map = withBlocks(machine, [block(12 * Gi, 0, 1)])
  expect(free(map)).toEqual([0, 5])
  expect(map.get(1)).toMatchObject({ numberOfAssignments: 1, cells: [0, 1] })
})
describe('nodes for a container', () => {
  it.each([
    ['the first that has enough', [], 4, 0, undefined, 0b01],
    ['the one it is to be near', [], 4, 0, 0b10, 0b10],
    ['the one with its huge pages', [], 4, 1, undefined, 0b10],
    ['both, where none has so much', [], 12, 0, undefined, 0b11],
    ['the other, where the first is full', [block(8 * Gi, 0)], 4, 0, undefined, 0b10],
    ['both, where one it is to be near has not enough', [], 9.5, 0, 0b01, 0b11],
    ['none, where only both together have enough and one gives alone', [block(8 * Gi, 0)], 9, 0, undefined, undefined],
    ['the group again', [block(10 * Gi, 0, 1)], 6, 0, 0b11, 0b11],
    ['no single node of a group', [block(10 * Gi, 0, 1)], 1, 0, 0b10, 0b11],
    ['none, where there is not so much', [], 18, 0, undefined, undefined],
    ['none, where there are not so many pages', [], 1, 3, undefined, undefined],
  ] as const)('%s', (_, given, memory, pages, near, expected) => {
    expect(chooseNodes(withBlocks(machine, given), wanted(memory, pages), near)).toBe(expected)
  })
  it('are preferred where fewer never would do', () => {
    expect(memoryHints(withBlocks(machine, [block(8 * Gi, 0)]), wanted(4))).toEqual([{ nodes: 0b10, preferred: true }])
    expect(memoryHints(machine, wanted(4))).toEqual([
      { nodes: 0b01, preferred: true },
      { nodes: 0b10, preferred: true },
      { nodes: 0b11, preferred: false },
    ])
    expect(memoryHints(machine, wanted(12))).toEqual([{ nodes: 0b11, preferred: true }])
  })
})
