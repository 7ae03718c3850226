// Health check node ports: cloud load balancers ask a node whether it has an endpoint of a Service with
// externalTrafficPolicy Local (200) or none (503), and how many.
// (https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy)
import type { EdgeAnswer, EdgeListener, HttpEdge } from '../ports/http-edge.ts'
import type { Clock } from '../ports/clock.ts'
import type { HealthCheck } from './plan-services.ts'

export interface HealthChecks {
  /** Says what a Service's port must answer now; undefined ends it. */
  set(key: string, check: HealthCheck | undefined): void
  stop(): Promise<void>
}

export function answerOf(key: string, endpoints: number): EdgeAnswer {
  const [namespace = '', name = ''] = key.split('/')
  const text = JSON.stringify({ service: { namespace, name }, localEndpoints: endpoints, serviceProxyHealthy: true })
  const body = new TextEncoder().encode(text)
  return {
    kind: 'response',
    status: endpoints > 0 ? 200 : 503,
    headers: {
      'content-type': 'application/json',
      'content-length': String(body.length),
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': String(endpoints),
    },
    body,
  }
}

/** A port that was refused is asked for again after this long. */
const retryMs = 5000

/** `onRefused` hears, once, of a port that cannot be served, such as one that a program of the machine has; it is served when it is
 * free. */
export function createHealthChecks(
  edge: HttpEdge,
  clock: Clock,
  onRefused: (key: string, port: number, error: unknown) => void,
): HealthChecks {
  const checks = new Map<string, HealthCheck>()
  const listeners = new Map<string, { readonly port: number; readonly opened: Promise<EdgeListener | undefined> }>()
  const close = async (key: string): Promise<void> => {
    const listener = listeners.get(key)
    listeners.delete(key)
    await (await listener?.opened)?.close()
  }
  const open = (key: string, port: number, isRetry = false) => {
    const opened: Promise<EdgeListener | undefined> = edge
      .listen({ port, handle: () => Promise.resolve(answerOf(key, checks.get(key)?.localEndpoints ?? 0)) })
      .catch((error: unknown) => {
        if (!isRetry) onRefused(key, port, error)
        clock.after(retryMs, () => {
          if (listeners.get(key)?.opened === opened) open(key, port, true)
        })
        return undefined
      })
    listeners.set(key, { port, opened })
  }
  return {
    set(key, check) {
      const listener = listeners.get(key)
      if (check === undefined) checks.delete(key)
      else checks.set(key, check)
      if (listener?.port === check?.port) return
      const closed = close(key)
      // A port that moves from one Service to another is free when its first holder has let go.
      if (check !== undefined) void closed.then(() => checks.get(key) === check && open(key, check.port))
    },
    async stop() {
      checks.clear()
      await Promise.all([...listeners.keys()].map(close))
    },
  }
}
