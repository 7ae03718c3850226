// Prometheus text of the kubelet: /metrics/resource as metrics-server reads it, /metrics with figures of the kubelet.
import type { KubeletContext } from './context.ts'
import type { PodSet } from './pod-set.ts'
import type { Summary } from './stats.ts'

type Labels = Readonly<Record<string, string>>
interface Sample {
  readonly labels: Labels
  readonly value: number
  readonly atMs?: number
}

const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
function line(name: string, { labels, value, atMs }: Sample): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}${atMs === undefined ? '' : ` ${atMs}`}\n`
}
/** One family; nothing at all when it has no samples. */
function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return ''
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map((sample) => line(name, sample)).join('')}`
}
const seconds = (nanoseconds: number) => nanoseconds / 1e9

export function resourceMetrics({ node, pods }: Summary): string {
  const at = (time: string) => Date.parse(time)
  const each = (of: (c: Summary['pods'][number]['containers'][number]) => readonly [number, string]): Sample[] =>
    pods.flatMap(({ podRef, containers }) =>
      containers.map((c) => {
        const [value, time] = of(c)
        const labels = { container: c.name, namespace: podRef.namespace, pod: podRef.name }
        return { labels, value, atMs: at(time) }
      }),
    )
  const perPod = (of: (pod: Summary['pods'][number]) => readonly [number, string]): Sample[] =>
    pods.map((pod) => {
      const [value, time] = of(pod)
      return { labels: { namespace: pod.podRef.namespace, pod: pod.podRef.name }, value, atMs: at(time) }
    })
  return [
    family(
      'container_cpu_usage_seconds_total',
      'counter',
      '[STABLE] Cumulative cpu time consumed by the container in core-seconds',
      each((c) => [seconds(c.cpu.usageCoreNanoSeconds), c.cpu.time]),
    ),
    family(
      'container_memory_working_set_bytes',
      'gauge',
      '[STABLE] Current working set of the container in bytes',
      each((c) => [c.memory.workingSetBytes, c.memory.time]),
    ),
    family(
      'container_start_time_seconds',
      'gauge',
      '[STABLE] Start time of the container since unix epoch in seconds',
      each((c) => [c.startedAtMs / 1000, c.cpu.time]),
    ),
    family(
      'node_cpu_usage_seconds_total',
      'counter',
      '[STABLE] Cumulative cpu time consumed by the node in core-seconds',
      [{ labels: {}, value: seconds(node.cpu.usageCoreNanoSeconds), atMs: at(node.cpu.time) }],
    ),
    family('node_memory_working_set_bytes', 'gauge', '[STABLE] Current working set of the node in bytes', [
      { labels: {}, value: node.memory.workingSetBytes, atMs: at(node.memory.time) },
    ]),
    family(
      'pod_cpu_usage_seconds_total',
      'counter',
      '[STABLE] Cumulative cpu time consumed by the pod in core-seconds',
      perPod((pod) => [seconds(pod.cpu.usageCoreNanoSeconds), pod.cpu.time]),
    ),
    family(
      'pod_memory_working_set_bytes',
      'gauge',
      '[STABLE] Current working set of the pod in bytes',
      perPod((pod) => [pod.memory.workingSetBytes, pod.memory.time]),
    ),
    family(
      'resource_scrape_error',
      'gauge',
      '[STABLE] 1 if there was an error while getting container metrics, 0 otherwise',
      [{ labels: {}, value: 0 }],
    ),
  ].join('')
}

export function kubeletMetrics(context: KubeletContext, pods: PodSet): string {
  const workers = [...pods.workers()]
  const states = new Map<string, number>()
  for (const { state } of context.view.containers()) states.set(state, (states.get(state) ?? 0) + 1)
  return [
    family('kubelet_node_name', 'gauge', "[ALPHA] The node's name. The count is always 1.", [
      { labels: { node: context.nodeName }, value: 1 },
    ]),
    family('kubelet_running_pods', 'gauge', '[ALPHA] Number of pods that have a running pod sandbox', [
      {
        labels: {},
        value: workers.filter((w) => context.view.pod(w.uid).sandboxes.some((s) => s.ready)).length,
      },
    ]),
    family(
      'kubelet_running_containers',
      'gauge',
      '[ALPHA] Number of containers currently running',
      [...states].map(([state, value]) => ({ labels: { container_state: state }, value })),
    ),
    family('kubelet_desired_pods', 'gauge', '[ALPHA] The number of pods the kubelet is being instructed to run.', [
      { labels: {}, value: workers.filter((w) => !w.isEnding).length },
    ]),
  ].join('')
}
