// Arguments of the default plugins: which there are, and which values make sense
// (https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/).
import { type NodeAffinity, nodeAffinity } from './api/core/affinity.ts'
import { isExtendedResource } from './api/core/resource-validation.ts'
import { validateNodeSelector, validateNodeSelectorTerm } from './api/core/selector-validation.ts'
import { topologySpreadConstraint } from './api/core/topology.ts'
import { decode, DecodeError } from './api/machinery/decode.ts'
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from './api/machinery/errors.ts'
import {
  array,
  boolean,
  enumeration,
  int32,
  int64,
  object,
  type ObjectSchema,
  optional,
  string,
} from './api/machinery/schema.ts'
import { isQualifiedName } from './api/machinery/validation.ts'
import type { DefaultPreemptionArgs } from './scheduler/plugins/default-preemption.ts'
import type { InterPodAffinityArgs } from './scheduler/plugins/inter-pod-affinity.ts'
import type { PodTopologySpreadArgs } from './scheduler/plugins/pod-topology-spread.ts'
import type { FitArgs, ResourceWeight } from './scheduler/plugins/scoring-strategy.ts'

const typeMeta = { apiVersion: optional(0, string()), kind: optional(0, string()) }
const resourceSpecs = array(object('', { name: optional(0, string()), weight: optional(0, int64()) }))
const shape = array(object('', { utilization: optional(0, int32()), score: optional(0, int32()) }))
/** Arguments of the plugins that take any. */
const argsOf: Readonly<Record<string, ObjectSchema<unknown>>> = {
  DefaultPreemption: object('', {
    ...typeMeta,
    minCandidateNodesPercentage: optional(0, int32()),
    minCandidateNodesAbsolute: optional(0, int32()),
  }),
  DynamicResources: object('', {
    ...typeMeta,
    filterTimeout: optional(0, string()),
    bindingTimeout: optional(0, string()),
  }),
  InterPodAffinity: object('', {
    ...typeMeta,
    hardPodAffinityWeight: optional(0, int32()),
    ignorePreferredTermsOfExistingPods: optional(0, boolean()),
  }),
  NodeAffinity: object('', { ...typeMeta, addedAffinity: optional(0, nodeAffinity) }),
  NodeResourcesBalancedAllocation: object('', { ...typeMeta, resources: optional(0, resourceSpecs) }),
  NodeResourcesFit: object('', {
    ...typeMeta,
    ignoredResources: optional(0, array(string())),
    ignoredResourceGroups: optional(0, array(string())),
    scoringStrategy: optional(
      0,
      object('', {
        type: optional(0, enumeration('LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio')),
        resources: optional(0, resourceSpecs),
        requestedToCapacityRatio: optional(0, object('', { shape: optional(0, shape) })),
      }),
    ),
  }),
  PodTopologySpread: object('', {
    ...typeMeta,
    defaultConstraints: optional(0, array(topologySpreadConstraint)),
    defaultingType: optional(0, enumeration('System', 'List')),
  }),
  VolumeBinding: object('', { ...typeMeta, bindTimeoutSeconds: optional(0, int64()) }),
}

type Rule = (args: never, at: string) => readonly FieldError[]
const outside = (value: number | undefined, low: number, high: number): boolean =>
  value !== undefined && (value < low || value > high)
const range = (value: number | undefined, low: number, high: number, at: string): FieldError[] =>
  outside(value, low, high) ? [invalidField(at, value, `not in valid range [${low}-${high}]`)] : []

