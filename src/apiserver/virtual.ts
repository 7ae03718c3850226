// Resources that are told, not stored: a POST is answered at once and nothing remains.
import type { ResourceRequest } from './context.ts'
import type { ServedResource } from './resources.ts'
import type { Outcome } from './responders/outcome.ts'
import { accessReview, selfAccessReview, selfRulesReview, selfSubjectReview, tokenReview } from './reviews.ts'
import { bindPod } from './subresources/pod-binding.ts'

/** Handlers of POST by group and plural. */
const virtual: Readonly<Record<string, (call: ResourceRequest) => Promise<Outcome>>> = {
  '/bindings': bindPod,
  'authentication.k8s.io/selfsubjectreviews': selfSubjectReview,
  'authentication.k8s.io/tokenreviews': tokenReview,
  'authorization.k8s.io/localsubjectaccessreviews': accessReview,
  'authorization.k8s.io/selfsubjectaccessreviews': selfAccessReview,
  'authorization.k8s.io/selfsubjectrulesreviews': selfRulesReview,
  'authorization.k8s.io/subjectaccessreviews': accessReview,
}

export const virtualHandler = ({ kind }: ServedResource) => virtual[`${kind.group}/${kind.plural}`]
