// What the server counts about itself, in the names that dashboards for upstream know, as Prometheus text.
import type { ServerContext } from './context.ts'
import { longSubresources } from './long-running.ts'
import type { ApiRequest, ApiResponse } from './request.ts'
import type { RequestInfo } from './request-info.ts'

/** Upper bounds of the duration histogram, seconds; upstream's. */
const buckets = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60]
const longRunning = new Set(['watch', 'proxy', 'connect'])

interface Series {
  readonly labels: string
  readonly codes: Map<number, number>
  readonly counts: number[]
  sumSeconds: number
  count: number
}

export class Metrics {
  private readonly series = new Map<string, Series>()
  private inflightReading = 0
  private inflightWriting = 0

  /** Called as a request comes in. */
  begin(request: ApiRequest): void {
    if (request.method === 'GET') this.inflightReading++
    else this.inflightWriting++
  }

  /** Called as its answer goes out; `info` is undefined for paths that could not be read. */
  end(request: ApiRequest, info: RequestInfo | undefined, response: ApiResponse, seconds: number): void {
    if (request.method === 'GET') this.inflightReading--
    else this.inflightWriting--
    if (info === undefined) return
    const series = this.seriesOf(info)
    const code = response.kind === 'upgrade' ? 101 : response.status
    series.codes.set(code, (series.codes.get(code) ?? 0) + 1)
    if (longRunning.has(info.verb) || longSubresources.has(info.subresource)) return
    series.count++
    series.sumSeconds += seconds
    let at = 0
    while (at < buckets.length && seconds > (buckets[at] ?? 0)) at++
    if (at < buckets.length) series.counts[at] = (series.counts[at] ?? 0) + 1
  }

  private seriesOf(info: RequestInfo): Series {
    const { group, version, resource, subresource, verb, namespace, name, isResource } = info
    const scope = !isResource ? '' : name !== '' ? 'resource' : namespace !== '' ? 'namespace' : 'cluster'
    const key = isResource ? `${verb} ${group}/${version} ${resource}/${subresource} ${scope}` : verb
    const known = this.series.get(key)
    if (known !== undefined) return known
    const labels = Object.entries({
      component: 'apiserver',
      group,
      resource,
      scope,
      subresource,
      verb: (verb === 'create' ? 'post' : verb === 'update' ? 'put' : verb).toUpperCase(),
      version,
    })
      .map(([label, value]) => `${label}=${JSON.stringify(value)}`)
      .join(',')
    const made: Series = {
      labels,
      codes: new Map(),
      counts: new Array<number>(buckets.length).fill(0),
      sumSeconds: 0,
      count: 0,
    }
    // Resources come from paths, and paths from anybody: what is not served is counted under one name.
    if (this.series.size < maxSeries) this.series.set(key, made)
    return made
  }

  /** The exposition text. */
  text(server: ServerContext): string {
    const lines: string[] = []
    const family = (name: string, type: string, help: string) =>
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    family('apiserver_request_total', 'counter', 'Requests by verb, resource and answer.')
    for (const { labels, codes } of this.series.values()) {
      for (const [code, count] of codes) lines.push(`apiserver_request_total{code="${code}",${labels}} ${count}`)
    }
    family('apiserver_request_duration_seconds', 'histogram', 'Time to answer, long-running requests left out.')
    for (const series of this.series.values()) if (series.count > 0) lines.push(...histogram(series))
    family('apiserver_current_inflight_requests', 'gauge', 'Requests that are being answered.')
    lines.push(`apiserver_current_inflight_requests{request_kind="readOnly"} ${this.inflightReading}`)
    lines.push(`apiserver_current_inflight_requests{request_kind="mutating"} ${this.inflightWriting}`)
    family('apiserver_longrunning_requests', 'gauge', 'Open watches by resource.')
    family('apiserver_storage_objects', 'gauge', 'Objects by resource, where they are in memory.')
    for (const { kind, collection, hub } of server.resources.storageKinds()) {
      const resource = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`
      if (collection.loaded) lines.push(`apiserver_storage_objects{resource="${resource}"} ${collection.size}`)
      if (hub.size > 0) {
        lines.push(
          `apiserver_longrunning_requests{group="${kind.group}",resource="${kind.plural}",verb="WATCH",version="${kind.version}"} ${hub.size}`,
        )
      }
    }
    lines.push(...flowControlMetrics(server))
    return `${lines.join('\n')}\n`
  }
}
const maxSeries = 5000

function histogram({ labels, counts, sumSeconds, count }: Series): string[] {
  const name = 'apiserver_request_duration_seconds'
  let total = 0
  const lines = buckets.map((bound, i) => {
    total += counts[i] ?? 0
    return `${name}_bucket{${labels},le="${bound}"} ${total}`
  })
  return [
    ...lines,
    `${name}_bucket{${labels},le="+Inf"} ${count}`,
    `${name}_sum{${labels}} ${sumSeconds}`,
    `${name}_count{${labels}} ${count}`,
  ]
}

function flowControlMetrics({ flowControl }: ServerContext): string[] {
  const prefix = 'apiserver_flowcontrol'
  const levels = [...flowControl.report()]
  const gauge = (name: string, help: string, read: (level: (typeof levels)[number]) => number): string[] => [
    `# HELP ${prefix}_${name} ${help}`,
    `# TYPE ${prefix}_${name} gauge`,
    ...levels
      .filter((level) => !level.exempt)
      .map((level) => `${prefix}_${name}{priority_level="${level.name}"} ${read(level)}`),
  ]
  return [
    ...gauge('nominal_limit_seats', 'Seats of a priority level by its shares.', (level) => level.nominal),
    ...gauge(
      'current_limit_seats',
      'Seats of a priority level with what it lends and borrows.',
      (level) => level.limit,
    ),
    ...gauge('current_executing_seats', 'Seats taken by requests that are being answered.', (level) => level.executing),
    ...gauge('current_inqueue_requests', 'Requests that wait for a seat.', (level) => level.waiting),
    `# HELP ${prefix}_dispatched_requests_total Requests that were let in.`,
    `# TYPE ${prefix}_dispatched_requests_total counter`,
    ...flowControl.dispatched.map(
      ({ schema, level, count }) =>
        `${prefix}_dispatched_requests_total{flow_schema="${schema}",priority_level="${level}"} ${count}`,
    ),
    `# HELP ${prefix}_rejected_requests_total Requests that were turned away.`,
    `# TYPE ${prefix}_rejected_requests_total counter`,
    ...levels.flatMap(({ name, refused }) =>
      Object.entries(refused)
        .filter(([, count]) => count > 0)
        .map(
          ([reason, count]) =>
            `${prefix}_rejected_requests_total{priority_level="${name}",reason="${reason}"} ${count}`,
        ),
    ),
  ]
}
