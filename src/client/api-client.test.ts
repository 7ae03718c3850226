import { MessageChannel } from 'node:worker_threads'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Transport } from '../ports/transport.ts'
import { ApiError } from '../api/machinery/errors.ts'
import { createClient } from './api-client.ts'
import type { WatchEvent } from './client.ts'
import { messagePortTransport, serveMessagePort } from './message-port.ts'
import { type FakeApi, fakeApi } from './testing/fake-api.ts'
import { type Note, notes } from './testing/fixtures.ts'

const note = (name: string, data: Record<string, string> = {}) => ({ metadata: { name, namespace: 'ns' }, data })

/** The fake at the other end of a message channel, which ends with the test. */
function overPort(): { readonly api: FakeApi; readonly transport: Transport } {
  const api = fakeApi('objects')
  const { port1, port2 } = new MessageChannel()
  onTestFinished(serveMessagePort(port2, api))
  return { api, transport: messagePortTransport(port1) }
}
const direct = (encoding: 'objects' | 'bytes') => () => {
  const api = fakeApi(encoding)
  return { api, transport: api }
}

describe.each([
  ['objects', direct('objects')],
  ['bytes', direct('bytes')],
  ['a message port', overPort],
] as const)('client over %s', (_, carrier) => {
  it('writes and reads, with paths and types filled in', async () => {
    const { api, transport } = carrier()
    const resource = createClient(transport).resource(notes)
    const created = await resource.create(note('a', { x: '1' }), { fieldManager: 'me' })
    expect(created).toMatchObject({ apiVersion: 'test.cox/v1', kind: 'Note', data: { x: '1' } })
    expect(Object.isFrozen(created.metadata)).toBe(true)
    expect(await resource.get('a', 'ns')).toEqual(created)
    expect(await resource.find('b', 'ns')).toBeUndefined()
    await resource.updateStatus(created)
    const patched = await resource.patch('a', 'ns', 'merge', { data: { x: null, y: '2' } })
    expect(patched.data).toEqual({ y: '2' })
    expect((await resource.list()).items).toEqual([patched])
    await resource.delete('a', 'ns', { propagationPolicy: 'Foreground' })
    expect((await resource.list()).items).toEqual([])
    const base = '/apis/test.cox/v1/namespaces/ns/notes'
    expect(api.requests.slice(0, 4)).toEqual([
      `POST ${base}?fieldManager=me`,
      `GET ${base}/a`,
      `GET ${base}/b`,
      `PUT ${base}/a/status`,
    ])
  })
  it('turns a Status into an ApiError', async () => {
    const resource = createClient(carrier().transport).resource(notes)
    const error = await resource.get('gone', 'ns').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ reason: 'NotFound', code: 404, message: 'notes "gone" not found' })
  })
  it('turns an answer that is no Status into an ApiError with its text', async () => {
    const { api, transport } = carrier()
    api.intercept = () => ({
      status: 503,
      headers: { 'content-type': 'text/plain' },
      body: new TextEncoder().encode('no backend\n'),
    })
    const error = await createClient(transport)
      .resource(notes)
      .get('a', 'ns')
      .catch((e: unknown) => e)
    expect(error).toMatchObject({ reason: 'ServiceUnavailable', code: 503, message: 'no backend' })
  })
  it('watches until aborted, and leaves no watcher behind', async () => {
    const { api, transport } = carrier()
    const resource = createClient(transport).resource(notes)
    const stop = new AbortController()
    const events: WatchEvent<Note>[] = []
    await resource.create(note('a'))
    for await (const event of resource.watch({ resourceVersion: '1', signal: stop.signal })) {
      events.push(event)
      if (event.type === 'ADDED') await resource.delete('a', 'ns')
      else stop.abort()
    }
    expect(events.map((e) => e.type)).toEqual(['ADDED', 'DELETED'])
    await vi.waitFor(() => expect(api.watchers).toBe(0))
  })
  it('throws what an ERROR event or an expired watch says', async () => {
    const { api, transport } = carrier()
    api.compact()
    const watch = createClient(transport).resource(notes).watch({ resourceVersion: '2' })
    await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject({ reason: 'Expired', code: 410 })
  })
})

describe('raw', () => {
  it('answers any path as text', async () => {
    const api = fakeApi()
    api.intercept = () => ({ status: 200, headers: {}, body: new TextEncoder().encode('ok') })
    expect(await createClient(api).raw('/readyz')).toEqual({ status: 200, text: 'ok' })
  })
})
