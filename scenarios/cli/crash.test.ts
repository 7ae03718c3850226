// kill -9 of the whole of cox under 64 clients that write over HTTPS: what was acknowledged is there after the next start, and
// nothing is there by half.
import { createHash } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { configMaps } from '../../src/api/core/config-map.ts'
import { services } from '../../src/api/core/service.ts'
import { ipAddresses } from '../../src/api/networking/service-cidr.ts'
import { transportTo } from '../../src/cli/connect.ts'
import { createClient } from '../../src/client/api-client.ts'
import type { Client } from '../../src/client/client.ts'
import { TransportError, type Transport } from '../../src/ports/transport.ts'
import { testCluster } from './cox.ts'

const rounds = 20
const writers = 64
/** Every so many rounds of a counter its writer makes a Service, which is two objects in one transaction. */
const serviceEvery = 5
const cluster = testCluster('crash')
afterAll(() => cluster.remove())

interface Promised {
  n: number
  resourceVersion: string | undefined
  readonly services: string[]
}
const sealOf = (n: number) => createHash('sha256').update(String(n)).digest('hex')
const dataOf = (n: number) => ({ left: String(n), padding: sealOf(n).repeat(20), right: String(n) })

/** One client: counts in its ConfigMap, each step a write that waits for its answer, until the connection breaks. */
async function write(client: Client, writer: number, promised: Promised): Promise<void> {
  const counters = client.resource(configMaps)
  const metadata = { name: `writer-${writer}`, namespace: 'default' }
  try {
    for (;;) {
      const n = promised.n + 1
      const answer =
        n === 1
          ? await counters.create({ metadata, data: dataOf(n) })
          : await counters.update({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: dataOf(n) } as never)
      promised.n = n
      promised.resourceVersion = answer.metadata.resourceVersion
      if (n % serviceEvery !== 0) continue
      const name = `service-${writer}-${n}`
      await client
        .resource(services)
        .create({ metadata: { name, namespace: 'default' }, spec: { ports: [{ port: 80 }] } } as never)
      promised.services.push(name)
    }
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
  }
}

/** What is wrong with what is there after a kill. */
async function faultsOf(client: Client, promised: readonly Promised[]): Promise<string[]> {
  const faults: string[] = []
  const [counters, made, addresses] = await Promise.all([
    client.resource(configMaps).list({ namespace: 'default' }),
    client.resource(services).list(),
    client.resource(ipAddresses).list(),
  ])
  const counterOf = new Map(counters.items.map((item) => [item.metadata.name, item]))
  promised.forEach((last, writer) => {
    const found = counterOf.get(`writer-${writer}`)
    const n = Number(found?.data?.['left'] ?? 0)
    const say = (what: string) => faults.push(`writer ${writer}: ${what}`)
    if (n < last.n) say(`${last.n} acknowledged, found ${n}`)
    if (n > last.n + 1) say(`found ${n} after ${last.n}`)
    if (found !== undefined && JSON.stringify(found.data) !== JSON.stringify(dataOf(n))) say(`${n} is there by half`)
    if (n === last.n && last.resourceVersion !== undefined && found?.metadata.resourceVersion !== last.resourceVersion)
      say(`resourceVersion ${last.resourceVersion} acknowledged, found ${found?.metadata.resourceVersion}`)
    last.n = n
  })
  const addressOf = new Map(made.items.map((item) => [item.metadata.name, item.spec.clusterIP]))
  for (const { services: names } of promised)
    for (const name of names) if (!addressOf.has(name)) faults.push(`${name} acknowledged and lost`)
  const claimed = new Set(addresses.items.map((item) => item.metadata.name))
  for (const [name, address] of addressOf) if (!claimed.has(address ?? '')) faults.push(`${name} without its address`)
  for (const address of claimed)
    if (!made.items.some((item) => item.spec.clusterIP === address)) faults.push(`address ${address} of no Service`)
  return faults
}

test(`${rounds} kills under ${writers} writers`, { timeout: 1_800_000 }, async () => {
  const promised = Array.from({ length: writers }, (): Promised => ({ n: 0, resourceVersion: undefined, services: [] }))
  let acknowledged = 0
  for (let round = 1; round <= rounds; round++) {
    const { code, stderr } = await cluster.run(['up', '--detach', '--yes', '--listen', '127.0.0.1:0'])
    expect([code, stderr]).toEqual([0, expect.any(String)])
    const transports: Transport[] = Array.from({ length: 4 }, () => transportTo(cluster.dataDir))
    const clients = transports.map((transport) => createClient(transport, { userAgent: 'crash' }))
    const clientOf = (writer: number) => clients[writer % clients.length] as Client
    const faults = await faultsOf(clientOf(0), promised)
    expect({ round, faults }).toEqual({ round, faults: [] })
    const before = promised.map(({ n }) => n)
    const writing = Promise.all(promised.map((one, writer) => write(clientOf(writer), writer, one)))
    // The kill comes when every writer has been answered once, and then at any moment.
    await expect
      .poll(() => promised.every(({ n }, writer) => n > (before[writer] ?? 0)), { timeout: 60_000 })
      .toBe(true)
    await new Promise((done) => setTimeout(done, Math.random() * 300))
    await cluster.kill()
    await writing
    acknowledged += promised.reduce((sum, { n }, writer) => sum + n - (before[writer] ?? 0), 0)
    for (const transport of transports) transport.close?.()
  }
  expect((await cluster.run(['up', '--detach', '--yes', '--listen', '127.0.0.1:0'])).code).toBe(0)
  const last = transportTo(cluster.dataDir)
  expect(await faultsOf(createClient(last), promised)).toEqual([])
  last.close?.()
  expect(acknowledged).toBeGreaterThan(rounds * writers)
})
