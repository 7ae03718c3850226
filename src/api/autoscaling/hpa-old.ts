// autoscaling/v2beta1 and v2beta2. v2beta2 is v2 under another name; v2beta1 said a metric's target in fields of its own
// (targetAverageUtilization, metricName ...) where v2 has metric and target.
import type { KindVersion } from '../machinery/kind.ts'
import { kindSchema, labelSelector } from '../machinery/meta.ts'
import { type Bag, bagOf, bagsOf, oldVersion } from '../machinery/old-version.ts'
import {
  array,
  type Draft,
  int32,
  int64,
  type Json,
  type JsonObject,
  type ObjectSchema,
  object,
  optional,
  quantity,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'

const OLD = 'io.k8s.api.autoscaling.v2beta1.'

function v2beta1Schema(reference: ObjectSchema, condition: ObjectSchema): ObjectSchema {
  const metric = object(`${OLD}MetricSpec`, {
    type: required(1, string()),
    object: optional(
      2,
      object(`${OLD}ObjectMetricSource`, {
        target: required(1, reference),
        metricName: required(2, string()),
        targetValue: required(3, quantity()),
        selector: optional(4, labelSelector),
        averageValue: optional(5, quantity()),
      }),
    ),
    pods: optional(
      3,
      object(`${OLD}PodsMetricSource`, {
        metricName: required(1, string()),
        targetAverageValue: required(2, quantity()),
        selector: optional(3, labelSelector),
      }),
    ),
    resource: optional(
      4,
      object(`${OLD}ResourceMetricSource`, {
        name: required(1, string()),
        targetAverageUtilization: optional(2, int32()),
        targetAverageValue: optional(3, quantity()),
      }),
    ),
    external: optional(
      5,
      object(`${OLD}ExternalMetricSource`, {
        metricName: required(1, string()),
        metricSelector: optional(2, labelSelector),
        targetValue: optional(3, quantity()),
        targetAverageValue: optional(4, quantity()),
      }),
    ),
    containerResource: optional(
      7,
      object(`${OLD}ContainerResourceMetricSource`, {
        name: required(1, string()),
        targetAverageUtilization: optional(2, int32()),
        targetAverageValue: optional(3, quantity()),
        container: required(5, string()),
      }),
    ),
  })
  const current = object(`${OLD}MetricStatus`, {
    type: required(1, string()),
    object: optional(
      2,
      object(`${OLD}ObjectMetricStatus`, {
        target: required(1, reference),
        metricName: required(2, string()),
        currentValue: required(3, quantity()),
        selector: optional(4, labelSelector),
        averageValue: optional(5, quantity()),
      }),
    ),
    pods: optional(
      3,
      object(`${OLD}PodsMetricStatus`, {
        metricName: required(1, string()),
        currentAverageValue: required(2, quantity()),
        selector: optional(3, labelSelector),
      }),
    ),
    resource: optional(
      4,
      object(`${OLD}ResourceMetricStatus`, {
        name: required(1, string()),
        currentAverageUtilization: optional(2, int32()),
        currentAverageValue: required(3, quantity()),
      }),
    ),
    external: optional(
      5,
      object(`${OLD}ExternalMetricStatus`, {
        metricName: required(1, string()),
        metricSelector: optional(2, labelSelector),
        currentValue: required(3, quantity()),
        currentAverageValue: optional(4, quantity()),
      }),
    ),
    containerResource: optional(
      7,
      object(`${OLD}ContainerResourceMetricStatus`, {
        name: required(1, string()),
        currentAverageUtilization: optional(2, int32()),
        currentAverageValue: required(3, quantity()),
        container: required(4, string()),
      }),
    ),
  })
  return kindSchema(`${OLD}HorizontalPodAutoscaler`, {
    spec: struct(
      2,
      object(`${OLD}HorizontalPodAutoscalerSpec`, {
        scaleTargetRef: required(1, reference),
        minReplicas: optional(2, int32()),
        maxReplicas: required(3, int32()),
        metrics: optional(4, array(metric, { listType: 'atomic' })),
      }),
    ),
    status: struct(
      3,
      object(`${OLD}HorizontalPodAutoscalerStatus`, {
        observedGeneration: optional(1, int64()),
        lastScaleTime: optional(2, time()),
        currentReplicas: required(3, int32()),
        desiredReplicas: required(4, int32()),
        currentMetrics: optional(5, array(current, { listType: 'atomic' })),
        conditions: optional(6, array(condition, { listType: 'atomic' })),
      }),
    ),
  })
}

const drop = (bag: Bag): Bag => Object.fromEntries(Object.entries(bag).filter(([, v]) => v !== undefined))
const identifier = (name: Json | undefined, selector: Json | undefined): Json => drop({ name, selector }) as JsonObject

/** The target of v2 from whichever of the old fields is set. */
function targetOf(utilization: Json | undefined, average: Json | undefined, value: Json | undefined): Json {
  if (utilization !== undefined) return { type: 'Utilization', averageUtilization: utilization }
  if (average !== undefined) return { type: 'AverageValue', averageValue: average }
  return drop({ type: 'Value', value }) as JsonObject
}

function metricToStored(metric: Bag): void {
  for (const name of ['resource', 'containerResource'] as const) {
    const source = bagOf(metric[name])
    if (metric[name] !== undefined)
      metric[name] = drop({
        name: source['name'],
        container: source['container'],
        target: targetOf(source['targetAverageUtilization'], source['targetAverageValue'], undefined),
      }) as JsonObject
  }
  const pods = bagOf(metric['pods'])
  if (metric['pods'] !== undefined)
    metric['pods'] = {
      metric: identifier(pods['metricName'], pods['selector']),
      target: targetOf(undefined, pods['targetAverageValue'], undefined),
    }
  const external = bagOf(metric['external'])
  if (metric['external'] !== undefined)
    metric['external'] = {
      metric: identifier(external['metricName'], external['metricSelector']),
      target: targetOf(undefined, external['targetAverageValue'], external['targetValue']),
    }
  const object = bagOf(metric['object'])
  if (metric['object'] !== undefined)
    metric['object'] = {
      describedObject: object['target'] ?? {},
      metric: identifier(object['metricName'], object['selector']),
      target: targetOf(undefined, object['averageValue'], object['targetValue']),
    }
}

function metricFromStored(metric: Bag): void {
  const target = (source: Bag) => bagOf(source['target'])
  const named = (source: Bag) => bagOf(source['metric'])
  for (const name of ['resource', 'containerResource'] as const) {
    const source = bagOf(metric[name])
    if (metric[name] !== undefined)
      metric[name] = drop({
        name: source['name'],
        container: source['container'],
        targetAverageUtilization: target(source)['averageUtilization'],
        targetAverageValue: target(source)['averageValue'],
      }) as JsonObject
  }
  const pods = bagOf(metric['pods'])
  if (metric['pods'] !== undefined)
    metric['pods'] = drop({
      metricName: named(pods)['name'],
      selector: named(pods)['selector'],
      targetAverageValue: target(pods)['averageValue'],
    }) as JsonObject
  const external = bagOf(metric['external'])
  if (metric['external'] !== undefined)
    metric['external'] = drop({
      metricName: named(external)['name'],
      metricSelector: named(external)['selector'],
      targetValue: target(external)['value'],
      targetAverageValue: target(external)['averageValue'],
    }) as JsonObject
  const object = bagOf(metric['object'])
  if (metric['object'] !== undefined)
    metric['object'] = drop({
      target: object['describedObject'],
      metricName: named(object)['name'],
      selector: named(object)['selector'],
      targetValue: target(object)['value'] ?? '0',
      averageValue: target(object)['averageValue'],
    }) as JsonObject
}

/** Current values go one way only: clients of v2beta1 read them, nobody writes them back. */
function statusFromStored(metric: Bag): void {
  for (const name of ['object', 'pods', 'resource', 'external', 'containerResource'] as const) {
    const source = bagOf(metric[name])
    if (metric[name] === undefined) continue
    const current = bagOf(source['current'])
    const id = bagOf(source['metric'])
    metric[name] = drop({
      ...(name === 'resource' || name === 'containerResource'
        ? {
            name: source['name'],
            container: source['container'],
            currentAverageUtilization: current['averageUtilization'],
          }
        : { metricName: id['name'], [name === 'external' ? 'metricSelector' : 'selector']: id['selector'] }),
      ...(name === 'object'
        ? { target: source['describedObject'], averageValue: current['averageValue'] }
        : { currentAverageValue: current['averageValue'] ?? '0' }),
      ...(name === 'object' || name === 'external' ? { currentValue: current['value'] ?? '0' } : {}),
    }) as JsonObject
  }
}

/** The two betas, given what they share with v2. */
export function oldHpaVersions(v2: ObjectSchema, reference: ObjectSchema, condition: ObjectSchema): KindVersion[] {
  const shared = { group: 'autoscaling', kind: 'HorizontalPodAutoscaler', instead: 'autoscaling/v2' }
  return [
    oldVersion({ ...shared, version: 'v2beta2', schema: v2, deprecated: 23, removed: 26 }),
    oldVersion({
      ...shared,
      version: 'v2beta1',
      schema: v2beta1Schema(reference, condition),
      deprecated: 22,
      removed: 25,
      toStored: (draft: Draft<JsonObject>) => {
        for (const metric of bagsOf(bagOf(draft['spec'])['metrics'])) metricToStored(metric)
        // Metrics in status are recomputed; their old form has no place in the stored object.
        delete bagOf(draft['status'])['currentMetrics']
      },
      fromStored: (draft: Draft<JsonObject>) => {
        const spec = bagOf(draft['spec'])
        delete spec['behavior']
        for (const metric of bagsOf(spec['metrics'])) metricFromStored(metric)
        const status = bagOf(draft['status'])
        status['currentReplicas'] ??= 0
        for (const metric of bagsOf(status['currentMetrics'])) statusFromStored(metric)
      },
    }),
  ]
}
