// GET of a collection. Without paging it is answered from memory; pages after the first come from the same revision as
// the first one, from memory while nothing has changed since, from the store's history otherwise.
import { ApiError, badRequest, type FieldError, invalid } from '../../api/machinery/errors.ts'
import { CompactedError, FutureRevisionError } from '../../store/store.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import type { Collection, Entry } from '../storage/collection.ts'
import { fieldSelectorOf, type Filter, filterOf, labelSelectorOf } from '../watch/filter.ts'
import { decodeContinue, encodeContinue, lifetimeSeconds } from './continue.ts'
import { mostRecent, notOlderThan, parseVersion, tooLarge } from './freshness.ts'

/** The filter that a list, watch or deletecollection asks for. */
/** A filter's field selector as far as only the shown object can answer it: of a custom resource that a webhook converts.
 * Undefined where there is nothing to ask. */
export function shownFieldsOf({ info, resource }: ResourceRequest): ((object: KubeObject) => boolean) | undefined {
  if (resource.boundary?.converts !== true) return undefined
  const fields = fieldSelectorOf(resource.storage.collection, info.query.get('fieldSelector')).filter(isOwnField)
  if (fields.length === 0) return undefined
  const readers = resource.kind.selectableFields ?? {}
  return (object) =>
    fields.every(({ field, operator, value }) => ((readers[field]?.(object) ?? '') === value) === (operator === '='))
}
const isOwnField = ({ field }: { readonly field: string }): boolean => !field.startsWith('metadata.')

export function filterOfRequest(call: ResourceRequest): Filter {
  const { info, resource } = call
  const { collection } = resource.storage
  const labels = labelSelectorOf(info.query.get('labelSelector'))
  const asked = fieldSelectorOf(collection, info.query.get('fieldSelector'), resource.as?.fieldNames)
  const fields = resource.boundary?.converts === true ? asked.filter((part) => !isOwnField(part)) : asked
  if (info.name !== '' && !fields.some((f) => f.field === 'metadata.name')) {
    // /watch/.../NAME
    return filterOf(collection, info.namespace, labels, [
      ...fields,
      { field: 'metadata.name', operator: '=', value: info.name },
    ])
  }
  return filterOf(collection, info.namespace, labels, fields)
}

const secondsOf = (call: ResourceRequest): number => Math.floor(call.server.clock.now() / 1000)

interface Page {
  readonly entries: readonly Entry[]
  readonly revision: number
  readonly next: string | undefined
  readonly remaining: number | undefined
  /** When the first page of this list was answered; now, unless said. */
  readonly startedSeconds?: number
  readonly state?: { readonly key: string; readonly changedAt: number }
}

export async function list(call: ResourceRequest): Promise<Outcome> {
  const { query } = call.info
  const { collection } = call.resource.storage
  const filter = filterOfRequest(call)
  const limit = limitOf(query.get('limit'))
  const token = query.get('continue') ?? ''
  const match = query.get('resourceVersionMatch') ?? ''
  const revision = parseVersion(query.get('resourceVersion'))
  checkMatch(match, query.get('resourceVersion') ?? '', token)
  const page =
    token !== ''
      ? await nextPage(call, filter, limit, token, revision)
      : match === 'Exact' && revision !== undefined
        ? await pageAt(call, filter, limit, revision, undefined)
        : await firstPage(call, filter, limit, revision)
  return {
    kind: 'list',
    entries: page.entries,
    revision: page.revision,
    continue:
      page.next === undefined
        ? undefined
        : encodeContinue(collection, page.next, page.revision, page.startedSeconds ?? secondsOf(call)),
    remaining: filter.plain ? page.remaining : undefined,
    ...(page.state === undefined ? {} : { state: page.state }),
  }
}

function limitOf(text: string | null): number {
  if (text === null || text === '') return 0
  const limit = Number(text)
  if (!Number.isSafeInteger(limit)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  }
  return Math.max(0, limit)
}

/** 422 for list and watch options that do not go together. */
export const badListOption = (type: FieldError['type'], field: string, message: string): ApiError =>
  invalid('meta.k8s.io', 'ListOptions', '', [{ type, field, message }])

function checkMatch(match: string, version: string, token: string): void {
  const field = 'resourceVersionMatch'
  const forbid = (why: string) => badListOption('FieldValueForbidden', field, `Forbidden: ${why}`)
  if (match === '') return
  if (match !== 'Exact' && match !== 'NotOlderThan') {
    const message = `Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan", ""`
    throw badListOption('FieldValueNotSupported', field, message)
  }
  if (token !== '') throw forbid('resourceVersionMatch is forbidden when continue is provided')
  if (version === '') throw forbid('resourceVersionMatch is forbidden unless resourceVersion is provided')
  if (match === 'Exact' && version === '0') {
    throw forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
  }
}

