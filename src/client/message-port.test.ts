import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expect, it, onTestFinished, vi } from 'vitest'
import { type Transport, TransportError, type TransportRequest } from '../ports/transport.ts'
import { messagePortTransport, serveMessagePort } from './message-port.ts'

const mebibyte = new Uint8Array(1 << 20)

function connect(served: Transport): { transport: Transport; served: MessagePort; closed: () => void } {
  const { port1, port2 } = new MessageChannel()
  const closed = serveMessagePort(port2, served)
  onTestFinished(closed)
  return { transport: messagePortTransport(port1), served: port2, closed }
}
const answering = (send: Transport['send']): Transport => ({ send })

it('carries method, path, headers and bytes both ways', async () => {
  const seen: TransportRequest[] = []
  const { transport } = connect(
    answering(async (request) => {
      seen.push(request)
      return { status: 201, headers: { etag: 'x' }, object: { got: new TextDecoder().decode(request.body) } }
    }),
  )
  const answer = await transport.send({ method: 'PUT', path: '/a?b=c', headers: { 'x-y': 'z' }, object: { n: 1 } })
  expect(seen[0]).toMatchObject({
    method: 'PUT',
    path: '/a?b=c',
    headers: { 'x-y': 'z', 'content-type': 'application/json' },
  })
  expect(answer).toMatchObject({ status: 201, headers: { etag: 'x' } })
  expect(JSON.parse(new TextDecoder().decode(answer.body))).toEqual({ got: '{"n":1}' })
})

it('holds a stream back while its reader lags, and ends it when the reader stops', async () => {
  let produced = 0
  let ended = false
  const { transport } = connect(
    answering(async () => ({
      status: 200,
      headers: {},
      stream: {
        kind: 'bytes',
        chunks: (async function* () {
          try {
            for (; produced < 1000; produced++) yield mebibyte
          } finally {
            ended = true
          }
        })(),
      },
    })),
  )
  const { stream } = await transport.send({ method: 'GET', path: '/log' })
  if (stream?.kind !== 'bytes') throw new Error('a stream of bytes was expected')
  let read = 0
  for await (const chunk of stream.chunks) {
    read += chunk.length
    expect(produced * mebibyte.length - read).toBeLessThanOrEqual(3 * mebibyte.length)
    if (read >= 20 * mebibyte.length) break
  }
  await vi.waitFor(() => expect(ended).toBe(true))
  expect(produced).toBeLessThan(30)
})

it('aborts the request at the other end', async () => {
  let aborted = false
  const { transport } = connect(
    answering(
      (request) =>
        new Promise((_, reject) => {
          request.signal?.addEventListener('abort', () => {
            aborted = true
            reject(new Error('stopped'))
          })
        }),
    ),
  )
  const stop = new AbortController()
  const pending = transport.send({ method: 'GET', path: '/slow', signal: stop.signal })
  stop.abort()
  await expect(pending).rejects.toThrow(new TransportError('the request was aborted'))
  await vi.waitFor(() => expect(aborted).toBe(true))
})

it('fails what is under way when the port closes, and what comes after', async () => {
  let aborted = false
  const { transport, closed } = connect(
    answering(async (request) => ({
      status: 200,
      headers: {},
      stream: {
        kind: 'objects',
        objects: (async function* () {
          yield { type: 'ADDED' }
          await new Promise<void>((done) => request.signal?.addEventListener('abort', () => done()))
          aborted = true
        })(),
      },
    })),
  )
  const { stream } = await transport.send({ method: 'GET', path: '/watch' })
  if (stream?.kind !== 'bytes') throw new Error('a stream of bytes was expected')
  const events = stream.chunks[Symbol.asyncIterator]()
  const first = await events.next()
  expect(new TextDecoder().decode(first.value as Uint8Array)).toBe('{"type":"ADDED"}\n')
  closed()
  await expect(events.next()).rejects.toThrow('the message port was closed')
  await vi.waitFor(() => expect(aborted).toBe(true))
  await expect(transport.send({ method: 'GET', path: '/' })).rejects.toThrow('the message port is closed')
})

it('tells the error of the other end', async () => {
  const { transport } = connect(answering(() => Promise.reject(new TransportError('connection refused'))))
  await expect(transport.send({ method: 'GET', path: '/' })).rejects.toThrow(new TransportError('connection refused'))
})

it('upgrades to a stream with two halves', async () => {
  const echo: Transport = {
    send: () => Promise.reject(new Error('not asked')),
    async upgrade() {
      const received: Uint8Array[] = []
      let finish = () => {}
      const finished = new Promise<void>((done) => {
        finish = done
      })
      return {
        ok: true,
        headers: { upgrade: 'raw' },
        stream: {
          readable: (async function* () {
            await finished
            yield* received
          })(),
          async write(bytes) {
            received.push(bytes)
          },
          async end() {
            finish()
          },
          destroy: () => finish(),
        },
      }
    },
  }
  const { transport } = connect(echo)
  const result = await transport.upgrade?.({ method: 'POST', path: '/exec' })
  if (result?.ok !== true) throw new Error('an upgrade was expected')
  await result.stream.write(new TextEncoder().encode('one '))
  await result.stream.write(new TextEncoder().encode('two'))
  await result.stream.end()
  let text = ''
  for await (const bytes of result.stream.readable) text += new TextDecoder().decode(bytes)
  expect(text).toBe('one two')
})
