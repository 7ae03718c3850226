// Probes of the kubelet: one connection each, nothing verified, nothing followed, every failure an answer.
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import type { GrpcHealthAnswer, HttpProbeAnswer, HttpProbeRequest, ProbeFailure, Prober } from '../ports/prober.ts'
import { createGrpcClient, GrpcError, type Method } from './wire/grpc.ts'
import { int, message, string } from './wire/protobuf.ts'

const maxBodyBytes = 10 << 10

const words: Readonly<Record<string, ProbeFailure>> = {
  ECONNREFUSED: { kind: 'refused', message: 'connect: connection refused' },
  ETIMEDOUT: { kind: 'timeout', message: 'i/o timeout' },
  EHOSTUNREACH: { kind: 'unreachable', message: 'connect: no route to host' },
  ENETUNREACH: { kind: 'unreachable', message: 'connect: network is unreachable' },
  ECONNRESET: { kind: 'reset', message: 'read: connection reset by peer' },
  EPIPE: { kind: 'reset', message: 'write: broken pipe' },
  ENOTFOUND: { kind: 'unknown-host', message: 'no such host' },
  EAI_AGAIN: { kind: 'unknown-host', message: 'no such host' },
}
const timedOut: ProbeFailure = { kind: 'timeout', message: 'context deadline exceeded' }
function failureOf(error: unknown): ProbeFailure {
  const { code, errors } = error as { code?: string; errors?: readonly unknown[] }
  // A name with several addresses fails with one error for each.
  if (errors?.[0] !== undefined) return failureOf(errors[0])
  if (error instanceof Error && /socket hang up/.test(error.message)) return { kind: 'reset', message: 'EOF' }
  return words[code ?? ''] ?? { kind: 'other', message: error instanceof Error ? error.message : String(error) }
}
/** What stands in a pod may hold blanks and other signs that HTTP forbids. */
const encodePath = (path: string) =>
  (path.startsWith('/') ? path : `/${path}`).replace(/[^\x21-\x7e]/gu, (sign) => encodeURIComponent(sign))

function httpGet(probe: HttpProbeRequest): Promise<HttpProbeAnswer> {
  return new Promise((resolve) => {
    let done = false
    const finish = (answer: HttpProbeAnswer) => {
      if (done) return
      done = true
      clearTimeout(timer)
      resolve(answer)
      request?.destroy()
    }
    const timer = setTimeout(() => finish({ ok: false, ...timedOut }), probe.timeoutMs)
    const headers: Record<string, string[]> = {}
    for (const { name, value } of probe.headers) (headers[name.toLowerCase()] ??= []).push(value)
    headers['connection'] ??= ['close']
    let request: http.ClientRequest | undefined
    try {
      const module = probe.scheme === 'HTTPS' ? https : http
      request = module.request({
        host: probe.host.replace(/^\[|\]$/g, ''),
        port: probe.port,
        path: encodePath(probe.path),
        method: 'GET',
        agent: false,
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
        ),
        ...(probe.scheme === 'HTTPS' ? { rejectUnauthorized: false, minVersion: 'TLSv1' } : {}),
      } as https.RequestOptions)
    } catch (error) {
      return finish({ ok: false, kind: 'other', message: error instanceof Error ? error.message : String(error) })
    }
    request.on('error', (error) => finish({ ok: false, ...failureOf(error) }))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      const answer = () =>
        finish({
          ok: true,
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: Buffer.concat(chunks).subarray(0, maxBodyBytes).toString('utf8'),
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= maxBodyBytes) answer()
      })
      response.on('end', answer)
      // A server that breaks off within the body has answered all the same: the status is what counts.
      response.on('error', answer)
    })
    request.end()
  })
}

const check: Method<{ readonly service?: string | undefined }, { readonly status: number }> = {
  path: '/grpc.health.v1.Health/Check',
  request: message({ service: string(1) }),
  response: message({ status: int(1) }),
}
const servingStatus = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const

async function grpcHealth(host: string, port: number, service: string, timeoutMs: number): Promise<GrpcHealthAnswer> {
  const client = createGrpcClient(`${host}:${port}`)
  const expired = new AbortController()
  const timer = setTimeout(() => expired.abort(), timeoutMs)
  try {
    const { status } = await client.call(check, { service }, { timeoutMs, signal: expired.signal })
    return { ok: true, status: servingStatus[status] ?? 'UNKNOWN' }
  } catch (error) {
    if (!(error instanceof GrpcError)) return { ok: false, ...failureOf(error) }
    if (expired.signal.aborted || error.status === 'DeadlineExceeded') return { ok: false, ...timedOut }
    if (error.cause !== undefined) return { ok: false, ...failureOf(error.cause) }
    return { ok: false, code: error.status, kind: 'other', message: error.description }
  } finally {
    clearTimeout(timer)
    client.close()
  }
}

export const hostProber: Prober = {
  httpGet,
  tcpConnect: (host, port, timeoutMs) =>
    new Promise((resolve) => {
      const socket = net.connect({ host: host.replace(/^\[|\]$/g, ''), port })
      const finish = (answer: { ok: true } | ({ ok: false } & ProbeFailure)) => {
        clearTimeout(timer)
        socket.destroy()
        resolve(answer)
      }
      const timer = setTimeout(() => finish({ ok: false, ...timedOut }), timeoutMs)
      socket.on('connect', () => finish({ ok: true }))
      socket.on('error', (error) => finish({ ok: false, ...failureOf(error) }))
    }),
  grpcHealth,
}
