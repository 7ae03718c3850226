import { describe, expect, it } from 'vitest'
import { formatCpus, parseCpus } from './cpu-list.ts'
import { reservedCpus, takeCpus } from './cpus.ts'
import { pods } from '../api/core/pod.ts'
import { testNode } from './testing/test-node.ts'

/** Two sockets of two cores of two threads: threads of core 0 are 0 and 4, of core 1 are 1 and 5, and so on. */
const machine = Array.from({ length: 8 }, (_, cpu) => ({ cpu, core: cpu % 4, socket: (cpu % 4) >> 1, numaNode: 0 }))
const all = machine.map((c) => c.cpu)
const without = (...taken: number[]) => new Set(all.filter((cpu) => !taken.includes(cpu)))

describe('CPUs are taken', () => {
  it.each([
    ['one: a thread', without(), 1, [0]],
    ['two: a core', without(), 2, [0, 4]],
    ['a core although a thread is free before it', without(0), 2, [1, 5]],
    ['four: a socket', without(), 4, [0, 1, 4, 5]],
    ['a whole socket although parts are free before it', without(0), 4, [2, 3, 6, 7]],
    ['a socket and a core', without(), 6, [0, 1, 2, 4, 5, 6]],
    ['the rest of a broken core before a whole one', without(0), 1, [4]],
    ['more than there are', without(1, 2, 3, 4, 5, 6, 7), 2, undefined],
  ] as const)('%s', (_, free, count, expected) => {
    expect(takeCpus(machine, free, count)).toEqual(expected)
  })
  it('from what is not reserved', () => {
    const none = { systemReserved: {}, kubeReserved: {}, reservedSystemCpus: undefined }
    expect(reservedCpus({ ...none, reservedSystemCpus: '0,4' }, machine)).toEqual([0, 4])
    expect(reservedCpus({ ...none, kubeReserved: { cpu: '1500m' } }, machine)).toEqual([0, 4])
    expect(reservedCpus(none, machine)).toEqual([])
  })
})
it('lists of CPUs are read and written', () => {
  expect(formatCpus([5, 0, 1, 2, 7])).toBe('0-2,5,7')
  expect(parseCpus('0-2,5,7')).toEqual([0, 1, 2, 5, 7])
  expect(parseCpus('')).toEqual([])
  expect(() => parseCpus('3-1')).toThrow('"3-1" is not a list of CPUs')
})

describe('under the static policy', () => {
  const resources = (cpu: string) => ({ limits: { cpu, memory: '10Mi' }, requests: { cpu, memory: '10Mi' } })
  const cpusets = (node: Awaited<ReturnType<typeof testNode>>) =>
    Object.fromEntries(
      [...node.runtime.containers.values()].map((c) => [c.metadata.name, c.config.linux.resources.cpusetCpus]),
    )
  it('whole CPUs are a container’s own until it ends, also over a restart; the others share the rest', async () => {
    const topology = [0, 1, 2, 3, 4].map((cpu) => ({ cpu, core: cpu, socket: 0, numaNode: 0 }))
    const config = { cpuManagerPolicy: 'static', kubeReserved: { cpu: '1' } } as const
    const node = await testNode(config, { machine: { cpuCount: 5, topology } })
    await node.create('sharing', { containers: [{ name: 'sharing', image: 'img:1' }] })
    await node.advance(100)
    await node.create('own', { containers: [{ name: 'own', image: 'img:1', resources: resources('2') }] })
    await node.create('odd', { containers: [{ name: 'odd', image: 'img:1', resources: resources('500m') }] })
    await node.advance(100)
    expect(cpusets(node)).toEqual({ sharing: '0-4', own: '1-2', odd: '0,3-4' })
    expect(node.runtime.calls).toContain('update sharing')
    await node.restart()
    await node.create('greedy', { containers: [{ name: 'greedy', image: 'img:1', resources: resources('1') }] })
    await node.advance(100)
    expect(cpusets(node)['greedy']).toBe('3')
    await node.create('late', { containers: [{ name: 'late', image: 'img:1', resources: resources('2') }] })
    await node.advance(100)
    expect((await node.pod('late')).status).toMatchObject({ phase: 'Failed' })
    await node.client.resource(pods).delete('own', 'default')
    await node.advance(100)
    await node.create('next', { containers: [{ name: 'next', image: 'img:1', resources: resources('2') }] })
    await node.advance(100)
    expect(cpusets(node)['next']).toBe('1-2')
    await node.stop()
  })
  it('nothing starts where no CPU is reserved', async () => {
    await expect(testNode({ cpuManagerPolicy: 'static' })).rejects.toThrow('the static CPU policy needs CPUs')
  })
  it('whole cores alone are given where that is asked, and reserved CPUs are shared by nobody', async () => {
    const config = {
      cpuManagerPolicy: 'static',
      reservedSystemCpus: '0,4',
      fullPcpusOnly: true,
      strictCpuReservation: true,
    } as const
    const node = await testNode(config, { machine: { cpuCount: 8, topology: machine } })
    const create = async (name: string, cpu?: string) => {
      const own = cpu === undefined ? {} : { resources: resources(cpu) }
      await node.create(name, { containers: [{ name, image: 'img:1', ...own }] })
      await node.advance(100)
    }
    await create('sharing')
    expect(cpusets(node)['sharing']).toBe('1-3,5-7')
    await create('odd', '1')
    expect((await node.pod('odd')).status).toMatchObject({
      phase: 'Failed',
      reason: 'SMTAlignmentError',
      message: 'Pod was rejected: SMT Alignment Error: requested 1 cpus not multiple cpus per core = 2',
    })
    await create('four', '4')
    expect(cpusets(node)['four']).toBe('2-3,6-7')
    await create('more', '4')
    expect((await node.pod('more')).status).toMatchObject({ reason: 'OutOfcpu' })
    await node.stop()
  })
})
