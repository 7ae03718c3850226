// The kubelet's HTTP paths besides logs, exec, attach and port-forward.
import type { TransportRequest, TransportResponse } from '../ports/transport.ts'
import type { KubeletContext } from './context.ts'
import type { NodeAgent } from './node-agent.ts'
import type { PodSet } from './pod-set.ts'

export interface HttpParts {
  readonly context: KubeletContext
  readonly pods: PodSet
  readonly agent: NodeAgent
}

const text = (body: string, status = 200): TransportResponse => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  body: new TextEncoder().encode(body),
})
const json = (object: unknown): TransportResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  object,
})

export function kubeletRequest(parts: HttpParts, request: TransportRequest): Promise<TransportResponse> {
  return Promise.resolve(answer(parts, request))
}
function answer({ context, pods }: HttpParts, request: TransportRequest): TransportResponse {
  const [path = ''] = request.path.split('?')
  if (request.method !== 'GET' && request.method !== 'HEAD') return text('method not allowed', 405)
  switch (path.replace(/\/$/, '')) {
    case '/healthz':
    case '/healthz/ping':
    case '/healthz/log':
      return text('ok')
    case '/healthz/syncloop':
      return context.view.listedAtMs === 0 ? text('sync loop is not running', 500) : text('ok')
    case '/pods':
      return json({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [...pods.workers()].map((w) => w.pod) })
    case '/runningpods':
      return json({
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: {},
        items: [...pods.workers()]
          .filter((w) => context.view.pod(w.uid).sandboxes.some((s) => s.ready))
          .map((w) => w.pod),
      })
    case '/configz':
      return json({ kubeletconfig: { ...context.config } })
    default:
      return text('404 page not found\n', 404)
  }
}
