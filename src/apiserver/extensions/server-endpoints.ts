// Several servers on one store: each keeps a key under a store lease while it lives, and the endpoints of the kubernetes Service
// are made of the keys that there are. A server that was killed is out of them when its lease has run out.
import { endpoints as endpointsKind } from '../../api/core/endpoints.ts'
import { type EndpointSlice, endpointSlices } from '../../api/discovery/endpoint-slice.ts'
import { equal } from '../../api/machinery/equal.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { Client } from '../../client/client.ts'
import { sleep } from '../../ports/clock.ts'
import type { LeaseId } from '../../store/store.ts'
import type { ServerContext } from '../context.ts'
import type { Extension } from './extension.ts'

/** Outside of /registry: no API shows them. */
const prefix = '/coxswain/servers/'
const leaseSeconds = 15
const periodMs = 5000
const retryMs = 250
const namespace = 'default'
const name = 'kubernetes'

export interface ServerAddress {
  readonly address: string
  readonly port: number
}
/** Servers by port, each with its addresses in order; a slice has one list of ports for all of its endpoints. */
export function planSlices(servers: readonly ServerAddress[]): readonly { port: number; addresses: string[] }[] {
  const byPort = new Map<number, string[]>()
  for (const { address, port } of servers.toSorted((a, b) => (a.address < b.address ? -1 : 1)))
    byPort.set(port, [...(byPort.get(port) ?? []), address])
  return [...byPort].toSorted(([a], [b]) => a - b).map(([port, addresses]) => ({ port, addresses }))
}

/** Only where the settings say that other servers may write to the store. */
export function serverEndpoints(server: ServerContext, client: Client): Extension {
  const { store, clock, log, options } = server
  const own: ServerAddress = { address: options.advertiseAddress, port: options.port }
  const stopping = new AbortController()
  let lease: LeaseId | undefined
  let running: Promise<void> = Promise.resolve()

  async function register(): Promise<void> {
    if (lease !== undefined && (await store.keepAlive(lease))) return
    lease = await store.grantLease(leaseSeconds)
    const value = new TextEncoder().encode(JSON.stringify(own))
    await store.txn([], [{ type: 'put', key: `${prefix}${own.address}:${own.port}`, value, lease }])
  }
  async function settle(): Promise<void> {
    const { items } = await store.list(prefix)
    const servers = items.map(({ value }) => JSON.parse(new TextDecoder().decode(value)) as ServerAddress)
    const slices = planSlices(servers)
    const subsets = slices.map(({ port, addresses }) => ({
      addresses: addresses.map((ip) => ({ ip })),
      ports: [{ name: 'https', port, protocol: 'TCP' as const }],
    }))
    await keepEndpoints(client, subsets)
    await keepSlices(client, slices)
  }
  /** Boundary: what fails is logged and tried again soon. */
  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let waitMs = periodMs
      try {
        await register()
        await settle()
      } catch (error) {
        log.debug("the servers' endpoints could not be written", { error: String(error) })
        waitMs = retryMs
      }
      await sleep(clock, waitMs, stopping.signal)
    }
  }
  return {
    async start() {
      if (options.sharedStore) running = run()
    },
    async stop() {
      stopping.abort()
      await running
      if (lease !== undefined) await store.revokeLease(lease)
    },
  }
}

async function keepEndpoints(client: Client, subsets: readonly object[]): Promise<void> {
  const resource = client.resource(endpointsKind)
  const present = await resource.find(name, namespace)
  if (present === undefined) {
    const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' }
    await resource.create({ metadata: { name, namespace, labels }, subsets } as never)
  } else if (!equal(present.subsets, subsets)) await resource.patch(name, namespace, 'merge', { subsets })
}

async function keepSlices(client: Client, wanted: ReturnType<typeof planSlices>): Promise<void> {
  const resource = client.resource(endpointSlices)
  const labelSelector = 'kubernetes.io/service-name=kubernetes'
  const { items } = await resource.list({ namespace, labelSelector })
  const names = new Set<string>()
  for (const [i, { port, addresses }] of wanted.entries()) {
    const sliceName = i === 0 ? name : `${name}-${port}`
    names.add(sliceName)
    const present = items.find(({ metadata }) => metadata.name === sliceName)
    const body = {
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: 'https', port, protocol: 'TCP' as const }],
    }
    if (present === undefined) await createSlice(client, sliceName, addresses, body)
    else if (addressesOf(present) !== addresses.join() || present.ports?.[0]?.port !== port)
      await resource.patch(sliceName, namespace, 'merge', body)
  }
  for (const { metadata } of items)
    if (!names.has(metadata.name)) await resource.delete(metadata.name, namespace).catch(ignoreMissing)
}
const addressesOf = (slice: EndpointSlice): string => (slice.endpoints ?? []).flatMap((e) => [...e.addresses]).join()
async function createSlice(client: Client, sliceName: string, addresses: readonly string[], body: object) {
  const labels = { 'kubernetes.io/service-name': name }
  const addressType = addresses[0]?.includes(':') === true ? 'IPv6' : 'IPv4'
  const object = { metadata: { name: sliceName, namespace, labels }, addressType, ...body }
  await client.resource(endpointSlices).create(object as never)
}
/** Another server has taken it away. */
function ignoreMissing(error: unknown): void {
  if (!isReason(error, 'NotFound')) throw error
}
