// autoscaling/v1: the CPU-only form. What v1 cannot say travels in annotations, as the API reference documents, so that
// a v1 client's round trip loses nothing.
import type { KindVersion } from '../machinery/kind.ts'
import { kindSchema } from '../machinery/meta.ts'
import {
  type Draft,
  int32,
  int64,
  type Json,
  type JsonObject,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'

const V1 = 'io.k8s.api.autoscaling.v1.'
const METRICS = 'autoscaling.alpha.kubernetes.io/metrics'
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions'
const CURRENT = 'autoscaling.alpha.kubernetes.io/current-metrics'
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior'

const schema = kindSchema(`${V1}HorizontalPodAutoscaler`, {
  spec: struct(
    2,
    object(`${V1}HorizontalPodAutoscalerSpec`, {
      scaleTargetRef: required(
        1,
        object(
          `${V1}CrossVersionObjectReference`,
          { kind: required(1, string()), name: required(2, string()), apiVersion: optional(3, string()) },
          { mapType: 'atomic' },
        ),
      ),
      minReplicas: optional(2, int32()),
      maxReplicas: required(3, int32()),
      targetCPUUtilizationPercentage: optional(4, int32()),
    }),
    { listed: true },
  ),
  status: struct(
    3,
    object(`${V1}HorizontalPodAutoscalerStatus`, {
      observedGeneration: optional(1, int64()),
      lastScaleTime: optional(2, time()),
      currentReplicas: required(3, int32()),
      desiredReplicas: required(4, int32()),
      currentCPUUtilizationPercentage: optional(5, int32()),
    }),
  ),
})

type Bag = Record<string, Json | undefined>
const bag = (value: unknown): Bag => (typeof value === 'object' && value !== null ? (value as Bag) : {})
const list = (value: unknown): Bag[] => (Array.isArray(value) ? (value as Bag[]) : [])
const isCpuUtilization = (metric: Bag): boolean =>
  metric['type'] === 'Resource' &&
  bag(metric['resource'])['name'] === 'cpu' &&
  bag(bag(metric['resource'])['target'])['averageUtilization'] !== undefined

function annotationsOf(draft: Draft<JsonObject>): Bag {
  const metadata = bag(draft['metadata'])
  metadata['annotations'] ??= {}
  return bag(metadata['annotations'])
}
function takeJson(annotations: Bag, key: string): Json | undefined {
  const text = annotations[key]
  delete annotations[key]
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    // A hand-edited annotation that is no JSON is ignored, as an unknown annotation would be.
    return undefined
  }
}
function dropEmptyAnnotations(draft: Draft<JsonObject>): void {
  const metadata = bag(draft['metadata'])
  if (Object.keys(bag(metadata['annotations'])).length === 0) delete metadata['annotations']
}

export const horizontalPodAutoscalerV1: KindVersion = {
  group: 'autoscaling',
  version: 'v1',
  schema,
  setDefaults: (draft) => {
    bag(draft['spec'])['minReplicas'] ??= 1
  },
  toStored: (draft) => {
    const spec = bag(draft['spec'])
    const status = bag(draft['status'])
    const annotations = annotationsOf(draft)
    const metrics = list(takeJson(annotations, METRICS))
    const percentage = spec['targetCPUUtilizationPercentage']
    if (percentage !== undefined)
      metrics.unshift({
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: percentage } },
      })
    delete spec['targetCPUUtilizationPercentage']
    if (metrics.length > 0) spec['metrics'] = metrics as Json[]
    const behavior = takeJson(annotations, BEHAVIOR)
    if (behavior !== undefined) spec['behavior'] = behavior
    const conditions = takeJson(annotations, CONDITIONS)
    if (conditions !== undefined) status['conditions'] = conditions
    const current = list(takeJson(annotations, CURRENT))
    const cpu = status['currentCPUUtilizationPercentage']
    if (cpu !== undefined)
      current.unshift({ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: cpu } } })
    delete status['currentCPUUtilizationPercentage']
    if (current.length > 0) status['currentMetrics'] = current as Json[]
    dropEmptyAnnotations(draft)
  },
  fromStored: (draft) => {
    const spec = bag(draft['spec'])
    const status = bag(draft['status'])
    const annotations = annotationsOf(draft)
    const metrics = list(spec['metrics'])
    const cpu = metrics.find(isCpuUtilization)
    if (cpu !== undefined) {
      const utilization = bag(bag(cpu['resource'])['target'])['averageUtilization']
      if (utilization !== undefined) spec['targetCPUUtilizationPercentage'] = utilization
    }
    const others = metrics.filter((m) => m !== cpu)
    if (others.length > 0) annotations[METRICS] = JSON.stringify(others)
    delete spec['metrics']
    if (spec['behavior'] !== undefined) annotations[BEHAVIOR] = JSON.stringify(spec['behavior'])
    delete spec['behavior']
    if (list(status['conditions']).length > 0) annotations[CONDITIONS] = JSON.stringify(status['conditions'])
    delete status['conditions']
    const current = list(status['currentMetrics'])
    const currentCpu = current.find(
      (m) =>
        m['type'] === 'Resource' &&
        bag(m['resource'])['name'] === 'cpu' &&
        bag(bag(m['resource'])['current'])['averageUtilization'] !== undefined,
    )
    if (currentCpu !== undefined) {
      const value = bag(bag(currentCpu['resource'])['current'])['averageUtilization']
      if (value !== undefined) status['currentCPUUtilizationPercentage'] = value
    }
    const otherCurrent = current.filter((m) => m !== currentCpu)
    if (otherCurrent.length > 0) annotations[CURRENT] = JSON.stringify(otherCurrent)
    delete status['currentMetrics']
    status['currentReplicas'] ??= 0
    dropEmptyAnnotations(draft)
  },
}
