// How webhooks of every kind are reached: by URL, or through a Service in the cluster with the certificate that the
// Service's name asks for.
import type { ServerContext } from '../context.ts'
import { serviceEndpoint } from '../proxy/service-endpoint.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import { OutgoingError, type OutgoingTarget, readWhole } from '../../ports/outgoing.ts'
import { sleep } from '../../ports/clock.ts'

/** clientConfig of webhooks and of CRD conversion. */
export interface ClientConfig {
  readonly url?: string | undefined
  readonly service?:
    | {
        readonly namespace: string
        readonly name: string
        readonly path?: string | undefined
        readonly port?: number | undefined
      }
    | undefined
  /** base64 of PEM. */
  readonly caBundle?: string | undefined
}
/** No usable answer: `message` is the part of the sentence after "failed to call webhook: ". */
export class CallError extends Error {}

const answerLimitBytes = 16 * 1024 * 1024

export const pemOf = (caBundle: string | undefined): string | undefined =>
  caBundle === undefined || caBundle === '' ? undefined : atob(caBundle)

/** POSTs JSON and answers JSON. Throws CallError. */
export async function callWebhook(
  server: ServerContext,
  config: ClientConfig,
  body: unknown,
  timeoutMs: number,
): Promise<unknown> {
  const { url, path, target } = await targetOf(server, config, timeoutMs)
  const aborter = new AbortController()
  let timedOut = false
  const given = new AbortController()
  void sleep(server.clock, timeoutMs, given.signal).then(() => {
    if (given.signal.aborted) return
    timedOut = true
    aborter.abort()
  })
  const fail = (why: string) => new CallError(`Post ${JSON.stringify(url)}: ${why}`)
  try {
    const response = await server.outgoing.send(target, {
      method: 'POST',
      path,
      headers: {
        host: hostOf(url),
        'content-type': 'application/json',
        accept: 'application/json, */*',
        'user-agent': 'kube-apiserver-admission',
      },
      body: new TextEncoder().encode(JSON.stringify(body)),
      signal: aborter.signal,
    })
    const text = new TextDecoder().decode(await readWhole(response.body, answerLimitBytes))
    if (response.status < 200 || response.status > 206) throw new CallError(statusText(response.status, text))
    try {
      return JSON.parse(text) as unknown
    } catch (error) {
      if (error instanceof SyntaxError)
        throw new CallError(`couldn't get version/kind; json parse error: ${error.message}`)
      throw error
    }
  } catch (error) {
    if (timedOut) throw fail('context deadline exceeded')
    if (error instanceof OutgoingError) throw fail(error.message)
    throw error
  } finally {
    given.abort()
  }
}

const hostOf = (url: string): string => new URL(url).host
function statusText(status: number, text: string): string {
  try {
    const parsed = JSON.parse(text) as { kind?: unknown; message?: unknown } | null
    if (parsed?.kind === 'Status' && typeof parsed.message === 'string') return parsed.message
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  if (status === 404) return 'the server could not find the requested resource'
  if (status === 400) return 'the server rejected our request for an unknown reason'
  if (status >= 500)
    return `an error on the server (${JSON.stringify(text.slice(0, 256))}) has prevented the request from succeeding`
  return 'an unknown error'
}

async function targetOf(
  server: ServerContext,
  config: ClientConfig,
  timeoutMs: number,
): Promise<{ readonly url: string; readonly path: string; readonly target: OutgoingTarget }> {
  const caPem = pemOf(config.caBundle)
  const trust = caPem === undefined ? {} : { caPem }
  const withTimeout = (path: string) =>
    `${path}${path.includes('?') ? '&' : '?'}timeout=${Math.round(timeoutMs / 1000)}s`
  if (config.service !== undefined) {
    const { namespace, name, port = 443 } = config.service
    const serverName = `${name}.${namespace}.svc`
    const raw = config.service.path ?? '/'
    const path = withTimeout(raw === '' ? '/' : raw)
    const url = `https://${serverName}:${port}${path}`
    try {
      const { host, port: at } = await serviceEndpoint(server, namespace, name, port)
      return { url, path, target: { scheme: 'https', host, port: at, serverName, ...trust } }
    } catch (error) {
      if (error instanceof ApiError) throw new CallError(`Post ${JSON.stringify(url)}: ${plain(error, name)}`)
      throw error
    }
  }
  const parsed = new URL(config.url ?? '')
  const path = withTimeout(`${parsed.pathname}${parsed.search}`)
  return {
    url: `${parsed.origin}${path}`,
    path,
    target: {
      scheme: parsed.protocol === 'http:' ? 'http' : 'https',
      host: parsed.hostname.replace(/^\[|\]$/g, ''),
      port: Number(parsed.port || (parsed.protocol === 'http:' ? 80 : 443)),
      ...trust,
    },
  }
}
const plain = (error: ApiError, name: string): string =>
  error.reason === 'NotFound' ? `service ${JSON.stringify(name)} not found` : error.message
