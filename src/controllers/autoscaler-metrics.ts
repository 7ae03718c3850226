// Reads the three metrics APIs that autoscaling asks: resource metrics of pods, custom metrics of objects, external ones.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis
import { isSidecar } from '../api/core/container.ts'
import type { Pod } from '../api/core/pod.ts'
import { formatLabelSelector } from '../api/machinery/labels.ts'
import type { LabelSelector } from '../api/machinery/meta.ts'
import { quantityMilliValue } from '../api/machinery/quantity.ts'
import type { Client } from '../client/client.ts'
import { queryString } from '../client/paths.ts'
import type { Sample, Samples } from './autoscaler-replicas.ts'
import { failureOf } from './framework/scale.ts'
import { timeMs } from './framework/time.ts'

interface PodMetrics {
  readonly metadata: { readonly name: string }
  readonly timestamp: string
  /** A duration as Go writes it: 30s, 1m0s, 15.03s. */
  readonly window: string
  readonly containers: readonly { readonly name: string; readonly usage: Readonly<Record<string, string>> }[]
}
interface MetricValue {
  readonly describedObject: { readonly name: string }
  readonly timestamp: string
  readonly windowSeconds?: number
  readonly value: string
}
export interface MetricName {
  readonly name: string
  readonly selector?: LabelSelector | undefined
}
const metricSelector = ({ selector }: MetricName): string =>
  selector === undefined ? '' : formatLabelSelector(selector)
/** Custom metrics are averages of a minute where they do not say. */
const customWindowMs = 60_000

const unitMs: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
}
export function durationMs(text: string): number {
  let sum = 0
  for (const [, number, unit = ''] of text.matchAll(/([0-9.]+)(h|ms|us|µs|ns|m|s)/g))
    sum += Number(number) * (unitMs[unit] ?? 0)
  return sum
}

/** A pod's use, over all containers or of one. Undefined where a container does not say. */
function sampleOf(metrics: PodMetrics, resource: string, container: string | undefined): Sample | undefined {
  const asked = metrics.containers.filter(({ name }) => container === undefined || name === container)
  if (container !== undefined && asked.length === 0)
    throw new Error(`container ${container} not present in metrics for pod ${metrics.metadata.name}`)
  let value = 0
  for (const { usage } of asked) {
    const used = usage[resource]
    if (used === undefined) return undefined
    value += quantityMilliValue(used)
  }
  return { value, atMs: timeMs(metrics.timestamp), windowMs: durationMs(metrics.window) }
}
/** Whether the pod has the container whose metrics are asked for. */
export const hasContainer = ({ spec }: Pod, container: string): boolean =>
  [...spec.containers, ...(spec.initContainers ?? []).filter(isSidecar)].some(({ name }) => name === container)

/** Errors of every method: Error with what the metrics API said. */
export interface MetricsReader {
  /** Use of a resource by pod name, in thousandths. */
  resource(namespace: string, selector: string, resource: string, container?: string): Promise<Samples>
  /** A custom metric of pods, by pod name. */
  pods(namespace: string, selector: string, metric: MetricName): Promise<Samples>
  /** A custom metric of one object, in thousandths; `plural` with its group: ingresses.networking.k8s.io. */
  object(namespace: string, plural: string, name: string, metric: MetricName): Promise<number>
  /** The sum of an external metric over its series, in thousandths. */
  external(namespace: string, metric: MetricName): Promise<number>
}
const segment = encodeURIComponent

export function createMetricsReader(client: Client): MetricsReader {
  async function read<T>(path: string, api: string, what: string): Promise<readonly T[]> {
    const { status, text } = await client.raw(path)
    if (status !== 200)
      throw new Error(`unable to fetch metrics from ${api} metrics API: ${failureOf(text, status)} ${what}`)
    const answer = JSON.parse(text) as { items?: readonly T[] | null }
    const items = answer.items ?? []
    if (items.length === 0) throw new Error(`no metrics returned from ${api} metrics API`)
    return items
  }
  const custom = (path: string, selectors: { labelSelector?: string; metricLabelSelector?: string }, what: string) =>
    read<MetricValue>(`/apis/custom.metrics.k8s.io/v1beta2/${path}${queryString(selectors)}`, 'custom', what)
  return {
    async resource(namespace, labelSelector, resource, container) {
      const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${segment(namespace)}/pods${queryString({ labelSelector })}`
      const samples = new Map<string, Sample>()
      for (const metrics of await read<PodMetrics>(path, 'resource', '(get pods.metrics.k8s.io)')) {
        const sample = sampleOf(metrics, resource, container)
        if (sample !== undefined) samples.set(metrics.metadata.name, sample)
      }
      return samples
    },
    async pods(namespace, labelSelector, metric) {
      const selectors = { labelSelector, metricLabelSelector: metricSelector(metric) }
      const path = `namespaces/${segment(namespace)}/pods/*/${segment(metric.name)}`
      const items = await custom(path, selectors, '(get pods.custom.metrics.k8s.io)')
      return new Map(
        items.map(({ describedObject, timestamp, windowSeconds, value }) => [
          describedObject.name,
          {
            value: quantityMilliValue(value),
            atMs: timeMs(timestamp),
            windowMs: windowSeconds === undefined ? customWindowMs : windowSeconds * 1000,
          },
        ]),
      )
    },
    async object(namespace, plural, name, metric) {
      const path =
        plural === 'namespaces'
          ? `namespaces/${segment(name)}/metrics/${segment(metric.name)}`
          : `namespaces/${segment(namespace)}/${plural}/${segment(name)}/${segment(metric.name)}`
      const items = await custom(
        path,
        { metricLabelSelector: metricSelector(metric) },
        `(get ${plural.split('.')[0] ?? ''}.custom.metrics.k8s.io ${name})`,
      )
      const [first] = items
      if (first === undefined || items.length > 1) throw new Error(`got ${items.length} values of one object's metric`)
      return quantityMilliValue(first.value)
    },
    async external(namespace, metric) {
      const query = queryString({ labelSelector: metricSelector(metric) })
      const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${segment(namespace)}/${segment(metric.name)}${query}`
      const items = await read<{ value: string }>(path, 'external', `(get ${metric.name}.external.metrics.k8s.io)`)
      return items.reduce((sum, { value }) => sum + quantityMilliValue(value), 0)
    },
  }
}
