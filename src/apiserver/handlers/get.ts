// GET of one object.
import { notFound } from '../../api/machinery/errors.ts'
import type { ResourceRequest } from '../context.ts'
import type { Outcome } from '../responders/outcome.ts'
import type { Entry } from '../storage/collection.ts'
import { mostRecent, notOlderThan, parseVersion } from './freshness.ts'

/** The entry that the request names, as fresh as its resourceVersion asks. Throws NotFound. */
export async function currentEntry(call: ResourceRequest): Promise<Entry> {
  const { resource, info, server } = call
  const { collection } = resource.storage
  const text = info.query.get('resourceVersion')
  const revision = call.request.method === 'GET' ? parseVersion(text) : undefined
  if (revision === undefined) await mostRecent(server, collection)
  else await notOlderThan(server, collection, revision)
  const entry = collection.find(info.namespace, info.name)
  if (entry === undefined) throw notFound({ group: resource.group, resource: resource.kind.plural }, info.name)
  return entry
}

export async function get(call: ResourceRequest): Promise<Outcome> {
  return { kind: 'entry', status: 200, entry: await currentEntry(call) }
}
