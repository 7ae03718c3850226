import { describe, expect, it } from 'vitest'
import { TransportError } from '../ports/transport.ts'
import { createClient } from './api-client.ts'
import { byNamespace, byOwnerUid, createInformer, createInformerFactory } from './informer.ts'
import { fakeApi } from './testing/fake-api.ts'
import { collectingLog, type Note, notes, seededRandom } from './testing/fixtures.ts'
import { manualClock, settle } from './testing/manual-clock.ts'

function setup(encoding: 'objects' | 'bytes' = 'objects') {
  const api = fakeApi(encoding)
  const clock = manualClock()
  const log = collectingLog()
  const client = createClient(api)
  const options = { client, clock, log, random: seededRandom() }
  const resource = client.resource(notes)
  const create = (name: string, owner?: string) =>
    resource.create({
      metadata: {
        name,
        namespace: 'ns',
        ...(owner ? { ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: owner, uid: owner }] } : {}),
      },
    })
  const start = (pageSize = 2) => createInformer({ ...options, kind: notes, pageSize })
  return { api, clock, log, client, options, resource, create, start }
}
const names = (items: Iterable<Note>) => [...items].map((n) => n.metadata.name).sort()

describe.each(['objects', 'bytes'] as const)('informer over %s', (encoding) => {
  it('lists in pages, then follows changes, with frozen objects, handlers and indexes', async () => {
    const { create, start, resource } = setup(encoding)
    for (const name of ['a', 'b', 'c']) await create(name, 'o1')
    const informer = start()
    const seen: string[] = []
    informer.handle({
      add: (n, initial) => void seen.push(`add ${n.metadata.name} ${initial}`),
      update: (n, old) => void seen.push(`update ${n.metadata.name} ${old.data?.['x'] ?? '-'}>${n.data?.['x']}`),
      delete: (n) => void seen.push(`delete ${n.metadata.name}`),
    })
    const owned = informer.index(byOwnerUid)
    await informer.synced
    expect(names(informer.list())).toEqual(['a', 'b', 'c'])
    const d = await create('d', 'o2')
    await resource.update({ ...d, data: { x: '1' } })
    await resource.delete('b', 'ns')
    await informer.until(() => informer.get('b', 'ns') === undefined)
    expect(seen).toEqual(['add a true', 'add b true', 'add c true', 'add d false', 'update d ->1', 'delete b'])
    expect(names(owned.get('o1'))).toEqual(['a', 'c'])
    expect(names(owned.get('o2'))).toEqual(['d'])
    expect(owned.get('o3')).toEqual([])
    expect(names(informer.index(byNamespace).get('ns'))).toEqual(['a', 'c', 'd'])
    expect(informer.index(byOwnerUid)).toBe(owned)
    expect(Object.isFrozen(informer.get('a', 'ns'))).toBe(true)
    informer.stop()
  })
})

