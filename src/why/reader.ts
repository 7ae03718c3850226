// What an explanation may look at: the API, with the rights of whoever asks. What the asker may not see is left out.
import { type Event, events } from '../api/core/event.ts'
import { ApiError } from '../api/machinery/errors.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { Client } from '../client/client.ts'
import type { SchedulingAdvice } from './scheduling-advice.ts'

export interface Reader {
  readonly client: Client
  readonly nowMs: number
  readonly advice: SchedulingAdvice | undefined
}

/** Undefined where it is not there; 'hidden' where the asker may not look. */
export async function look<T extends KubeObject>(
  { client }: Reader,
  kind: Kind<T>,
  name: string,
  namespace?: string,
): Promise<T | undefined | 'hidden'> {
  return unlessHidden(client.resource(kind).find(name, namespace))
}
/** All there are, or those of the selector; none where the asker may not look. */
export async function listed<T extends KubeObject>(
  { client }: Reader,
  kind: Kind<T>,
  query: { readonly namespace?: string; readonly labelSelector?: string; readonly fieldSelector?: string } = {},
): Promise<readonly T[]> {
  const found = await unlessHidden(client.resource(kind).list(query))
  return found === 'hidden' ? [] : found.items
}
/** The boundary where a refusal of the server becomes something that is not known. */
async function unlessHidden<T>(answer: Promise<T>): Promise<T | 'hidden'> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiError && (error.reason === 'Forbidden' || error.reason === 'Unauthorized')) return 'hidden'
    throw error
  }
}

export const lastSeen = (event: Event): string =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp
/** Events about an object, the newest first. */
export const eventsOf = (reader: Reader, { metadata }: KubeObject): Promise<readonly Event[]> =>
  eventsWhere(reader, metadata.namespace, `involvedObject.uid=${metadata.uid}`)
/** The same for a node, which its agent calls by its name. */
export const eventsOfNode = (reader: Reader, name: string): Promise<readonly Event[]> =>
  eventsWhere(reader, 'default', `involvedObject.kind=Node,involvedObject.name=${name}`)
async function eventsWhere(
  reader: Reader,
  namespace: string | undefined,
  fieldSelector: string,
): Promise<readonly Event[]> {
  const found = await listed(reader, events, { ...(namespace === undefined ? {} : { namespace }), fieldSelector })
  return [...found].sort((a, b) => (lastSeen(a) < lastSeen(b) ? 1 : -1))
}
export const newest = (found: readonly Event[], ...reasons: readonly string[]): Event | undefined =>
  found.find(({ reason }) => reasons.includes(reason ?? ''))

/** The last lines of a container's log before its last end, the latest last; none where there is no log. */
export async function lastWords({ client }: Reader, pod: KubeObject, container: string): Promise<readonly string[]> {
  const { namespace = '', name } = pod.metadata
  const query = `container=${encodeURIComponent(container)}&tailLines=3`
  for (const previous of ['&previous=true', '']) {
    const { status, text } = await client.raw(`/api/v1/namespaces/${namespace}/pods/${name}/log?${query}${previous}`)
    if (status === 200) return text.split('\n').filter((line) => line !== '')
  }
  return []
}

/** "12s", "5m", "3h", "2d": how long ago. */
export function since({ nowMs }: Pick<Reader, 'nowMs'>, time: string | undefined): string {
  const seconds = time === undefined ? 0 : Math.max(0, Math.floor((nowMs - Date.parse(time)) / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}
