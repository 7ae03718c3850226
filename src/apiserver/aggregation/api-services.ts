// APIServices at work (apiregistration.k8s.io): this server's own group versions are listed as Local, those of others are
// checked, their documents read, and requests for them passed on.
import { type ApiService, apiServices } from '../../api/apiregistration/api-service.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { groupRank, versionRank } from '../../api/machinery/served.ts'
import type { Client } from '../../client/client.ts'
import { createWorkQueue, type WorkQueue } from '../../client/work-queue.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { Extension } from '../extensions/extension.ts'
import { pemOf } from '../extensions/call-service.ts'
import type { Collection } from '../storage/collection.ts'
import { type Availability, checkBackend } from './availability.ts'
import type { Backend } from './backends.ts'
import { readDocuments } from './documents.ts'

/** How often a server that answers is asked again, and one that does not. */
const checkEveryMs = 30_000
const retryMs = 2000
const managedLabel = 'kube-aggregator.kubernetes.io/automanaged'

interface LocalGroupVersion {
  readonly group: string
  readonly version: string
  readonly custom: boolean
}

/** `client` acts as the server itself. */
export function aggregation(server: ServerContext, client: Client): Extension {
  const services = client.resource(apiServices)
  const own = server.resources.storage(apiServices.group, apiServices.plural)?.collection
  const queue: WorkQueue<string> = createWorkQueue({
    clock: server.clock,
    parallel: 2,
    run: reconcile,
    onError: (name, error) => server.log.warn('an APIService waits', { name, error: String(error) }),
  })
  const stops: (() => void)[] = []

  const find = (name: string): ApiService | undefined => {
    const entry = own?.find('', name)
    return entry === undefined ? undefined : (own?.object(entry) as unknown as ApiService)
  }

  async function reconcile(name: string): Promise<void> {
    const service = find(name)
    const local = localNamed(server, name)
    if (service?.spec.service === undefined) {
      server.backends.remove(name)
      if (service === undefined && local !== undefined) await create(local)
      if (service !== undefined && local === undefined && service.metadata.labels?.[managedLabel] !== undefined)
        await remove(name)
      return
    }
    if (service.metadata.deletionTimestamp !== undefined) {
      server.backends.remove(name)
      return
    }
    await follow(service)
  }

  async function create({ group, version, custom }: LocalGroupVersion): Promise<void> {
    try {
      await services.create({
        metadata: { name: `${version}.${group}`, labels: { [managedLabel]: custom ? 'true' : 'onstart' } },
        spec: {
          ...(group === '' ? {} : { group }),
          version,
          groupPriorityMinimum: custom ? 1000 : groupRank(group),
          versionPriority: custom ? 100 : versionRank(version),
        },
      })
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error
    }
  }
  async function remove(name: string): Promise<void> {
    try {
      await services.delete(name)
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error
    }
  }

  /** Checks a server elsewhere, and reads what it serves when it is there. */
  async function follow(service: ApiService): Promise<void> {
    const before = server.backends.named(service.metadata.name)
    const backend = backendOf(service, before)
    const state = await checkBackend(server, backend)
    const available = state.status === 'True'
    const documents = (available ? await readDocuments(server, backend) : undefined) ?? before?.documents
    const now: Backend = { ...backend, available, ...(documents === undefined ? {} : { documents }) }
    if (before === undefined || JSON.stringify(now) !== JSON.stringify(before)) server.backends.put(now)
    await report(service.metadata.name, state)
    queue.addAfter(service.metadata.name, available ? checkEveryMs : retryMs)
  }

  async function report(name: string, state: Availability): Promise<void> {
    const service = find(name)
    if (service === undefined) return
    const old = service.status.conditions?.find(({ type }) => type === 'Available')
    if (
      old !== undefined &&
      old.status === state.status &&
      old.reason === state.reason &&
      old.message === state.message
    )
      return
    const changed = old?.status !== state.status
    const condition = {
      type: 'Available',
      ...state,
      lastTransitionTime: changed ? rfc3339(server.clock.now()) : old.lastTransitionTime,
    }
    const others = (service.status.conditions ?? []).filter(({ type }) => type !== 'Available')
    try {
      await services.updateStatus({ ...service, status: { conditions: [...others, condition] } } as ApiService)
    } catch (error) {
      // somebody else wrote: the change that we are about to see decides anew
      if (!isReason(error, 'Conflict') && !isReason(error, 'NotFound')) throw error
    }
  }

  function enqueueLocal(): void {
    for (const { group, version } of localGroupVersions(server)) queue.add(`${version}.${group}`)
    // What stands elsewhere is asked when its time has come: what one of them says must not make all be asked anew.
    for (const { name } of own?.all('') ?? []) if (server.backends.named(name) === undefined) queue.add(name)
  }
  /** Checks those that stand behind a Service as soon as something about it changes. */
  function listenFor(
    collection: Collection | undefined,
    nameOf: (labels: Record<string, string>, name: string) => string,
  ) {
    if (collection === undefined) return
    stops.push(
      collection.listen({
        changed(changes) {
          if (server.backends.size === 0) return
          for (const { entry, previous } of changes) {
            const it = entry ?? previous
            if (it === undefined) continue
            const name = nameOf((it.labels ?? {}) as Record<string, string>, it.name)
            for (const { service, name: id } of server.backends.all())
              if (service.namespace === it.namespace && service.name === name) queue.add(id)
          }
        },
        reset() {},
      }),
    )
  }

  return {
    async start() {
      if (own === undefined) return
      await own.ready()
      // requests for other servers must not be answered by this one, not even for a moment
      for (const entry of own.all('')) {
        const service = own.object(entry) as unknown as ApiService
        if (service.spec.service !== undefined) server.backends.put(backendOf(service, undefined))
      }
      stops.push(
        own.listen({
          changed(changes) {
            for (const { entry, previous } of changes) queue.add((entry ?? previous)?.name ?? '')
          },
          reset: enqueueLocal,
        }),
        server.resources.listen(enqueueLocal),
      )
      listenFor(server.resources.storage('', 'services')?.collection, (_labels, name) => name)
      listenFor(
        server.resources.storage('discovery.k8s.io', 'endpointslices')?.collection,
        (labels) => labels['kubernetes.io/service-name'] ?? '',
      )
      await Promise.all(localGroupVersions(server).map((local) => reconcile(`${local.version}.${local.group}`)))
      enqueueLocal()
      for (const { name } of server.backends.all()) queue.add(name)
    },
    async stop() {
      for (const stop of stops) stop()
      await queue.stop()
    },
  }
}

function localGroupVersions(server: ServerContext): readonly LocalGroupVersion[] {
  const found = new Map<string, LocalGroupVersion>()
  for (const { group, version, schema } of server.resources.all()) {
    const custom = schema.structural === true
    found.set(`${version}.${group}`, { group, version, custom })
  }
  return [...found.values()]
}
const localNamed = (server: ServerContext, name: string): LocalGroupVersion | undefined =>
  localGroupVersions(server).find(({ group, version }) => `${version}.${group}` === name)

function backendOf({ metadata, spec }: ApiService, before: Backend | undefined): Backend {
  const { service } = spec
  const caPem = pemOf(spec.caBundle)
  return {
    name: metadata.name,
    group: spec.group ?? '',
    version: spec.version ?? '',
    groupPriority: spec.groupPriorityMinimum,
    versionPriority: spec.versionPriority,
    service: { namespace: service?.namespace ?? '', name: service?.name ?? '', port: service?.port ?? 443 },
    ...(caPem === undefined ? {} : { caPem }),
    insecure: spec.insecureSkipTLSVerify === true,
    available: before?.available ?? false,
    ...(before?.documents === undefined ? {} : { documents: before.documents }),
  }
}