function validateResources(resources: readonly ResourceWeight[] | undefined, at: string, most = 100): FieldError[] {
  const seen = new Set<string>()
  return (resources ?? []).flatMap(({ name, weight }, i) => {
    const here = `${at}[${i}]`
    const errors: FieldError[] = isQualifiedName(name).map((message) => invalidField(`${here}.name`, name, message))
    if (seen.has(name)) errors.push(duplicateField(here, name))
    seen.add(name)
    if (weight !== undefined && outside(weight, 1, most))
      errors.push(
        invalidField(
          `${here}.weight`,
          weight,
          most === 1 ? 'resource weight must be 1' : `resource weight of ${name} not in valid range [1, ${most}]`,
        ),
      )
    return errors
  })
}
function validateFit({ ignoredResources, ignoredResourceGroups, scoringStrategy }: FitArgs, at: string): FieldError[] {
  const errors: FieldError[] = []
  ignoredResources?.forEach((name, i) => {
    if (!isExtendedResource(name))
      errors.push(invalidField(`${at}.ignoredResources[${i}]`, name, "doesn't follow extended resource name standard"))
  })
  ignoredResourceGroups?.forEach((group, i) => {
    const here = `${at}.ignoredResourceGroups[${i}]`
    if (group.includes('/')) errors.push(invalidField(here, group, "resource group name can't contain '/'"))
    else for (const message of isQualifiedName(group)) errors.push(invalidField(here, group, message))
  })
  if (scoringStrategy === undefined) return errors
  const { type, resources, requestedToCapacityRatio } = scoringStrategy
  errors.push(...validateResources(resources, `${at}.scoringStrategy.resources`))
  if (type !== 'RequestedToCapacityRatio') return errors
  const where = `${at}.scoringStrategy.requestedToCapacityRatio`
  const shape = requestedToCapacityRatio?.shape ?? []
  if (requestedToCapacityRatio === undefined)
    return [...errors, requiredField(where, 'requestedToCapacityRatio is required')]
  if (shape.length === 0) errors.push(requiredField(`${where}.shape`, 'at least one point must be specified'))
  shape.forEach(({ utilization = 0, score = 0 }, i) => {
    const here = `${where}.shape[${i}]`
    errors.push(...range(utilization, 0, 100, `${here}.utilization`), ...range(score, 0, 10, `${here}.score`))
    if (i > 0 && utilization <= (shape[i - 1]?.utilization ?? 0))
      errors.push(
        invalidField(`${here}.utilization`, utilization, 'utilization values must be sorted in increasing order'),
      )
  })
  return errors
}
function validateSpread(
  { defaultingType = 'System', defaultConstraints = [] }: PodTopologySpreadArgs,
  at: string,
): FieldError[] {
  const errors: FieldError[] = []
  if (defaultingType === 'System' && defaultConstraints.length > 0)
    errors.push(invalidField(`${at}.defaultingType`, defaultingType, 'when .defaultConstraints are not empty'))
  const seen = new Set<string>()
  defaultConstraints.forEach((constraint, i) => {
    const { maxSkew, topologyKey, whenUnsatisfiable } = constraint
    const here = `${at}.defaultConstraints[${i}]`
    if (!(maxSkew > 0)) errors.push(invalidField(`${here}.maxSkew`, maxSkew, 'not in valid range (0, inf)'))
    if (!topologyKey) errors.push(requiredField(`${here}.topologyKey`, 'can not be empty'))
    const ways = ['DoNotSchedule', 'ScheduleAnyway']
    if (!ways.includes(whenUnsatisfiable))
      errors.push(notSupportedField(`${here}.whenUnsatisfiable`, whenUnsatisfiable, ways))
    if ('labelSelector' in constraint)
      errors.push(
        forbiddenField(`${here}.labelSelector`, 'constraint must not define a selector, as they deduced for each pod'),
      )
    const key = `{${topologyKey}, ${whenUnsatisfiable}}`
    if (seen.has(key)) errors.push(duplicateField(here, key))
    seen.add(key)
  })
  return errors
}
function validateAddedAffinity(
  { addedAffinity: added }: { readonly addedAffinity?: NodeAffinity },
  at: string,
): FieldError[] {
  const [required, preferred] = [
    'requiredDuringSchedulingIgnoredDuringExecution',
    'preferredDuringSchedulingIgnoredDuringExecution',
  ] as const
  const terms = added?.[preferred] ?? []
  return [
    ...(added?.[required] === undefined
      ? []
      : validateNodeSelector(added[required], `${at}.addedAffinity.${required}`)),
    ...terms.flatMap(({ weight, preference }, i) => [
      ...range(weight, 1, 100, `${at}.addedAffinity.${preferred}[${i}].weight`),
      ...validateNodeSelectorTerm(preference, `${at}.addedAffinity.${preferred}[${i}].preference`),
    ]),
  ]
}
const rules: Readonly<Record<string, Rule>> = {
  DefaultPreemption: (
    { minCandidateNodesPercentage: share, minCandidateNodesAbsolute: count }: DefaultPreemptionArgs,
    at,
  ) => [
    ...range(share, 0, 100, `${at}.minCandidateNodesPercentage`),
    ...(count !== undefined && count < 0
      ? [invalidField(`${at}.minCandidateNodesAbsolute`, count, 'not in valid range [0, inf)')]
      : []),
    ...(share === 0 && count === 0
      ? [
          invalidField(
            `${at}.minCandidateNodesPercentage`,
            share,
            'cannot be zero at the same time as minCandidateNodesAbsolute',
          ),
        ]
      : []),
  ],
  InterPodAffinity: ({ hardPodAffinityWeight: weight }: InterPodAffinityArgs, at) =>
    range(weight, 0, 100, `${at}.hardPodAffinityWeight`),
  NodeAffinity: validateAddedAffinity,
  NodeResourcesBalancedAllocation: ({ resources }: { readonly resources?: readonly ResourceWeight[] }, at) =>
    validateResources(resources, `${at}.resources`, 1),
  NodeResourcesFit: validateFit,
  PodTopologySpread: validateSpread,
  VolumeBinding: ({ bindTimeoutSeconds: seconds }: { readonly bindTimeoutSeconds?: number }, at) =>
    seconds !== undefined && seconds < 0
      ? [
          invalidField(
            `${at}.bindTimeoutSeconds`,
            seconds,
            'invalid BindTimeoutSeconds, should not be a negative value',
          ),
        ]
      : [],
}

/** What is wrong with the arguments of a plugin; nothing is known of plugins that are not ours. */
export function validatePluginArgs(name: string, args: unknown, at: string): FieldError[] {
  const expected = argsOf[name]
  if (args === undefined || expected === undefined) return []
  try {
    const [unknown] = decode(expected, args).unknownFields
    if (unknown !== undefined) return [forbiddenField(`${at}.${unknown}`, `${name}Args has no such field`)]
  } catch (error) {
    if (error instanceof DecodeError) return [invalidField(at, name, error.message)]
    throw error
  }
  const { kind } = args as { readonly kind?: string }
  if (kind !== undefined && kind !== `${name}Args`) return [invalidField(`${at}.kind`, kind, `must be ${name}Args`)]
  return [...(rules[name]?.(args as never, at) ?? [])]
}
