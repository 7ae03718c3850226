// ResourceQuota: what an object uses is charged to its namespace's quotas before the object is stored; when one of them
// has not enough left, nothing is. Runs last, so that nothing is charged for what another plugin refuses.
import { addAmounts, quotaMatches, quotaUsage, subtractAmounts } from '../../api/core/quota-usage.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { ResourceQuota } from '../../api/core/resource-quota.ts'
import { ApiError, forbidden } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { compareQuantities } from '../../api/machinery/quantity.ts'
import type { ServerContext } from '../context.ts'
import type { Collection, Entry } from '../storage/collection.ts'
import { replaceObject } from '../storage/write.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

type Amounts = Readonly<Record<string, string>>
const attempts = 20
/** Objects whose use can grow after they were made. */
const growing = new Set(['pods', 'services', 'persistentvolumeclaims'])

export const resourceQuota: AdmissionPlugin = {
  name: 'ResourceQuota',
  handles: ({ operation, resource, subresource }) =>
    resource.kind.namespaced &&
    resource.kind.storagePrefix !== '' &&
    ((operation === 'CREATE' && subresource === '') ||
      (operation === 'UPDATE' &&
        resource.kind.group === '' &&
        growing.has(resource.kind.plural) &&
        (subresource === '' || subresource === 'resize'))),
  validate(request, server) {
    const collection = server.resources.storage('', 'resourcequotas')?.collection
    if (collection === undefined) return undefined
    if (!collection.loaded) return collection.ready().then(() => charge(request, server, collection))
    return collection.all(request.namespace).length === 0 ? undefined : charge(request, server, collection)
  },
}

async function charge(request: AdmissionRequest, server: ServerContext, collection: Collection): Promise<void> {
  const { kind } = request.resource
  const object = request.object as unknown as KubeObject
  const nowMs = server.clock.now()
  const after = quotaUsage(kind.group, kind.plural, object, nowMs)
  const before = request.oldObject === undefined ? {} : quotaUsage(kind.group, kind.plural, request.oldObject, nowMs)
  const growth = positive(subtractAmounts(after, before))
  if (Object.keys(growth).length === 0) return
  for (const entry of collection.all(request.namespace)) {
    const quota = collection.object(entry) as unknown as ResourceQuota
    if (!quotaMatches(quota, kind.group, kind.plural, object)) continue
    if (request.operation === 'CREATE') mustState(request, quota)
    await chargeOne(request, server, collection, entry, growth)
  }
}

const positive = (amounts: Amounts): Record<string, string> =>
  Object.fromEntries(Object.entries(amounts).filter(([, amount]) => compareQuantities(amount, '0') > 0))

async function chargeOne(
  request: AdmissionRequest,
  server: ServerContext,
  collection: Collection,
  first: Entry,
  growth: Amounts,
): Promise<void> {
  let entry: Entry | undefined = first
  for (let attempt = 0; entry !== undefined && attempt < attempts; attempt++) {
    const quota = collection.object(entry) as unknown as ResourceQuota
    const charged = used(request, quota, growth)
    if (charged === undefined || request.dryRun) return
    const next = { ...quota, status: { ...quota.status, used: charged } } as unknown as KubeObject
    const result = await replaceObject(server, collection, entry, next)
    if (result.ok) return
    entry = result.taken ? entry : result.current
  }
  if (entry !== undefined) {
    throw new ApiError('InternalError', `Internal error occurred: resource quota evaluation timed out`)
  }
}

/** The quota's use with this growth; undefined where the quota does not limit any of it. Throws Forbidden. */
function used(request: AdmissionRequest, quota: ResourceQuota, growth: Amounts): Record<string, string> | undefined {
  const limits = quota.status.hard ?? {}
  const names = Object.keys(growth).filter((name) => quota.spec.hard?.[name] !== undefined)
  if (names.length === 0) return undefined
  const unknown = names.filter((name) => limits[name] === undefined)
  const refuse = (why: string) =>
    forbidden({ group: request.resource.group, resource: request.resource.kind.plural }, request.name, why)
  if (unknown.length > 0) {
    throw refuse(`status unknown for quota: ${quota.metadata.name}, resources: ${unknown.sort().join(',')}`)
  }
  const asked = Object.fromEntries(names.map((name) => [name, growth[name] ?? '0']))
  const sum = addAmounts(quota.status.used ?? {}, asked)
  const exceeded = names.filter((name) => compareQuantities(sum[name] ?? '0', limits[name] ?? '0') > 0).sort()
  if (exceeded.length > 0) {
    const print = (amounts: Amounts) => exceeded.map((name) => `${name}=${amounts[name] ?? '0'}`).join(',')
    throw refuse(
      `exceeded quota: ${quota.metadata.name}, requested: ${print(growth)}, used: ${print(quota.status.used ?? {})}, limited: ${print(limits)}`,
    )
  }
  return sum
}

/** A quota on requests or limits obliges every container to state them. */
function mustState(request: AdmissionRequest, quota: ResourceQuota): void {
  if (request.resource.kind.plural !== 'pods' || request.resource.kind.group !== '') return
  const { spec } = request.object as unknown as Pod
  const containers = [...spec.containers, ...(spec.initContainers ?? [])]
  const missing: string[] = []
  for (const name of Object.keys(quota.spec.hard ?? {}).sort()) {
    const match = /^(?:(requests|limits)\.)?(cpu|memory)$/.exec(name)
    if (match === null) continue
    const which = (match[1] ?? 'requests') as 'requests' | 'limits'
    const resource = match[2] ?? ''
    if (spec.resources?.[which]?.[resource] !== undefined) continue
    const without = containers.filter(({ resources }) => resources?.[which]?.[resource] === undefined)
    if (without.length > 0) missing.push(`${name} for: ${without.map((c) => c.name).join(',')}`)
  }
  if (missing.length > 0) {
    throw forbidden(
      { group: '', resource: 'pods' },
      request.name,
      `failed quota: ${quota.metadata.name}: must specify ${missing.join('; ')}`,
    )
  }
}
