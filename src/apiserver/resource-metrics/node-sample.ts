// One reading of a node's /metrics/resource: growing CPU counters and working sets, of the node and of every container.
// Any kubelet answers this text. (https://kubernetes.io/docs/reference/instrumentation/node-metrics/)

export interface UsageCounter {
  /** When it was read, in the node's time. */
  readonly atMs: number
  readonly cpuSeconds: number
  readonly memoryBytes: number
}
export interface ContainerCounter extends UsageCounter {
  readonly startedAtMs: number
}
export interface NodeSample {
  readonly node: UsageCounter | undefined
  /** By NAMESPACE/NAME of the pod, then by container. */
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, ContainerCounter>>
}

interface Line {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
  readonly atMs: number | undefined
}
const linePattern = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?$/
const labelPattern = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g
const unescaped = (text: string) => text.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))

/** Lines that are no samples are passed over. */
function* linesOf(text: string): Generator<Line> {
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, labels = '', value = '', at] = linePattern.exec(line.trim()) ?? []
    if (name === undefined || !Number.isFinite(Number(value))) continue
    yield {
      name,
      labels: new Map([...labels.matchAll(labelPattern)].map(([, key = '', word = '']) => [key, unescaped(word)])),
      value: Number(value),
      atMs: at === undefined ? undefined : Number(at),
    }
  }
}

interface Partial {
  atMs?: number
  cpuSeconds?: number
  memoryBytes?: number
  startedAtMs?: number
}
const whole = ({ atMs, cpuSeconds, memoryBytes }: Partial): UsageCounter | undefined =>
  atMs === undefined || cpuSeconds === undefined || memoryBytes === undefined
    ? undefined
    : { atMs, cpuSeconds, memoryBytes }

/** `nowMs` stands in where a sample has no time. What has only one of the two figures is left out. */
export function readNodeSample(text: string, nowMs: number): NodeSample {
  const node: Partial = {}
  const pods = new Map<string, Map<string, Partial>>()
  const of = (labels: ReadonlyMap<string, string>): Partial => {
    const pod = `${labels.get('namespace') ?? ''}/${labels.get('pod') ?? ''}`
    const containers = pods.get(pod) ?? new Map<string, Partial>()
    pods.set(pod, containers)
    const name = labels.get('container') ?? ''
    const counter = containers.get(name) ?? {}
    containers.set(name, counter)
    return counter
  }
  for (const { name, labels, value, atMs = nowMs } of linesOf(text))
    switch (name) {
      case 'node_cpu_usage_seconds_total':
        Object.assign(node, { cpuSeconds: value, atMs })
        break
      case 'node_memory_working_set_bytes':
        node.memoryBytes = value
        break
      case 'container_cpu_usage_seconds_total':
        Object.assign(of(labels), { cpuSeconds: value, atMs })
        break
      case 'container_memory_working_set_bytes':
        of(labels).memoryBytes = value
        break
      case 'container_start_time_seconds':
        of(labels).startedAtMs = value * 1000
        break
    }
  return { node: whole(node), pods: new Map([...pods].map(([pod, found]) => [pod, wholeContainers(found)])) }
}
function wholeContainers(found: ReadonlyMap<string, Partial>): ReadonlyMap<string, ContainerCounter> {
  const containers = new Map<string, ContainerCounter>()
  for (const [name, partial] of found) {
    const counter = whole(partial)
    if (counter !== undefined) containers.set(name, { ...counter, startedAtMs: partial.startedAtMs ?? 0 })
  }
  return containers
}