describe('informer', () => {
  it('knows when it has seen a write', async () => {
    const { create, start } = setup()
    const informer = start()
    await informer.synced
    const written = await create('a')
    await informer.until(() => informer.seen(written.metadata.resourceVersion))
    expect(informer.get('a', 'ns')).toEqual(written)
    informer.stop()
  })
  it('resumes an ended watch without listing again', async () => {
    const { api, clock, create, start } = setup()
    const informer = start()
    await informer.synced
    await create('a')
    await clock.advance(2000)
    api.endWatches()
    await settle()
    await create('b')
    await clock.advance(2000)
    expect(names(informer.list())).toEqual(['a', 'b'])
    expect(api.requests.filter((r) => r.startsWith('GET') && !r.includes('watch=true'))).toHaveLength(1)
    informer.stop()
  })
  it('lists again after 410 and reports what vanished meanwhile', async () => {
    const { api, clock, create, resource, start } = setup()
    await create('a')
    await create('b')
    const informer = start()
    await informer.synced
    const deleted: string[] = []
    informer.handle({ delete: (n) => void deleted.push(n.metadata.name) })
    await settle()
    api.intercept = (request) => {
      if (request.path.includes('watch=true')) throw new TransportError('refused')
      return undefined
    }
    api.endWatches()
    await settle()
    await resource.delete('a', 'ns')
    await create('c')
    api.compact()
    api.intercept = undefined
    await clock.advance(60_000)
    expect(names(informer.list())).toEqual(['b', 'c'])
    expect(deleted).toEqual(['a'])
    informer.stop()
  })
  it('backs off while the server is away, and tells so', async () => {
    const { api, clock, log, start } = setup()
    api.intercept = () => {
      throw new TransportError('connection refused')
    }
    const informer = start()
    await clock.advance(60_000)
    expect(informer.hasSynced).toBe(false)
    expect(api.requests.length).toBeGreaterThan(5)
    expect(api.requests.length).toBeLessThan(15)
    expect(log.records[0]).toMatchObject({ level: 'warn', message: 'list or watch failed' })
    api.intercept = undefined
    await clock.advance(60_000)
    await informer.synced
    informer.stop()
  })
  it('treats a recreated object as deletion and addition', async () => {
    const { api, clock, create, resource, start } = setup()
    await create('a')
    const informer = start()
    await informer.synced
    await settle()
    api.intercept = (request) => {
      if (request.path.includes('watch=true')) throw new TransportError('refused')
      return undefined
    }
    api.endWatches()
    await settle()
    await resource.delete('a', 'ns')
    await create('a')
    api.compact()
    const seen: string[] = []
    informer.handle({
      add: (n, initial) => void (initial || seen.push(`add ${n.metadata.uid}`)),
      delete: (n) => void seen.push(`delete ${n.metadata.uid}`),
    })
    api.intercept = undefined
    await clock.advance(60_000)
    expect(seen).toEqual(['delete uid-1', 'add uid-2'])
    informer.stop()
  })
  it('a failing handler is logged and the others still hear', async () => {
    const { create, log, start } = setup()
    const informer = start()
    await informer.synced
    informer.handle({
      add: () => {
        throw new Error('defect')
      },
    })
    const heard: string[] = []
    informer.handle({ add: (n) => void heard.push(n.metadata.name) })
    const a = await create('a')
    await informer.until(() => informer.seen(a.metadata.resourceVersion))
    expect(heard).toEqual(['a'])
    expect(log.records.filter((r) => r.level === 'error')).toHaveLength(1)
    informer.stop()
  })
})

describe('informer factory', () => {
  it('keeps the metadata alone for those who need no more, unless the whole objects are there', async () => {
    const { options, create, resource } = setup()
    const a = await create('a')
    await resource.update({ ...a, data: { x: '1' } })
    const factory = createInformerFactory(options)
    const bare = factory.metadata(notes)
    await bare.synced
    expect(bare.get('a', 'ns')).toEqual({
      apiVersion: 'test.cox/v1',
      kind: 'Note',
      metadata: expect.objectContaining({ name: 'a', uid: a.metadata.uid }),
    })
    expect(bare.get('a', 'ns')?.metadata).not.toHaveProperty('managedFields')
    expect(factory.metadata(notes)).toBe(bare)
    const whole = factory.informer(notes)
    await whole.synced
    expect(whole.get('a', 'ns')?.data).toEqual({ x: '1' })
    expect(factory.metadata(notes)).toBe(whole)
    factory.stop()
  })
  it('a lean one keeps no managed fields, and its indexes follow', async () => {
    const { options, create, resource } = setup()
    const managedFields = [{ manager: 'm', operation: 'Update' }]
    const a = await resource.create({ metadata: { name: 'a', namespace: 'ns', managedFields } } as never)
    expect(a.metadata.managedFields).toEqual(managedFields)
    await create('b')
    const factory = createInformerFactory({ ...options, lean: true })
    const cache = factory.informer(notes)
    const byX = cache.index((note) => [note.data?.['x'] ?? 'none', 'all'])
    await cache.synced
    expect(cache.get('a', 'ns')?.metadata).not.toHaveProperty('managedFields')
    const having = (value: string) => names(byX.get(value))
    expect([having('none'), byX.count('all'), byX.count('1')]).toEqual([['a', 'b'], 2, 0])
    await resource.update({ ...a, data: { x: '1' } })
    await cache.until(() => byX.has('1'))
    expect([having('none'), having('1'), byX.count('1')]).toEqual([['b'], ['a'], 1])
    expect(byX.get('1')[0]?.data).toEqual({ x: '1' })
    await resource.delete('b', 'ns')
    await cache.until(() => cache.size === 1)
    expect([having('none'), byX.has('none'), byX.count('all')]).toEqual([[], false, 1])
    factory.stop()
  })
  it('shares one informer per kind and selection', async () => {
    const { api, options, create } = setup()
    await create('a')
    const factory = createInformerFactory(options)
    const informer = factory.informer(notes)
    expect(factory.informer(notes)).toBe(informer)
    expect(factory.informer(notes, { labelSelector: 'a=b' })).not.toBe(informer)
    await factory.synced()
    await settle()
    expect(names(informer.list())).toEqual(['a'])
    expect(api.watchers).toBe(2)
    factory.stop()
    await settle()
    expect(api.watchers).toBe(0)
  })
})
