// What one metric asks for, and how its failure is told. Resources are asked of the pods, the rest of whoever serves the custom
// and external metrics APIs.
import type { MetricSpec, MetricStatus } from '../api/autoscaling/horizontal-pod-autoscaler.ts'
import { formatLabelSelector } from '../api/machinery/labels.ts'
import { formatQuantity, milliQuantity, quantityMilliValue } from '../api/machinery/quantity.ts'
import { hasContainer, type MetricsReader } from './autoscaler-metrics.ts'
import { byAverage, byShareOfValue, byUtilization, byValue, type Observed } from './autoscaler-replicas.ts'
import { messageOf } from './framework/pod-control.ts'
import type { ScaleReference } from './framework/scale.ts'

/** What one metric asks for. */
export interface MetricResult {
  readonly replicas: number
  /** As users read it: "cpu resource utilization (percentage of request)". */
  readonly name: string
  readonly status: MetricStatus
}
const milli = (thousandths: number): string => formatQuantity(milliQuantity(thousandths))

export interface Measuring {
  readonly reader: MetricsReader
  /** ingresses.networking.k8s.io for an Ingress. */
  readonly resourceOf: (described: Omit<ScaleReference, 'name'>) => Promise<string>
  readonly namespace: string
  /** Of the target's pods. */
  readonly selector: string
  readonly observed: Observed
  /** status.replicas of the scale. */
  readonly statusReplicas: number
}

/** Resource and ContainerResource. */
async function resourceResult(
  { reader, namespace, selector, observed }: Measuring,
  { name: resource, target, container }: NonNullable<MetricSpec['resource']> & { readonly container?: string },
): Promise<Omit<MetricResult, 'status'> & { readonly current: NonNullable<MetricStatus['resource']>['current'] }> {
  if (container !== undefined) {
    const without = observed.pods.find((pod) => !hasContainer(pod, container))
    if (without !== undefined)
      throw new Error(`container ${container} not present in metrics for pod ${without.metadata.name}`)
  }
  let samples
  try {
    samples = await reader.resource(namespace, selector, resource, container)
  } catch (error) {
    throw new Error(`unable to get metrics for resource ${resource}: ${messageOf(error)}`, { cause: error })
  }
  const name = `${resource} ${container === undefined ? '' : 'container '}resource`
  if (target.averageValue !== undefined) {
    const { replicas, usage } = byAverage(
      observed,
      samples,
      quantityMilliValue(target.averageValue),
      resource === 'cpu',
    )
    return { replicas, name, current: { averageValue: milli(usage) } }
  }
  const percent = target.averageUtilization
  if (percent === undefined)
    throw new Error('invalid resource metric source: neither an utilization target nor a value target was set')
  const demand = byUtilization(observed, samples, { resource, container, percent })
  return {
    replicas: demand.replicas,
    name: `${name} utilization (percentage of request)`,
    current: { averageUtilization: demand.utilization, averageValue: milli(demand.average) },
  }
}

/** Object and External: one value, for all or shared. */
function valueResult(
  { observed, statusReplicas }: Measuring,
  usage: number,
  target: NonNullable<MetricSpec['external']>['target'],
) {
  if (target.averageValue !== undefined) {
    const average = quantityMilliValue(target.averageValue)
    const demand = byShareOfValue(observed, statusReplicas, usage, average)
    return { replicas: demand.replicas, current: { averageValue: milli(demand.usage) } }
  }
  const { replicas } = byValue(observed, usage, quantityMilliValue(target.value ?? '0'))
  return { replicas, current: { value: milli(usage) } }
}

/** Throws Error where the metric cannot be read or says nothing. */
export async function measure(measuring: Measuring, metric: MetricSpec): Promise<MetricResult> {
  const { reader, namespace, selector, observed, resourceOf } = measuring
  const { type, resource, containerResource, pods, object, external } = metric
  if (resource !== undefined) {
    const { replicas, name, current } = await resourceResult(measuring, resource)
    return { replicas, name, status: { type, resource: { name: resource.name, current } } }
  }
  if (containerResource !== undefined) {
    const { replicas, name, current } = await resourceResult(measuring, containerResource)
    const { name: resourceName, container } = containerResource
    return { replicas, name, status: { type, containerResource: { name: resourceName, container, current } } }
  }
  if (pods !== undefined) {
    const samples = await reader.pods(namespace, selector, pods.metric)
    const target = quantityMilliValue(pods.target.averageValue ?? '0')
    const { replicas, usage } = byAverage(observed, samples, target, false)
    const current = { averageValue: milli(usage) }
    return {
      replicas,
      name: `pods metric ${pods.metric.name}`,
      status: { type, pods: { metric: pods.metric, current } },
    }
  }
  if (object !== undefined) {
    const { describedObject, metric: asked, target } = object
    const usage = await reader.object(namespace, await resourceOf(describedObject), describedObject.name, asked)
    const { replicas, current } = valueResult(measuring, usage, target)
    const name = `${describedObject.kind} metric ${asked.name}`
    return { replicas, name, status: { type, object: { describedObject, metric: asked, current } } }
  }
  if (external !== undefined) {
    const usage = await reader.external(namespace, external.metric)
    const { replicas, current } = valueResult(measuring, usage, external.target)
    const labels = external.metric.selector === undefined ? 'nil' : formatLabelSelector(external.metric.selector)
    const name = `external metric ${external.metric.name}(${labels})`
    return { replicas, name, status: { type, external: { metric: external.metric, current } } }
  }
  throw new Error(`unknown metric source type "${type}"`)
}
/** How an error of a metric is called, and told. */
export function failureOfMetric(
  metric: MetricSpec,
  error: unknown,
): { readonly reason: string; readonly message: string } {
  const said = messageOf(error)
  if (metric.resource !== undefined) {
    const what = metric.resource.target.averageValue === undefined ? 'utilization' : 'usage'
    return { reason: 'FailedGetResourceMetric', message: `failed to get ${metric.resource.name} ${what}: ${said}` }
  }
  if (metric.containerResource !== undefined)
    return {
      reason: 'FailedGetContainerResourceMetric',
      message: `failed to get ${metric.containerResource.name} utilization: ${said}`,
    }
  if (metric.pods !== undefined)
    return { reason: 'FailedGetPodsMetric', message: `failed to get pods metric value: ${said}` }
  if (metric.object !== undefined)
    return { reason: 'FailedGetObjectMetric', message: `failed to get object metric value: ${said}` }
  if (metric.external !== undefined)
    return {
      reason: 'FailedGetExternalMetric',
      message: `failed to get ${metric.external.metric.name} external metric: ${said}`,
    }
  return { reason: 'InvalidMetricSourceType', message: said }
}
