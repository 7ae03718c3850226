// autoscaling/v2 HorizontalPodAutoscaler, stored; autoscaling/v1 is a conversion beside it (see hpa-v1.ts).
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  type Draft,
  type Infer,
  int32,
  int64,
  object,
  optional,
  quantity,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { oldHpaVersions } from './hpa-old.ts'
import { horizontalPodAutoscalerV1 } from './hpa-v1.ts'

const HPA = 'io.k8s.api.autoscaling.v2.'
export const crossVersionObjectReference = object(`${HPA}CrossVersionObjectReference`, {
  kind: required(1, string()),
  name: required(2, string()),
  apiVersion: optional(3, string()),
})
export const metricIdentifier = object(`${HPA}MetricIdentifier`, {
  name: required(1, string()),
  selector: optional(2, labelSelector),
})
export const metricTarget = object(`${HPA}MetricTarget`, {
  type: required(1, string()),
  value: optional(2, quantity()),
  averageValue: optional(3, quantity()),
  averageUtilization: optional(4, int32()),
})
export interface MetricTarget extends Infer<typeof metricTarget> {}
export const metricValueStatus = object(`${HPA}MetricValueStatus`, {
  value: optional(1, quantity()),
  averageValue: optional(2, quantity()),
  averageUtilization: optional(3, int32()),
})
export const metricSpec = object(`${HPA}MetricSpec`, {
  type: required(1, string()),
  object: optional(
    2,
    object(`${HPA}ObjectMetricSource`, {
      describedObject: required(1, crossVersionObjectReference),
      target: required(2, metricTarget),
      metric: required(3, metricIdentifier),
    }),
  ),
  pods: optional(
    3,
    object(`${HPA}PodsMetricSource`, { metric: required(1, metricIdentifier), target: required(2, metricTarget) }),
  ),
  resource: optional(
    4,
    object(`${HPA}ResourceMetricSource`, { name: required(1, string()), target: required(2, metricTarget) }),
  ),
  external: optional(
    5,
    object(`${HPA}ExternalMetricSource`, { metric: required(1, metricIdentifier), target: required(2, metricTarget) }),
  ),
  containerResource: optional(
    7,
    object(`${HPA}ContainerResourceMetricSource`, {
      name: required(1, string()),
      target: required(2, metricTarget),
      container: required(3, string()),
    }),
  ),
})
export interface MetricSpec extends Infer<typeof metricSpec> {}
export const metricStatus = object(`${HPA}MetricStatus`, {
  type: required(1, string()),
  object: optional(
    2,
    object(`${HPA}ObjectMetricStatus`, {
      metric: required(1, metricIdentifier),
      current: required(2, metricValueStatus),
      describedObject: required(3, crossVersionObjectReference),
    }),
  ),
  pods: optional(
    3,
    object(`${HPA}PodsMetricStatus`, {
      metric: required(1, metricIdentifier),
      current: required(2, metricValueStatus),
    }),
  ),
  resource: optional(
    4,
    object(`${HPA}ResourceMetricStatus`, { name: required(1, string()), current: required(2, metricValueStatus) }),
  ),
  external: optional(
    5,
    object(`${HPA}ExternalMetricStatus`, {
      metric: required(1, metricIdentifier),
      current: required(2, metricValueStatus),
    }),
  ),
  containerResource: optional(
    7,
    object(`${HPA}ContainerResourceMetricStatus`, {
      name: required(1, string()),
      current: required(2, metricValueStatus),
      container: required(3, string()),
    }),
  ),
})
export interface MetricStatus extends Infer<typeof metricStatus> {}
const scalingPolicy = object(`${HPA}HPAScalingPolicy`, {
  type: required(1, string()),
  value: required(2, int32()),
  periodSeconds: required(3, int32()),
})
export const scalingRules = object(`${HPA}HPAScalingRules`, {
  selectPolicy: optional(1, string()),
  policies: optional(2, array(scalingPolicy, { listType: 'atomic' })),
  stabilizationWindowSeconds: optional(3, int32()),
  tolerance: optional(4, quantity()),
})
export interface ScalingRules extends Infer<typeof scalingRules> {}
export const hpaSpec = object(`${HPA}HorizontalPodAutoscalerSpec`, {
  scaleTargetRef: required(1, crossVersionObjectReference),
  minReplicas: optional(2, int32()),
  maxReplicas: required(3, int32()),
  metrics: optional(4, array(metricSpec, { listType: 'atomic' })),
  behavior: optional(
    5,
    object(`${HPA}HorizontalPodAutoscalerBehavior`, {
      scaleUp: optional(1, scalingRules),
      scaleDown: optional(2, scalingRules),
    }),
  ),
})
export interface HpaSpec extends Infer<typeof hpaSpec> {}
const hpaCondition = object(`${HPA}HorizontalPodAutoscalerCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: optional(3, time()),
  reason: optional(4, string()),
  message: optional(5, string()),
})
export const hpaStatus = object(`${HPA}HorizontalPodAutoscalerStatus`, {
  observedGeneration: optional(1, int64()),
  lastScaleTime: optional(2, time()),
  currentReplicas: optional(3, int32()),
  desiredReplicas: required(4, int32()),
  currentMetrics: optional(5, array(metricStatus, { listType: 'atomic' })),
  conditions: optional(
    6,
    array(hpaCondition, { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  ),
})
const schema = kindSchema(`${HPA}HorizontalPodAutoscaler`, {
  spec: struct(2, hpaSpec, { listed: true }),
  status: struct(3, hpaStatus),
})
export interface HorizontalPodAutoscaler extends ObjectOf<typeof schema> {}

/** The documented default behaviour: up by 100 % or 4 pods every 15 s at once, down by 100 % after 5 minutes. */
function defaultBehavior(spec: Draft<HpaSpec>): void {
  if (spec.behavior === undefined) return
  const up = (spec.behavior.scaleUp ??= {})
  up.selectPolicy ??= 'Max'
  up.stabilizationWindowSeconds ??= 0
  up.policies ??= [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ]
  const down = (spec.behavior.scaleDown ??= {})
  down.selectPolicy ??= 'Max'
  down.policies ??= [{ type: 'Percent', value: 100, periodSeconds: 15 }]
}

const sources = {
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
  External: 'external',
  ContainerResource: 'containerResource',
} as const
function validateMetric(metric: MetricSpec, at: string): FieldError[] {
  if (!(metric.type in sources))
    return metric.type === ''
      ? [requiredField(`${at}.type`, 'must specify a metric source type')]
      : [notSupportedField(`${at}.type`, metric.type, Object.keys(sources))]
  const name = sources[metric.type as keyof typeof sources]
  const errors: FieldError[] = []
  for (const other of Object.values(sources))
    if (other !== name && metric[other] !== undefined)
      errors.push(forbiddenField(`${at}.${other}`, 'must populate the given metric source only'))
  const source = metric[name]
  if (source === undefined)
    return [...errors, requiredField(`${at}.${name}`, 'must populate information for the given metric source')]
  const target = source.target
  const targetAt = `${at}.${name}.target`
  const types = ['Utilization', 'Value', 'AverageValue']
  if (!types.includes(target.type))
    errors.push(
      target.type === ''
        ? requiredField(`${targetAt}.type`, 'must specify a metric target type')
        : notSupportedField(`${targetAt}.type`, target.type, types),
    )
  if (target.averageUtilization !== undefined && target.averageUtilization < 1)
    errors.push(invalidField(`${targetAt}.averageUtilization`, target.averageUtilization, 'must be greater than 0'))
  if (
    (name === 'resource' || name === 'containerResource') &&
    target.averageUtilization === undefined &&
    target.averageValue === undefined
  )
    errors.push(
      requiredField(`${targetAt}.averageUtilization`, 'must set either a target raw value or a target utilization'),
    )
  if (name === 'pods' && target.averageValue === undefined)
    errors.push(requiredField(`${targetAt}.averageValue`, 'must specify a positive target averageValue'))
  if ((name === 'object' || name === 'external') && target.value === undefined && target.averageValue === undefined)
    errors.push(requiredField(`${targetAt}.averageValue`, 'must set either a target value or averageValue'))
  return errors
}

function validateRules(rules: ScalingRules | undefined, at: string): FieldError[] {
  if (rules === undefined) return []
  const errors: FieldError[] = []
  const window = rules.stabilizationWindowSeconds
  if (window !== undefined && window < 0)
    errors.push(invalidField(`${at}.stabilizationWindowSeconds`, window, 'must be greater than or equal to zero'))
  if (window !== undefined && window > 3600)
    errors.push(invalidField(`${at}.stabilizationWindowSeconds`, window, 'must be less than or equal to 3600'))
  const select = ['Max', 'Min', 'Disabled']
  if (rules.selectPolicy !== undefined && !select.includes(rules.selectPolicy))
    errors.push(notSupportedField(`${at}.selectPolicy`, rules.selectPolicy, select))
  if ((rules.policies ?? []).length === 0)
    errors.push(requiredField(`${at}.policies`, 'must specify at least one Policy'))
  rules.policies?.forEach((p, i) => {
    if (p.type !== 'Pods' && p.type !== 'Percent')
      errors.push(notSupportedField(`${at}.policies[${i}].type`, p.type, ['Percent', 'Pods']))
    if (p.value <= 0) errors.push(invalidField(`${at}.policies[${i}].value`, p.value, 'must be greater than zero'))
    if (p.periodSeconds <= 0)
      errors.push(invalidField(`${at}.policies[${i}].periodSeconds`, p.periodSeconds, 'must be greater than zero'))
    if (p.periodSeconds > 1800)
      errors.push(
        invalidField(`${at}.policies[${i}].periodSeconds`, p.periodSeconds, 'must be less than or equal to 1800'),
      )
  })
  return errors
}

function validate({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const errors: FieldError[] = []
  if (spec.minReplicas !== undefined && spec.minReplicas < 1)
    errors.push(invalidField('spec.minReplicas', spec.minReplicas, 'must be greater than or equal to 1'))
  if (spec.maxReplicas < 1) errors.push(invalidField('spec.maxReplicas', spec.maxReplicas, 'must be greater than 0'))
  if (spec.minReplicas !== undefined && spec.maxReplicas < spec.minReplicas)
    errors.push(invalidField('spec.maxReplicas', spec.maxReplicas, 'must be greater than or equal to `minReplicas`'))
  if (spec.scaleTargetRef.kind === '') errors.push(requiredField('spec.scaleTargetRef.kind'))
  if (spec.scaleTargetRef.name === '') errors.push(requiredField('spec.scaleTargetRef.name'))
  spec.metrics?.forEach((m, i) => errors.push(...validateMetric(m, `spec.metrics[${i}]`)))
  errors.push(...validateRules(spec.behavior?.scaleUp, 'spec.behavior.scaleUp'))
  errors.push(...validateRules(spec.behavior?.scaleDown, 'spec.behavior.scaleDown'))
  return errors
}

/** One metric as `kubectl get hpa` shows it: "cpu: 10%/50%". */
function targetCell(hpa: HorizontalPodAutoscaler): string {
  const specs = hpa.spec.metrics ?? []
  if (specs.length === 0) return '<none>'
  const cells = specs.map((spec, i) => {
    const name = sources[spec.type as keyof typeof sources]
    const source = spec[name]
    const current = hpa.status.currentMetrics?.[i]?.[name]?.current
    const label = source !== undefined && 'name' in source ? `${source.name}: ` : ''
    if (source?.target.averageUtilization !== undefined)
      return `${label}${current?.averageUtilization === undefined ? '<unknown>' : `${current.averageUtilization}%`}/${source.target.averageUtilization}%`
    if (source?.target.averageValue !== undefined)
      return `${label}${current?.averageValue ?? '<unknown>'}/${source.target.averageValue}${name === 'object' || name === 'external' ? ' (avg)' : ''}`
    return `${label}${current?.value ?? '<unknown>'}/${source?.target.value ?? ''}`
  })
  return cells.length > 2 ? `${cells.slice(0, 2).join(', ')} + ${cells.length - 2} more...` : cells.join(', ')
}

export const horizontalPodAutoscalers = defineKind<HorizontalPodAutoscaler>({
  group: 'autoscaling',
  version: 'v2',
  kind: 'HorizontalPodAutoscaler',
  plural: 'horizontalpodautoscalers',
  singular: 'horizontalpodautoscaler',
  shortNames: ['hpa'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/horizontalpodautoscalers',
  subresources: { status: true },
  unconditionalUpdate: true,
  versions: [horizontalPodAutoscalerV1, ...oldHpaVersions(schema, crossVersionObjectReference, hpaCondition)],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Reference', type: 'string' },
      { name: 'Targets', type: 'string' },
      { name: 'MinPods', type: 'string' },
      { name: 'MaxPods', type: 'string' },
      { name: 'Replicas', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      `${o.spec.scaleTargetRef.kind}/${o.spec.scaleTargetRef.name}`,
      targetCell(o),
      o.spec.minReplicas === undefined ? '<unset>' : String(o.spec.minReplicas),
      o.spec.maxReplicas,
      o.status.currentReplicas ?? 0,
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  setDefaults: ({ spec }) => {
    spec.minReplicas ??= 1
    if ((spec.metrics ?? []).length === 0)
      spec.metrics = [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ]
    defaultBehavior(spec)
  },
  prepareForCreate: (draft) => {
    draft.status = { desiredReplicas: 0, currentReplicas: 0 }
  },
  validate,
})
