// /healthz, /livez and /readyz with their checks: ?verbose lists them, ?exclude leaves some out, /livez/NAME asks one.
import type { ServerContext } from '../context.ts'
import type { RequestInfo } from '../request-info.ts'

interface Check {
  readonly name: string
  /** Asked by /readyz only. */
  readonly readyOnly?: boolean
  readonly run: (server: ServerContext) => Promise<string | undefined>
}

const checks: readonly Check[] = [
  { name: 'ping', run: async () => undefined },
  { name: 'log', run: async () => undefined },
  {
    name: 'etcd',
    async run(server) {
      await server.store.count('/registry/namespaces/')
      return undefined
    },
  },
  {
    name: 'informer-sync',
    readyOnly: true,
    run: async (server) => (server.readiness.started ? undefined : 'the server is starting'),
  },
  {
    name: 'shutdown',
    readyOnly: true,
    run: async (server) => (server.readiness.stopping ? 'process is shutting down' : undefined),
  },
]

/** Undefined for paths that are no health check. */
export async function health(
  server: ServerContext,
  info: RequestInfo,
  path: string,
): Promise<{ readonly status: number; readonly text: string } | undefined> {
  const match = /^\/(healthz|livez|readyz)(?:\/(.+))?$/.exec(path)
  if (match === null) return undefined
  const [, endpoint, single] = match
  const wanted = checks.filter((c) => endpoint === 'readyz' || c.readyOnly !== true)
  const excluded = new Set(info.query.getAll('exclude'))
  const chosen = single === undefined ? wanted : wanted.filter((c) => c.name === single)
  if (chosen.length === 0) return undefined
  const lines: string[] = []
  let failed = false
  for (const check of chosen) {
    if (excluded.has(check.name)) {
      lines.push(`[+]${check.name} excluded: ok`)
      continue
    }
    const problem = await check.run(server).catch((error: unknown) => String(error))
    if (problem === undefined) lines.push(`[+]${check.name} ok`)
    else {
      failed = true
      lines.push(`[-]${check.name} failed: ${problem}`)
    }
  }
  if (failed) return { status: 500, text: `${lines.join('\n')}\n${endpoint} check failed\n` }
  if (info.query.has('verbose')) return { status: 200, text: `${lines.join('\n')}\n${endpoint} check passed\n` }
  return { status: 200, text: 'ok' }
}
