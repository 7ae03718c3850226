// scheduling.k8s.io/v1alpha2: Workload and PodGroup, pods that are placed together (KEP-4671). Off unless asked for.
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  any,
  array,
  defaulted,
  type Infer,
  int32,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { conditions } from './parts.ts'

const P = 'io.k8s.api.scheduling.v1alpha2.'
const typedLocalObjectReference = object(`${P}TypedLocalObjectReference`, {
  apiGroup: optional(1, string()),
  kind: required(2, string()),
  name: required(3, string()),
})
const basicSchedulingPolicy = any(`${P}BasicSchedulingPolicy`)
const gangSchedulingPolicy = object(`${P}GangSchedulingPolicy`, {
  minCount: required(1, int32()),
})
const podGroupSchedulingPolicy = object(
  `${P}PodGroupSchedulingPolicy`,
  {
    basic: optional(1, basicSchedulingPolicy),
    gang: optional(2, gangSchedulingPolicy),
  },
  { unions: [{ fields: { basic: 'Basic', gang: 'Gang' } }] },
)
const topologyConstraint = object(`${P}TopologyConstraint`, {
  key: required(1, string()),
})
const podGroupSchedulingConstraints = object(`${P}PodGroupSchedulingConstraints`, {
  topology: optional(1, array(topologyConstraint, { listType: 'atomic' })),
})
const podGroupResourceClaim = object(`${P}PodGroupResourceClaim`, {
  name: required(1, string()),
  resourceClaimName: optional(2, string()),
  resourceClaimTemplateName: optional(3, string()),
})
const podGroupResourceClaims = array(podGroupResourceClaim, {
  listType: 'map',
  listMapKeys: ['name'],
  patchStrategy: 'merge,retainKeys',
  patchMergeKey: 'name',
})
const podGroupTemplate = object(`${P}PodGroupTemplate`, {
  name: required(1, string()),
  schedulingPolicy: required(2, podGroupSchedulingPolicy),
  schedulingConstraints: optional(3, podGroupSchedulingConstraints),
  resourceClaims: optional(4, podGroupResourceClaims),
  disruptionMode: optional(5, string()),
  priorityClassName: optional(6, string()),
  priority: optional(7, int32()),
})
const workloadSpec = object(`${P}WorkloadSpec`, {
  controllerRef: optional(1, typedLocalObjectReference),
  podGroupTemplates: required(2, array(podGroupTemplate, { listType: 'map', listMapKeys: ['name'] })),
})
const workload = kindSchema(`${P}Workload`, {
  spec: required(2, workloadSpec),
})
const workloadPodGroupTemplateReference = object(`${P}WorkloadPodGroupTemplateReference`, {
  workloadName: required(1, string()),
  podGroupTemplateName: required(2, string()),
})
const podGroupTemplateReference = object(
  `${P}PodGroupTemplateReference`,
  {
    workload: optional(1, workloadPodGroupTemplateReference),
  },
  { unions: [{ fields: { workload: 'Workload' } }] },
)
const podGroupSpec = object(`${P}PodGroupSpec`, {
  podGroupTemplateRef: optional(1, podGroupTemplateReference),
  schedulingPolicy: required(2, podGroupSchedulingPolicy),
  schedulingConstraints: optional(3, podGroupSchedulingConstraints),
  resourceClaims: optional(4, podGroupResourceClaims),
  disruptionMode: defaulted(5, string(), 'Pod', { publishDefault: true }),
  priorityClassName: optional(6, string()),
  priority: optional(7, int32()),
})
const podGroupResourceClaimStatus = object(`${P}PodGroupResourceClaimStatus`, {
  name: required(1, string()),
  resourceClaimName: optional(2, string()),
})
const podGroupStatus = object(`${P}PodGroupStatus`, {
  conditions: optional(1, conditions()),
  resourceClaimStatuses: optional(
    2,
    array(podGroupResourceClaimStatus, {
      listType: 'map',
      listMapKeys: ['name'],
      patchStrategy: 'merge,retainKeys',
      patchMergeKey: 'name',
    }),
  ),
})
const podGroup = kindSchema(`${P}PodGroup`, {
  spec: required(2, podGroupSpec),
  status: struct(3, podGroupStatus),
})

export interface Workload extends ObjectOf<typeof workload> {}
export interface PodGroup extends ObjectOf<typeof podGroup> {}

function validatePolicy(policy: Infer<typeof podGroupSchedulingPolicy>, at: string): FieldError[] {
  const { basic, gang } = policy
  if (basic === undefined && gang === undefined) return [requiredField(at, 'must specify one of: `basic`, `gang`')]
  if (basic !== undefined && gang !== undefined)
    return [invalidField(at, '{`basic`, `gang`}', 'must specify exactly one of: `basic`, `gang`')]
  if (gang !== undefined && gang.minCount <= 0)
    return [invalidField(`${at}.gang.minCount`, gang.minCount, 'must be greater than zero')]
  return []
}
export const workloads = defineKind<Workload>({
  group: 'scheduling.k8s.io',
  version: 'v1alpha2',
  kind: 'Workload',
  plural: 'workloads',
  singular: 'workload',
  namespaced: true,
  schema: workload,
  storagePrefix: '/registry/workloads',
  validate: ({ spec }) =>
    spec.podGroupTemplates.flatMap((template, i) =>
      validatePolicy(template.schedulingPolicy, `spec.podGroupTemplates[${i}].schedulingPolicy`),
    ),
})
export const podGroups = defineKind<PodGroup>({
  group: 'scheduling.k8s.io',
  version: 'v1alpha2',
  kind: 'PodGroup',
  plural: 'podgroups',
  singular: 'podgroup',
  namespaced: true,
  schema: podGroup,
  storagePrefix: '/registry/podgroups',
  subresources: { status: true },
  validate: ({ spec }) => validatePolicy(spec.schedulingPolicy, 'spec.schedulingPolicy'),
})
