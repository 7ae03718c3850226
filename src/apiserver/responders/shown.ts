// Answers about custom resources whose versions differ: outcomes and watch events speak of what lies in the store, and
// are brought into the request's version here. Events keep their order although a conversion may take its time.
import { ApiError } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ResourceRequest } from '../context.ts'
import type { Sink, StreamHandle } from '../request.ts'
import type { ServedResource } from '../resources.ts'
import { objectIn } from '../storage/boundary.ts'
import type { Entry } from '../storage/collection.ts'
import type { EventFormat, EventType } from '../watch/hub.ts'
import type { Outcome } from './outcome.ts'

/** The outcome in the version of the request. */
export async function shownOutcome({ resource }: ResourceRequest, outcome: Outcome): Promise<Outcome> {
  if (resource.boundary === undefined) return outcome
  if (outcome.kind === 'entry') {
    return { kind: 'unstored', status: outcome.status, object: await objectIn(resource, outcome.entry) }
  }
  if (outcome.kind !== 'list') return outcome
  const { state: _, ...rest } = outcome
  return { ...rest, objects: await resource.boundary.objects(outcome.entries) }
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
  resource: ServedResource,
  open: (sink: Sink<readonly RawEvent[]>) => StreamHandle,
  writer: EventWriter<F>,
  sink: Sink<F>,
): StreamHandle {
  let queue: RawEvent[] = []
  let running = false
  let ended = false
  let closed = false
  let blocked = false
  let held = false
  const frameOf = async (raw: RawEvent): Promise<F> => {
    if (raw.kind === 'bookmark') return writer.bookmark(raw.revision, raw.initialEventsEnd)
    if (raw.kind === 'error') return writer.error(raw.error)
    return writer.event(raw.type, atRevision(await objectIn(resource, raw.entry), raw.revision))
  }
  const run = async () => {
    running = true
    while (!closed && !blocked) {
      const next = queue.shift()
      if (next === undefined) break
      const frame = await frameOf(next)
      if (!closed) blocked = !sink.write(frame)
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

/** Objects that left a selector, or the store, are shown with the revision at which they did. */
function atRevision(object: KubeObject, revision: number): KubeObject {
  if (object.metadata.resourceVersion === String(revision)) return object
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } }
}
