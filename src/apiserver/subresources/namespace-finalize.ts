// PUT namespaces/NAME/finalize: the only way to take a finalizer out of a namespace's spec. When the last one goes from a
// namespace that is being deleted, the namespace goes with it.
import type { Namespace } from '../../api/core/namespace.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import { validateStatusUpdate } from '../../api/machinery/validate.ts'
import type { ResourceRequest } from '../context.ts'
import { take } from '../handlers/checks.ts'
import { updateUnder, type UpdateRule } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'

const rule = (call: ResourceRequest): UpdateRule => ({
  subresource: 'finalize',
  carryOver(draft, old) {
    const { finalizers } = (draft as unknown as Namespace).spec ?? {}
    const { resourceVersion } = draft.metadata
    take('metadata', draft, { metadata: { ...draftOf(old.metadata), resourceVersion } })
    take('status', draft, old)
    take('spec', draft, { spec: finalizers === undefined || finalizers.length === 0 ? {} : { finalizers } })
  },
  validate: (object, old, context) => validateStatusUpdate(call.resource.kind, object, old, context),
})

export const finalizeNamespace = (call: ResourceRequest): Promise<Outcome> => updateUnder(call, rule(call))
