// LimitRanger: a namespace's LimitRanges give containers the requests and limits they do not state, and refuse pods and
// claims that ask for too little or too much.
import type { LimitRange, LimitRangeItem } from '../../api/core/limit-range.ts'
import type { PersistentVolumeClaim } from '../../api/core/persistent-volume-claim.ts'
import type { Pod } from '../../api/core/pod.ts'
import { type Amounts, podLimits, podRequests } from '../../api/core/pod-resources.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import { compareQuantities, quantityNumber } from '../../api/machinery/quantity.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { ServerContext } from '../context.ts'
import type { Collection } from '../storage/collection.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

const annotation = 'kubernetes.io/limit-ranger'
const isPod = ({ resource }: AdmissionRequest) => resource.kind.plural === 'pods' && resource.group === ''
const isClaim = ({ resource }: AdmissionRequest) =>
  resource.kind.plural === 'persistentvolumeclaims' && resource.group === ''

export const limitRanger: AdmissionPlugin = {
  name: 'LimitRanger',
  handles: (request) =>
    (request.operation === 'CREATE' && request.subresource === '' && (isPod(request) || isClaim(request))) ||
    (request.operation === 'UPDATE' && isClaim(request) && request.subresource === '') ||
    (request.operation === 'UPDATE' && isPod(request) && request.subresource === 'resize'),
  mutate(request, server) {
    if (request.operation !== 'CREATE' || !isPod(request)) return undefined
    return withRanges(server, request, (ranges) => {
      for (const { spec } of ranges) setDefaults(request.object as unknown as Draft<Pod>, spec.limits)
    })
  },
  validate: (request, server) => withRanges(server, request, (ranges) => check(request, ranges)),
}

function withRanges(
  server: ServerContext,
  request: AdmissionRequest,
  run: (ranges: readonly LimitRange[]) => void,
): void | Promise<void> {
  const collection = server.resources.storage('', 'limitranges')?.collection
  if (collection === undefined) return undefined
  const now = (loaded: Collection) =>
    run(loaded.all(request.namespace).map((entry) => loaded.object(entry) as unknown as LimitRange))
  return collection.loaded ? now(collection) : collection.ready().then(() => now(collection))
}

/** Fills in what containers do not say, and notes it in an annotation. */
function setDefaults(pod: Draft<Pod>, limits: readonly LimitRangeItem[]): void {
  const notes: string[] = []
  for (const item of limits) {
    if (item.type !== 'Container') continue
    for (const container of pod.spec.containers) merge(container, item, 'container', notes)
    for (const container of pod.spec.initContainers ?? []) merge(container, item, 'init container', notes)
  }
  if (notes.length === 0) return
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [annotation]: `LimitRanger plugin set: ${notes.join('; ')}`,
  }
}

type Container = Draft<Pod>['spec']['containers'][number]
function merge(container: Container, item: LimitRangeItem, word: string, notes: string[]): void {
  const fill = (which: 'limits' | 'requests', defaults: Amounts | undefined): void => {
    const set: string[] = []
    for (const [name, amount] of Object.entries(defaults ?? {})) {
      const resources = (container.resources ??= {})
      const amounts = (resources[which] ??= {}) as Record<string, string>
      if (amounts[name] !== undefined) continue
      amounts[name] = amount
      set.push(name)
    }
    if (set.length > 0) notes.push(`${set.sort().join(', ')} ${which.slice(0, -1)} for ${word} ${container.name}`)
  }
  fill('limits', item.default)
  fill('requests', item.defaultRequest)
}

interface Amount {
  readonly requests: Amounts
  readonly limits: Amounts
}

function check(request: AdmissionRequest, ranges: readonly LimitRange[]): void {
  const problems: string[] = []
  for (const { spec } of ranges) {
    for (const item of spec.limits) {
      for (const amount of amountsFor(request, item)) problems.push(...violations(item, amount))
    }
  }
  if (problems.length === 0) return
  const unique = [...new Set(problems)]
  const { group, kind } = request.resource
  throw forbidden(
    { group, resource: kind.plural },
    request.name,
    unique.length === 1 ? (unique[0] ?? '') : `[${unique.join(', ')}]`,
  )
}

/** What an item of a LimitRange is compared with. */
function amountsFor(request: AdmissionRequest, item: LimitRangeItem): Amount[] {
  if (item.type === 'PersistentVolumeClaim') {
    if (!isClaim(request)) return []
    const { spec } = request.object as unknown as PersistentVolumeClaim
    return [{ requests: spec.resources.requests ?? {}, limits: {} }]
  }
  if (!isPod(request)) return []
  const { spec } = request.object as unknown as Pod
  if (item.type === 'Pod') {
    const options = { overhead: false }
    return [{ requests: podRequests(spec, options), limits: podLimits(spec, options) }]
  }
  if (item.type !== 'Container') return []
  return [...spec.containers, ...(spec.initContainers ?? [])].map(({ resources }) => ({
    requests: resources?.requests ?? {},
    limits: resources?.limits ?? {},
  }))
}

function violations(item: LimitRangeItem, { requests, limits }: Amount): string[] {
  const out: string[] = []
  const { type } = item
  for (const [name, min] of Object.entries(item.min ?? {})) {
    const [request, limit] = [requests[name], limits[name]]
    const head = `minimum ${name} usage per ${type} is ${min}`
    if (request === undefined) out.push(`${head}.  No request is specified`)
    else if (compareQuantities(request, min) < 0) {
      out.push(`${head}, but request is ${request}`)
    } else if (limit !== undefined && compareQuantities(limit, min) < 0) out.push(`${head}, but limit is ${limit}`)
  }
  for (const [name, max] of Object.entries(item.max ?? {})) {
    const [request, limit] = [requests[name], limits[name]]
    const head = `maximum ${name} usage per ${type} is ${max}`
    if (type === 'PersistentVolumeClaim') {
      if (request === undefined) out.push(`${head}.  No request is specified`)
      else if (compareQuantities(request, max) > 0) out.push(`${head}, but request is ${request}`)
    } else if (limit === undefined) out.push(`${head}.  No limit is specified`)
    else if (compareQuantities(limit, max) > 0) out.push(`${head}, but limit is ${limit}`)
    else if (request !== undefined && compareQuantities(request, max) > 0)
      out.push(`${head}, but request is ${request}`)
  }
  for (const [name, ratio] of Object.entries(item.maxLimitRequestRatio ?? {})) {
    const [request, limit] = [requests[name], limits[name]]
    const head = `${name} max limit to request ratio per ${type} is ${ratio}`
    if (request === undefined || quantityNumber(request) === 0)
      out.push(`${head}, but no request is specified or request is 0`)
    else if (limit === undefined || quantityNumber(limit) === 0)
      out.push(`${head}, but no limit is specified or limit is 0`)
    else {
      const observed = quantityNumber(limit) / quantityNumber(request)
      if (observed > quantityNumber(ratio)) out.push(`${head}, but provided ratio is ${observed.toFixed(6)}`)
    }
  }
  return out
}
