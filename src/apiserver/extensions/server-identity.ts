// Each API server keeps an identity Lease, removes those that ran out, and, where StorageVersions are served, says in them how
// it writes each resource. Nothing waits for it: what fails is tried again.
import { type Lease, leases } from '../../api/coordination/lease.ts'
import {
  identityLabel,
  identityOf,
  identityValue,
  leaseNamespace,
  planStorageVersion,
} from '../../api/coordination/server-identity.ts'
import { equal } from '../../api/machinery/equal.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { apiVersionOf } from '../../api/machinery/kind.ts'
import { formatMicroTime, parseTime } from '../../api/machinery/time.ts'
import { storageVersions } from '../../api/preview/storage-versions.ts'
import type { Client } from '../../client/client.ts'
import { sleep } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { ResourceStorage } from '../resources.ts'
import type { Extension } from './extension.ts'

/** As upstream's; it is renewed often enough to miss a few turns. */
const durationSeconds = 3600
const periodMs = 600_000
const retryMs = 1000

export function serverIdentity(server: ServerContext, client: Client): Extension {
  const { clock, log, options, resources, random } = server
  const address = `${options.advertiseAddress}:${options.port}`
  const name = identityOf(address)
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let stopListening = (): void => {}
  let wake = new AbortController()
  let renewAtMs = Number.NEGATIVE_INFINITY

  async function renew(): Promise<void> {
    const resource = client.resource(leases)
    const present = await resource.find(name, leaseNamespace)
    const renewTime = formatMicroTime(clock.now())
    if (present !== undefined) {
      await resource.update({ ...present, spec: { ...present.spec, renewTime } })
      return
    }
    const labels = { [identityLabel]: identityValue, 'kubernetes.io/hostname': options.advertiseAddress }
    const holderIdentity = `${name}_${random.uuid()}`
    const spec = { holderIdentity, leaseDurationSeconds: durationSeconds, renewTime }
    await resource.create({ metadata: { name, namespace: leaseNamespace, labels }, spec })
  }
  const hasEnded = ({ spec }: Lease): boolean =>
    (parseTime(spec.renewTime ?? '') ?? 0) + (spec.leaseDurationSeconds ?? 0) * 1000 < clock.now()
  async function removeEnded(): Promise<void> {
    const resource = client.resource(leases)
    const labelSelector = `${identityLabel}=${identityValue}`
    const { items } = await resource.list({ namespace: leaseNamespace, labelSelector })
    for (const lease of items)
      if (hasEnded(lease))
        await unless(['NotFound', 'Conflict'], () =>
          resource.delete(lease.metadata.name, leaseNamespace, { preconditions: { uid: lease.metadata.uid } }),
        )
  }
  async function publish(): Promise<void> {
    if (resources.storage(storageVersions.group, storageVersions.plural) === undefined) return
    for (const storage of resources.storageKinds())
      if (storage.kind.storagePrefix !== '') await unless(['Conflict', 'AlreadyExists'], () => say(storage))
  }
  async function say(storage: ResourceStorage): Promise<void> {
    const { kind } = storage
    const served = resources.versionsOf(storage).map(({ apiVersion }) => apiVersion)
    const encodingVersion = apiVersionOf(kind)
    const decodableVersions = [...new Set([encodingVersion, ...served])]
    const own = { apiServerID: name, encodingVersion, decodableVersions, servedVersions: served }
    const resource = client.resource(storageVersions)
    const title = `${kind.group === '' ? 'core' : kind.group}.${kind.plural}`
    const present =
      (await resource.find(title)) ?? (await resource.create({ metadata: { name: title }, spec: {} } as never))
    const said = present.status.storageVersions ?? []
    const mine = said.find(({ apiServerID }) => apiServerID === name)
    if (mine !== undefined && equal(mine, own)) return
    const all = [...said.filter((one) => one !== mine), own]
    await resource.updateStatus({ ...present, status: planStorageVersion(present.status, all, clock.now()) })
  }
  /** Boundary: what fails is logged and tried again soon. */
  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      wake = new AbortController()
      let waitMs = retryMs
      try {
        if (clock.monotonic() >= renewAtMs) {
          await renew()
          await removeEnded()
          renewAtMs = clock.monotonic() + periodMs
        }
        await publish()
        waitMs = renewAtMs - clock.monotonic()
      } catch (error) {
        log.debug("the server's identity could not be written", { error: String(error) })
      }
      await sleep(clock, waitMs, AbortSignal.any([stopping.signal, wake.signal]))
    }
  }
  return {
    async start() {
      running = run()
      // A resource that came or went while the server runs: a definition of custom resources.
      stopListening = resources.listen(() => wake.abort())
    },
    async stop() {
      stopListening()
      stopping.abort()
      await running
    },
  }
}

/** Another server was faster: the next turn sees what it did. */
async function unless(expected: readonly Parameters<typeof isReason>[1][], act: () => Promise<unknown>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (!expected.some((reason) => isReason(error, reason))) throw error
  }
}
