// Between a request's version of a custom resource and what lies in the store. Every other resource is stored as its
// handlers see it, and passes through here untouched.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ServedResource } from '../resources.ts'
import type { Entry } from './collection.ts'

type Found = KubeObject | Promise<KubeObject>

/** The object of an entry as the request's handlers see it; at once where nobody else has to be asked. Frozen. */
export function objectIn({ boundary, storage }: ServedResource, entry: Entry): Found {
  if (boundary === undefined) return storage.collection.object(entry)
  const found = boundary.objects([entry])
  return found instanceof Promise ? found.then(first) : first(found)
}
function first([object]: readonly KubeObject[]): KubeObject {
  if (object === undefined) throw new Error('a conversion lost its object')
  return object
}

/** An object of the request's version as it is stored. */
export const storedForm = ({ boundary }: ServedResource, object: KubeObject): Found =>
  boundary === undefined ? object : boundary.toStored(object)
