// GET with watch=true: what is there (where the client wants it), what has happened since its resourceVersion, then
// every change as it comes. A watch never misses a change and never repeats one; when it cannot keep that promise it
// says Expired and ends.
import { badRequest, expired } from '../../api/machinery/errors.ts'
import { CompactedError, type StoreEvent } from '../../store/store.ts'
import type { ResourceRequest } from '../context.ts'
import type { Sink, StreamHandle } from '../request.ts'
import { isTrue } from '../request-info.ts'
import type { Change, Entry } from '../storage/collection.ts'
import type { Filter } from '../watch/filter.ts'
import { type EventFormat, transition } from '../watch/hub.ts'
import { Watcher } from '../watch/watcher.ts'
import { mostRecent, notOlderThan, parseVersion } from './freshness.ts'
import { badListOption, filterOfRequest } from './list.ts'

const minTimeoutSeconds = 1800

/** What a watch begins with. */
interface Start {
  /** Objects to send as ADDED first. */
  readonly initial: readonly Entry[]
  /** Changes that came after the asked revision. */
  readonly changes: readonly Change[]
  readonly bookmarkAfterInitial: boolean
}

export interface WatchAnswer<F> {
  readonly open: (sink: Sink<F>) => StreamHandle
}

/** Prepares a watch; the answer's `open` begins to deliver. Throws Expired when its revision is no longer kept. */
export async function watch<F>(call: ResourceRequest, format: EventFormat<F>): Promise<WatchAnswer<F>> {
  const { server, resource, info } = call
  const { collection, hub } = resource.storage
  const filter = filterOfRequest(call)
  const revision = parseVersion(info.query.get('resourceVersion'))
  const bookmarks = isTrue(info.query.get('allowWatchBookmarks'))
  const wantsInitial = info.query.get('sendInitialEvents')
  checkInitial(call, wantsInitial)
  const sendInitial = wantsInitial === null ? revision === undefined || revision === 0 : isTrue(wantsInitial)
  if (revision === undefined || revision === 0) await mostRecent(server, collection)
  else await notOlderThan(server, collection, revision)
  let past: readonly Change[] = []
  if (!sendInitial && revision !== undefined && revision > 0) {
    past = collection.since(revision) ?? (await pastChanges(call, filter, revision))
  }
  const timeoutMs = timeoutOf(call)
  return {
    open(sink) {
      // From here to subscribe() nothing else runs: what `since` answers and what the hub delivers meet without a gap.
      const start: Start = {
        initial: sendInitial ? filter.select() : [],
        changes: sendInitial || revision === undefined || revision === 0 ? [] : (collection.since(revision) ?? past),
        bookmarkAfterInitial: sendInitial && bookmarks && wantsInitial !== null,
      }
      const watcher = new Watcher(sink, format, {
        clock: server.clock,
        timeoutMs,
        bookmarks,
        revision: () => collection.revision,
      })
      for (const frame of startFrames(start, filter, format, collection.revision)) watcher.deliver(frame)
      watcher.onEnd(hub.subscribe(filter, format, watcher))
      return watcher
    },
  }
}

function* startFrames<F>(start: Start, filter: Filter, format: EventFormat<F>, revision: number): Iterable<F> {
  for (const entry of start.initial) yield format.event('ADDED', entry, entry.modRevision)
  if (start.bookmarkAfterInitial) yield format.bookmark(revision, true)
  for (const change of start.changes) {
    const event = transition(filter, change)
    if (event !== undefined) yield format.event(event.type, event.entry, change.revision)
  }
}

function checkInitial(call: ResourceRequest, wantsInitial: string | null): void {
  const match = call.info.query.get('resourceVersionMatch') ?? ''
  const forbid = (why: string) => badListOption('FieldValueForbidden', 'resourceVersionMatch', `Forbidden: ${why}`)
  if (wantsInitial === null) {
    if (match !== '') {
      throw forbid('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided')
    }
    return
  }
  if (match !== 'NotOlderThan') {
    throw forbid('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan')
  }
}

/** Milliseconds until the watch ends by itself: what was asked, or half an hour to an hour. */
function timeoutOf(call: ResourceRequest): number {
  const text = call.info.query.get('timeoutSeconds')
  const asked = text === null ? 0 : Number(text)
  if (!Number.isSafeInteger(asked))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  return asked > 0 ? asked * 1000 : minTimeoutSeconds * 1000 * (1 + call.server.random.float())
}

/** Changes after `revision` that the collection no longer remembers, read from the store's history. */
function pastChanges(call: ResourceRequest, filter: Filter, revision: number): Promise<readonly Change[]> {
  const { server, resource } = call
  const { collection } = resource.storage
  const until = collection.revision
  const changes: Change[] = []
  return new Promise((done, fail) => {
    const finish = () => {
      handle.close()
      // What has happened meanwhile is in the collection's own memory.
      const rest = collection.since(until)
      if (rest === undefined) fail(expired(`too old resource version: ${revision} (${until})`))
      else done([...changes, ...rest])
    }
    const handle = server.store.watch(collection.prefixOf(filter.namespace), {
      fromRevision: revision + 1,
      onEvents(events, at) {
        if (at <= until) for (const event of events) changes.push(changeOf(call, event, at))
        if (at >= until) queueMicrotask(finish)
      },
      onProgress(at) {
        if (at >= until) queueMicrotask(finish)
      },
      onError(error) {
        handle.close()
        if (error instanceof CompactedError) {
          fail(expired(`too old resource version: ${revision} (${error.compactedRevision})`))
        } else fail(error)
      },
    })
  })
}

function changeOf(call: ResourceRequest, event: StoreEvent, revision: number): Change {
  const { collection } = call.resource.storage
  if (event.type === 'delete') return { revision, entry: undefined, previous: collection.entryOf(event.previous) }
  return {
    revision,
    entry: collection.entryOf(event.kv),
    previous: event.previous === undefined ? undefined : collection.entryOf(event.previous),
  }
}
