// Which requests a webhook or a policy wants to see: rules, scope, selectors. The answer is the version of the resource in
// which it wants to see them.
import { labelSelectorMatcher } from '../../../api/machinery/labels.ts'
import type { KubeObject, LabelSelector } from '../../../api/machinery/meta.ts'
import { notFound } from '../../../api/machinery/errors.ts'
import type { ServedResource } from '../../resources.ts'
import type { AdmissionRequest } from '../admission.ts'
import { lookUp } from '../lookup.ts'
import type { Attributes } from './attributes.ts'

export interface Rule {
  readonly operations?: readonly string[] | undefined
  readonly apiGroups?: readonly string[] | undefined
  readonly apiVersions?: readonly string[] | undefined
  readonly resources?: readonly string[] | undefined
  readonly scope?: string | undefined
  readonly resourceNames?: readonly string[] | undefined
}
export interface MatchCriteria {
  readonly rules: readonly Rule[]
  readonly excludeRules?: readonly Rule[] | undefined
  readonly matchPolicy?: string | undefined
  readonly namespaceSelector?: LabelSelector | undefined
  readonly objectSelector?: LabelSelector | undefined
}

/** What decides about admission is not itself subject to it, or a mistake there could never be mended. */
const exempt = new Set([
  'validatingwebhookconfigurations',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
])
export const isExempt = ({ resource }: AdmissionRequest): boolean =>
  resource.group === 'admissionregistration.k8s.io' && exempt.has(resource.kind.plural)
/** Policies do not see questions about who somebody is and what they may do; webhooks do. */
export const isExemptFromPolicies = (request: AdmissionRequest): boolean =>
  isExempt(request) || /^auth(entication|orization)\.k8s\.io$/.test(request.resource.group)

const isNamespace = ({ resource }: AdmissionRequest): boolean =>
  resource.group === '' && resource.kind.plural === 'namespaces'

/** The version of the resource that the criteria ask for; undefined where they do not want this request. Throws NotFound
 * where the request's namespace is not there to be asked for its labels. */
export function matchRequest(
  attributes: Attributes,
  criteria: MatchCriteria,
): ServedResource | undefined | Promise<ServedResource | undefined> {
  const { request } = attributes
  const { rules, excludeRules = [], matchPolicy } = criteria
  const version = matchRules(attributes, rules, matchPolicy)
  if (version === undefined) return undefined
  if (!selectsObject(request, criteria.objectSelector)) return undefined
  if (excludeRules.length > 0 && matchRules(attributes, excludeRules, matchPolicy) !== undefined) return undefined
  const { namespaceSelector } = criteria
  if (namespaceSelector === undefined || isEverything(namespaceSelector)) return version
  return selectsNamespace(attributes, namespaceSelector).then((selected) => (selected ? version : undefined))
}

function matchRules(attributes: Attributes, rules: readonly Rule[], policy: string | undefined) {
  const { request } = attributes
  if (rules.some((rule) => ruleMatches(rule, request, request.resource))) return request.resource
  if (policy !== 'Equivalent' && policy !== undefined) return undefined
  for (const version of attributes.equivalents)
    if (rules.some((rule) => ruleMatches(rule, request, version))) return version
  return undefined
}

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value))

function ruleMatches(rule: Rule, request: AdmissionRequest, { group, version, kind }: ServedResource): boolean {
  return (
    has(rule.operations, request.operation) &&
    has(rule.apiGroups, group) &&
    has(rule.apiVersions, version) &&
    (rule.resources ?? []).some((pattern) => resourceMatches(pattern, kind.plural, request.subresource)) &&
    scopeMatches(rule.scope, request) &&
    ((rule.resourceNames ?? []).length === 0 || (rule.resourceNames ?? []).includes(request.name))
  )
}
function resourceMatches(pattern: string, resource: string, subresource: string): boolean {
  const slash = pattern.indexOf('/')
  const wanted = slash < 0 ? pattern : pattern.slice(0, slash)
  const part = slash < 0 ? '' : pattern.slice(slash + 1)
  return (wanted === '*' || wanted === resource) && (part === '*' || part === subresource)
}
function scopeMatches(scope: string | undefined, request: AdmissionRequest): boolean {
  if (scope === 'Namespaced') return request.namespace !== '' && !isNamespace(request)
  return scope !== 'Cluster' || request.namespace === '' || isNamespace(request)
}

const isEverything = (selector: LabelSelector): boolean =>
  Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0

/** True where the object as it is or as it was is selected. */
function selectsObject({ object, oldObject }: AdmissionRequest, selector: LabelSelector | undefined): boolean {
  if (selector === undefined || isEverything(selector)) return true
  const matches = labelSelectorMatcher(selector)
  const selected = (it: { readonly metadata?: { readonly labels?: unknown } } | undefined) =>
    it?.metadata !== undefined && matches(it.metadata.labels as Record<string, string> | undefined)
  return selected(object as unknown as KubeObject | undefined) || selected(oldObject)
}

async function selectsNamespace(attributes: Attributes, selector: LabelSelector): Promise<boolean> {
  const { request } = attributes
  const matches = labelSelectorMatcher(selector)
  if (isNamespace(request) && (request.operation === 'CREATE' || request.operation === 'UPDATE')) {
    return matches((request.object as unknown as KubeObject).metadata.labels as Record<string, string> | undefined)
  }
  if (attributes.namespace === '') return true
  const found = await namespaceOf(attributes)
  if (found === undefined) throw notFound({ group: '', resource: 'namespaces' }, attributes.namespace)
  return matches(found.metadata.labels as Record<string, string> | undefined)
}

/** The request's Namespace object. */
export const namespaceOf = (attributes: Attributes): Promise<KubeObject | undefined> =>
  attributes.namespace === ''
    ? Promise.resolve(undefined)
    : lookUp<KubeObject>(attributes.server, '', 'namespaces', '', attributes.namespace)