async function firstPage(
  call: ResourceRequest,
  filter: Filter,
  limit: number,
  revision: number | undefined,
): Promise<Page> {
  const { collection } = call.resource.storage
  if (revision === undefined) await mostRecent(call.server, collection)
  else await notOlderThan(call.server, collection, revision)
  const entries = filter.select()
  const now = collection.revision
  if (limit === 0 || entries.length <= limit) {
    return {
      entries,
      revision: now,
      next: undefined,
      remaining: undefined,
      state: { key: filter.id, changedAt: collection.changedAt },
    }
  }
  const page = entries.slice(0, limit)
  return { entries: page, revision: now, next: page[page.length - 1]?.key, remaining: entries.length - limit }
}

async function nextPage(
  call: ResourceRequest,
  filter: Filter,
  limit: number,
  token: string,
  revision: number | undefined,
): Promise<Page> {
  const { collection } = call.resource.storage
  if (revision !== undefined && revision !== 0) {
    throw badRequest('specifying resource version is not allowed when using continue')
  }
  const { after, revision: from, startedSeconds } = decodeContinue(collection, token)
  if (from <= 0) {
    // An inconsistent continuation: from here on the most recent state.
    await mostRecent(call.server, collection)
    return remainder(collection, filter, limit, after, collection.revision)
  }
  if (secondsOf(call) - startedSeconds > lifetimeSeconds) throw expiredContinue(call, after)
  return { ...(await pageAt(call, filter, limit, from, after)), startedSeconds }
}

async function pageAt(
  call: ResourceRequest,
  filter: Filter,
  limit: number,
  revision: number,
  after: string | undefined,
): Promise<Page> {
  const { server, resource } = call
  const { collection } = resource.storage
  await mostRecent(server, collection)
  if (revision > collection.revision) throw tooLarge(revision, collection.revision)
  if (collection.changedAt <= revision) return remainder(collection, filter, limit, after, revision)
  try {
    return await fromHistory(call, filter, limit, revision, after)
  } catch (error) {
    if (error instanceof FutureRevisionError) throw tooLarge(revision, error.currentRevision)
    if (error instanceof CompactedError) throw gone(call, revision, after, error)
    throw error
  }
}

/** Everything after `after` in the collection as it is. */
function remainder(
  collection: Collection,
  filter: Filter,
  limit: number,
  after: string | undefined,
  revision: number,
): Page {
  const entries: Entry[] = []
  let rest = 0
  for (const entry of collection.range(collection.prefixOf(filter.namespace), after)) {
    if (!filter.matches(entry)) continue
    if (limit === 0 || entries.length < limit) entries.push(entry)
    else rest++
  }
  return {
    entries,
    revision,
    next: rest > 0 ? entries[entries.length - 1]?.key : undefined,
    remaining: rest || undefined,
  }
}

async function fromHistory(
  call: ResourceRequest,
  filter: Filter,
  limit: number,
  revision: number,
  after: string | undefined,
): Promise<Page> {
  const { collection } = call.resource.storage
  const prefix = collection.prefixOf(filter.namespace)
  const entries: Entry[] = []
  let from = after
  for (;;) {
    const chunk = await call.server.store.list(prefix, {
      revision,
      ...(limit > 0 ? { limit: filter.plain ? limit : Math.max(limit, 500) } : {}),
      ...(from === undefined ? {} : { after: from }),
    })
    for (const [i, kv] of chunk.items.entries()) {
      const entry = collection.entryOf(kv)
      from = kv.key
      if (!filter.matches(entry)) continue
      entries.push(entry)
      if (entries.length === limit) {
        const remaining = chunk.items.length - 1 - i + chunk.remaining
        return { entries, revision, next: remaining > 0 ? from : undefined, remaining: remaining || undefined }
      }
    }
    if (chunk.remaining === 0 || chunk.items.length === 0)
      return { entries, revision, next: undefined, remaining: undefined }
  }
}

/** 410: the page's revision is no longer kept. The answer carries a token that goes on with the present state. */
function gone(call: ResourceRequest, revision: number, after: string | undefined, error: CompactedError): ApiError {
  if (after === undefined) {
    return new ApiError(
      'Expired',
      `The resourceVersion for the provided list is too old: ${revision} (${error.compactedRevision})`,
    )
  }
  return expiredContinue(call, after)
}
const expiredContinue = (call: ResourceRequest, after: string): ExpiredContinue =>
  new ExpiredContinue(encodeContinue(call.resource.storage.collection, after, -1, secondsOf(call)))

/** Expired, with a token for going on inconsistently. */
export class ExpiredContinue extends ApiError {
  readonly continueToken: string
  constructor(continueToken: string) {
    super(
      'Expired',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    )
    this.continueToken = continueToken
  }
  override toStatus() {
    const status = super.toStatus()
    return { ...status, metadata: { continue: this.continueToken } }
  }
}
