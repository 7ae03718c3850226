// The kubelet's HTTP paths besides logs, exec, attach and port-forward.
import type { TransportRequest, TransportResponse } from '../ports/transport.ts'
import type { KubeletContext } from './context.ts'
import { kubeletMetrics, resourceMetrics } from './metrics.ts'
import type { PodSet } from './pod-set.ts'
import type { PodWorker } from './pod-worker.ts'
import type { Stats } from './stats.ts'
import { directoryRequest, isDirectoryRequest } from './volume-directories.ts'

export interface HttpParts {
  readonly context: KubeletContext
  readonly pods: PodSet
  readonly stats: Stats
}

const text = (body: string, status = 200, type = 'text/plain; charset=utf-8'): TransportResponse => ({
  status,
  headers: { 'content-type': type },
  body: new TextEncoder().encode(body),
})
const json = (object: unknown): TransportResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  object,
})

/** Boundary: a figure that cannot be had is a 500 with the reason. */
export async function kubeletRequest(parts: HttpParts, request: TransportRequest): Promise<TransportResponse> {
  const { disk, config } = parts.context
  try {
    if (isDirectoryRequest(request.path)) {
      const answered = await directoryRequest(disk, config.volumesDirectory, request)
      return answered.status === 200 ? json(answered.body) : text(`${answered.message}\n`, answered.status)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return text('method not allowed', 405)
    return await answer(parts, request)
  } catch (error) {
    return text(`${error instanceof Error ? error.message : String(error)}\n`, 500)
  }
}
async function answer({ context, pods, stats }: HttpParts, request: TransportRequest): Promise<TransportResponse> {
  const [path = ''] = request.path.split('?')
  switch (path.replace(/\/$/, '')) {
    case '/healthz':
    case '/healthz/ping':
    case '/healthz/log':
      return text('ok')
    case '/healthz/syncloop':
      return context.view.listed ? text('ok') : text('sync loop is not running', 500)
    case '/pods':
      return podList([...pods.workers()])
    case '/runningpods':
      return podList([...pods.workers()].filter((w) => context.view.pod(w.uid).sandboxes.some((s) => s.ready)))
    case '/configz':
      return json({ kubeletconfig: { ...context.config } })
    case '/stats/summary':
      return json(await stats.summary())
    case '/metrics/resource':
      return text(resourceMetrics(await stats.summary()), 200, metricsType)
    case '/metrics':
      return text(kubeletMetrics(context, pods), 200, metricsType)
    default:
      return text('404 page not found\n', 404)
  }
}
const metricsType = 'text/plain; version=0.0.4; charset=utf-8'
const podList = (workers: readonly PodWorker[]) =>
  json({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: workers.map((w) => w.pod) })
