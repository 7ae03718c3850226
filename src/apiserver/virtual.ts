// Resources that are told, not stored: a review or a measurement is answered at once and nothing remains.
import { readComponentStatuses } from './component-statuses.ts'
import type { ResourceRequest } from './context.ts'
import type { ServedResource } from './resources.ts'
import type { Outcome } from './responders/outcome.ts'
import { accessReview, selfAccessReview, selfRulesReview, selfSubjectReview, tokenReview } from './reviews.ts'
import { readNodeMetrics, readPodMetrics } from './resource-metrics/resource-metrics.ts'
import { bindPod } from './subresources/pod-binding.ts'

type VirtualHandler = (call: ResourceRequest) => Promise<Outcome>
/** Handlers by group and plural, then by verb. */
const virtual: Readonly<Record<string, { readonly [verb: string]: VirtualHandler }>> = {
  '/bindings': { create: bindPod },
  '/componentstatuses': { get: readComponentStatuses, list: readComponentStatuses },
  'authentication.k8s.io/selfsubjectreviews': { create: selfSubjectReview },
  'authentication.k8s.io/tokenreviews': { create: tokenReview },
  'authorization.k8s.io/localsubjectaccessreviews': { create: accessReview },
  'authorization.k8s.io/selfsubjectaccessreviews': { create: selfAccessReview },
  'authorization.k8s.io/selfsubjectrulesreviews': { create: selfRulesReview },
  'authorization.k8s.io/subjectaccessreviews': { create: accessReview },
  'metrics.k8s.io/nodes': { get: readNodeMetrics, list: readNodeMetrics },
  'metrics.k8s.io/pods': { get: readPodMetrics, list: readPodMetrics },
}

type VirtualHandlers = (typeof virtual)[string]
const none: VirtualHandlers = {}
const ofKind = new WeakMap<ServedResource['kind'], VirtualHandlers>()
export function virtualHandler({ kind }: ServedResource, verb: string): VirtualHandler | undefined {
  let known = ofKind.get(kind)
  if (known === undefined) ofKind.set(kind, (known = virtual[`${kind.group}/${kind.plural}`] ?? none))
  return known[verb]
}
