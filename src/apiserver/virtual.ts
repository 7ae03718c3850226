// Resources that are told, not stored: a POST is answered at once and nothing remains.
import type { ResourceRequest } from './context.ts'
import type { Outcome } from './responders/outcome.ts'
import { bindPod } from './subresources/pod-binding.ts'
import type { ServedResource } from './resources.ts'

/** Handlers of POST by group and plural. */
const virtual: Readonly<Record<string, (call: ResourceRequest) => Promise<Outcome>>> = {
  '/bindings': bindPod,
}

export const virtualHandler = ({ kind }: ServedResource) => virtual[`${kind.group}/${kind.plural}`]
