// Who set which field (metadata.managedFields) is recorded here on every write.
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'

/** Drops what a client claims about field managers of a new object. */
export function recordCreate(_call: ResourceRequest, draft: ObjectDraft): void {
  delete draft.metadata.managedFields
}
