// Answers about custom resources whose versions differ: outcomes and watch events speak of what lies in the store, and
// are brought into the request's version here. Events keep their order although a conversion may take its time.
import { ApiError } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ResourceRequest } from '../context.ts'
import type { Sink, StreamHandle } from '../request.ts'
import type { ServedResource } from '../resources.ts'
import { shownFieldsOf } from '../handlers/list.ts'
import { objectIn } from '../storage/boundary.ts'
import type { Entry } from '../storage/collection.ts'
import type { EventFormat, EventType } from '../watch/hub.ts'
import type { Outcome } from './outcome.ts'

/** The outcome in the version of the request. */
export async function shownOutcome(call: ResourceRequest, outcome: Outcome): Promise<Outcome> {
  const { resource } = call
  if (resource.boundary === undefined) return outcome
  if (outcome.kind === 'entry') {
    return { kind: 'unstored', status: outcome.status, object: await objectIn(resource, outcome.entry) }
  }
  if (outcome.kind !== 'list') return outcome
  const { state: _, ...rest } = outcome
  const objects = await resource.boundary.objects(outcome.entries)
  const fields = shownFieldsOf(call)
  return { ...rest, objects: fields === undefined ? objects : objects.filter(fields) }
}

type RawEvent =
  | { readonly kind: 'event'; readonly type: EventType; readonly entry: Entry; readonly revision: number }
  | { readonly kind: 'bookmark'; readonly revision: number; readonly initialEventsEnd: boolean }
  | { readonly kind: 'error'; readonly error: unknown }

/** Events as the store has them, to be shown by `shownSink`. */
export const rawEvents = (resource: ServedResource): EventFormat<readonly RawEvent[]> => ({
  id: `raw ${resource.apiVersion}`,
  event: (type, entry, revision) => [{ kind: 'event', type, entry, revision }],
  bookmark: (revision, initialEventsEnd) => [{ kind: 'bookmark', revision, initialEventsEnd }],
  join: (frames) => frames.flat(),
  error: (error) => [{ kind: 'error', error }],
  sizeOf: (frame) => frame.length * 1024,
})

/** How one kind of client sees the pieces of a watch. */
export interface EventWriter<F> {
  event(type: EventType, object: KubeObject): F
  bookmark(revision: number, initialEventsEnd: boolean): F
  error(error: unknown): F
}

/** Events that wait for a conversion or a slow receiver; beyond it the producer is told to wait. */
const highWater = 1000

/** Opens a watch of raw events whose frames reach `sink` converted and in order. A conversion that fails ends it with an
 * ERROR event. */
export function openShown<F>(
  call: ResourceRequest,
  open: (sink: Sink<readonly RawEvent[]>) => StreamHandle,
  writer: EventWriter<F>,
  sink: Sink<F>,
): StreamHandle {
  const { resource } = call
  const selection = selectionOf(call)
  let queue: RawEvent[] = []
  let running = false
  let ended = false
  let closed = false
  let blocked = false
  let held = false
  const frameOf = async (raw: RawEvent): Promise<F | undefined> => {
    if (raw.kind === 'bookmark') return writer.bookmark(raw.revision, raw.initialEventsEnd)
    if (raw.kind === 'error') return writer.error(raw.error)
    const object = await objectIn(resource, raw.entry)
    const type = selection === undefined ? raw.type : await selection(raw.type, raw.entry, object)
    return type === undefined ? undefined : writer.event(type, atRevision(object, raw.revision))
  }
  const run = async () => {
    running = true
    while (!closed && !blocked) {
      const next = queue.shift()
      if (next === undefined) break
      const frame = await frameOf(next)
      if (!closed && frame !== undefined) blocked = !sink.write(frame)
      if (held && queue.length < highWater) {
        held = false
        handle.drained()
      }
    }
    running = false
    if (ended && queue.length === 0 && !closed) sink.end()
  }
  const start = () => {
    if (running || closed) return
    run().catch((error: unknown) => {
      if (closed) return
      const known = error instanceof ApiError ? error : new ApiError('InternalError', String(error))
      sink.write(writer.error(known))
      closed = true
      handle.close()
      sink.end()
    })
  }
  const handle = open({
    write(events) {
      queue.push(...events)
      start()
      held = queue.length >= highWater
      return !held
    },
    end() {
      ended = true
      start()
    },
  })
  return {
    drained() {
      blocked = false
      start()
    },
    close() {
      closed = true
      queue = []
      handle.close()
    },
  }
}

/** What an event is to a watch whose field selector only the shown object can answer: objects come into it and leave it
 * as they change. Undefined where it never saw the object. */
function selectionOf(
  call: ResourceRequest,
): ((type: EventType, entry: Entry, object: KubeObject) => Promise<EventType | undefined>) | undefined {
  const { boundary, storage } = call.resource
  const selects = shownFieldsOf(call)
  if (selects === undefined || boundary === undefined) return undefined
  // What a watch that begins now has in it already: the client has listed it.
  const now = storage.collection.all(call.info.namespace)
  const inside = Promise.resolve(boundary.objects(now)).then(
    (objects) => new Set(now.filter((_, i) => selects(objects[i] as KubeObject)).map(({ key }) => key)),
  )
  return async (type, entry, object) => {
    const known = await inside
    const was = known.has(entry.key)
    if (type !== 'DELETED' && selects(object)) {
      known.add(entry.key)
      return type === 'ADDED' || !was ? 'ADDED' : 'MODIFIED'
    }
    known.delete(entry.key)
    return was ? 'DELETED' : undefined
  }
}

/** Objects that left a selector, or the store, are shown with the revision at which they did. */
function atRevision(object: KubeObject, revision: number): KubeObject {
  if (object.metadata.resourceVersion === String(revision)) return object
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } }
}
