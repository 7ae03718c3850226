import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { imageOf } from './testing/fake-runtime.ts'
import { testNode, type TestNode } from './testing/test-node.ts'

let node: TestNode
afterEach(() => node.stop())

/** What is left of the file systems, by what their path begins with. */
function fill(availablePercent: () => Readonly<Record<string, number>>): void {
  node.disk.fileSystem = (path) => {
    const [, percent = 50] = Object.entries(availablePercent()).find(([prefix]) => path.startsWith(prefix)) ?? []
    const capacityBytes = 2 ** 30
    return Promise.resolve({
      capacityBytes,
      availableBytes: Math.floor((capacityBytes * percent) / 100),
      inodes: 1000,
      inodesFree: 500,
    })
  }
}

describe('a disk that runs full', () => {
  beforeEach(async () => {
    node = await testNode({ imageGcLeastAgeMs: 0 })
    node.runtime.images.set('unused:1', imageOf('unused:1'))
  })
  it('is freed of dead containers and images before a pod has to go', async () => {
    fill(() => ({ '': node.runtime.images.has('unused:1') ? 5 : 50 }))
    await node.create('done', { restartPolicy: 'Never' })
    await node.create('runs', {})
    await node.advance()
    node.runtime.end('c', 0)
    await node.advance()
    const ended = (await node.pod('done')).status
    expect(ended.phase).toBe('Succeeded')
    const logs = [...node.runtime.containers.values()].filter((c) => c.state === 'exited').map((c) => c.logPath)
    await node.advance(10_000)
    await node.advance()
    expect([...node.runtime.containers.values()].filter((c) => c.config.metadata.attempt === 0)).toHaveLength(1)
    expect(node.runtime.images.has('unused:1')).toBe(false)
    expect((await node.pod('done')).status).toEqual(ended)
    expect((await node.pod('runs')).status.phase).toBe('Running')
    expect(await Promise.all(logs.map((path) => node.disk.stat(path)))).toContain(undefined)
    expect(await node.events('n1')).toContain('EvictionThresholdMet: Attempting to reclaim ephemeral-storage')
  })
})

describe('images on a disk of their own', () => {
  it('are collected when that disk is full, and not when the node has little', async () => {
    node = await testNode({ imageGcLeastAgeMs: 0, evictionHard: {} })
    node.runtime.images.set('unused:1', imageOf('unused:1'))
    node.runtime.imageFsInfo = () => Promise.resolve({ path: '/images', usedBytes: 0, inodesUsed: 0 })
    let left: Record<string, number> = { '/images': 50, '': 5 }
    fill(() => left)
    await node.advance(300_000)
    expect(node.runtime.images.has('unused:1')).toBe(true)
    left = { '/images': 5, '': 50 }
    await node.advance(300_000)
    expect(node.runtime.images.has('unused:1')).toBe(false)
  })
})
