import { expect, test } from 'vitest'
import { TransportError } from '../ports/transport.ts'
import { testServer } from './testing/server.ts'

test('close ends the watches of components in this process, and refuses what they ask then', async () => {
  const { api, transport } = await testServer()
  const { stream } = await transport.send({
    method: 'GET',
    path: '/api/v1/namespaces?watch=true',
  })
  if (stream === undefined) throw new Error('no watch')
  const seen = (async () => {
    let events = 0
    for await (const _ of stream.kind === 'objects' ? stream.objects : stream.chunks) events++
    return events
  })()
  await api.close()
  expect(await seen).toBeGreaterThanOrEqual(0)
  await expect(transport.send({ method: 'GET', path: '/api/v1/namespaces' })).rejects.toThrow(TransportError)
})
