import { describe, expect, it } from 'vitest'
import { testNode } from './testing/test-node.ts'

describe('groups of the machine', () => {
  const reserved = { systemReserved: { cpu: '500m', memory: '1Gi' }, kubeReserved: { cpu: '1', pid: '100' } }
  const cgroups = { systemReservedCgroup: '/system.slice', kubeReservedCgroup: '/kube.slice' }
  it.each([
    [['pods'], []],
    [
      ['pods', 'system-reserved', 'kube-reserved'],
      [
        ['/system.slice', { cpuShares: 512, memoryBytes: 2 ** 30 }],
        ['/kube.slice', { cpuShares: 1024, pidsMax: 100 }],
      ],
    ],
    [['pods', 'system-reserved-compressible'], [['/system.slice', { cpuShares: 512 }]]],
  ])('are limited to what is reserved: %j', async (enforceNodeAllocatable, expected) => {
    const node = await testNode({ ...reserved, ...cgroups, enforceNodeAllocatable })
    expect([...node.host.limits]).toEqual(expected)
    await node.stop()
  })
  it('must be there', async () => {
    const config = { ...reserved, systemReservedCgroup: '/absent', enforceNodeAllocatable: ['system-reserved'] }
    await expect(testNode(config)).rejects.toThrow(
      'Failed to enforce System Reserved Cgroup Limits on "/absent": cgroup does not exist',
    )
  })
})
