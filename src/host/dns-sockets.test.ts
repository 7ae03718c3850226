import { type Answer, decode, encode, type Packet, type RecordType } from 'dns-packet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hostDnsSockets } from './dns-sockets.ts'

const many: Answer[] = Array.from({ length: 100 }, (_, i) => ({
  type: 'A',
  name: 'many.test',
  ttl: 5,
  data: `10.0.0.${i}`,
}))
const query = (name: string, id: number, type: RecordType = 'A') =>
  encode({ type: 'query', id, questions: [{ type, name }] })

describe('DNS sockets', () => {
  let server: { close(): Promise<void> }
  const port = 20_000 + (process.pid % 20_000)
  beforeAll(async () => {
    server = await hostDnsSockets.serve('127.0.0.1', port, (bytes, via) => {
      const packet: Packet = decode(Buffer.from(bytes))
      const name = packet.questions?.[0]?.name
      if (name === 'silent.test') return undefined
      const truncate = name === 'many.test' && via === 'udp'
      return encode({
        type: 'response',
        id: packet.id ?? 0,
        flags: truncate ? 1 << 9 : 0,
        questions: packet.questions ?? [],
        answers: truncate
          ? []
          : name === 'many.test'
            ? many
            : [{ type: 'A', name: 'one.test', ttl: 5, data: '10.0.0.1' }],
      })
    })
  })
  afterAll(() => server.close())

  it('answers by UDP', async () => {
    const answer = decode(Buffer.from(await hostDnsSockets.exchange(`127.0.0.1:${port}`, query('one.test', 7), 1000)))
    expect(answer.id).toBe(7)
    expect(answer.answers).toHaveLength(1)
  })
  it('asks again by TCP when the answer was truncated', async () => {
    const answer = decode(Buffer.from(await hostDnsSockets.exchange(`127.0.0.1:${port}`, query('many.test', 8), 1000)))
    expect(answer.answers).toHaveLength(100)
  })
  it('gives up on silence', async () => {
    await expect(hostDnsSockets.exchange(`127.0.0.1:${port}`, query('silent.test', 9), 50)).rejects.toThrow(
      /no answer from/,
    )
  })
  it('says that an address is taken', async () => {
    await expect(hostDnsSockets.serve('127.0.0.1', port, () => undefined)).rejects.toThrow(/EADDRINUSE/)
  })
})
