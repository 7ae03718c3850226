// One look at a container by a probe, and what it is called in the event when it fails.
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import type { HttpProbeRequest, ProbeFailure, Prober } from '../ports/prober.ts'
import { formatDuration } from './back-off.ts'
import { resolvePort } from './ports-of.ts'
import type { AnyContainer, Probe } from './types.ts'

export type ProbeOutcome =
  | { readonly result: 'success' }
  /** Counts as success and is told (a redirect to another host). */
  | { readonly result: 'warning'; readonly output: string }
  | { readonly result: 'failure'; readonly output: string }
  /** The probe itself could not be carried out; counts as a failure. */
  | { readonly result: 'error'; readonly output: string }

export interface ProbeTarget {
  readonly container: AnyContainer
  readonly containerId: string
  readonly podIP: string
}
export interface ProbePorts {
  readonly runtime: ContainerRuntime
  readonly prober: Prober
}

const maxOutput = 10 * 1024
const maxRedirects = 10
const success: ProbeOutcome = { result: 'success' }
const failure = (output: string): ProbeOutcome => ({ result: 'failure', output })
const errored = (output: string): ProbeOutcome => ({ result: 'error', output })

/** JoinHostPort: an IPv6 address in brackets. */
export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
const dialText = (address: string, answer: ProbeFailure) =>
  answer.kind === 'timeout' ? `dial tcp ${address}: i/o timeout` : `dial tcp ${address}: ${answer.message}`

type HttpGet = NonNullable<Probe['httpGet']>

/** Headers as they are sent: ours unless the pod says otherwise; an empty value takes a header away. */
export function probeHeaders(action: HttpGet, userAgent: string): { name: string; value: string }[] {
  const given = action.httpHeaders ?? []
  const has = (name: string) => given.some((h) => h.name.toLowerCase() === name)
  const headers = given.filter((h) => h.value !== '').map(({ name, value }) => ({ name, value }))
  if (!has('user-agent')) headers.push({ name: 'User-Agent', value: userAgent })
  if (!has('accept')) headers.push({ name: 'Accept', value: '*/*' })
  return headers
}
export function httpRequest(
  action: HttpGet,
  target: ProbeTarget,
  port: number,
  timeoutMs: number,
  userAgent: string,
): HttpProbeRequest {
  const path = action.path ?? '/'
  return {
    scheme: action.scheme?.toUpperCase() === 'HTTPS' ? 'HTTPS' : 'HTTP',
    host: action.host || target.podIP,
    port,
    path: path.startsWith('/') ? path : `/${path}`,
    headers: probeHeaders(action, userAgent),
    timeoutMs,
  }
}
export const urlOf = (request: HttpProbeRequest): string =>
  `${request.scheme.toLowerCase()}://${hostPort(request.host, request.port)}${request.path}`

function httpFailure(request: HttpProbeRequest, answer: ProbeFailure): string {
  const get = `Get "${urlOf(request)}"`
  if (answer.kind === 'timeout')
    return `${get}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)`
  const address = hostPort(request.host, request.port)
  const connecting = answer.kind === 'refused' || answer.kind === 'unreachable'
  return connecting ? `${get}: ${dialText(address, answer)}` : `${get}: ${answer.message}`
}

/** Follows redirects on the same host, as upstream does; one to elsewhere ends the probe well. */
async function checkHttp(prober: Prober, first: HttpProbeRequest): Promise<ProbeOutcome> {
  let request = first
  for (let hop = 0; ; hop++) {
    const answer = await prober.httpGet(request)
    if (!answer.ok) return failure(httpFailure(request, answer))
    const redirected = answer.status >= 300 && answer.status < 400 && answer.location !== undefined
    if (!redirected) {
      if (answer.status >= 200 && answer.status < 400) return success
      return failure(`HTTP probe failed with statuscode: ${answer.status}`)
    }
    const next = new URL(answer.location ?? '', urlOf(request))
    if (next.hostname !== new URL(urlOf(request)).hostname)
      return { result: 'warning', output: `Probe terminated redirects, Response body: ${answer.body}` }
    if (hop === maxRedirects) return failure(`Get "${next.href}": stopped after ${maxRedirects} redirects`)
    const scheme = next.protocol === 'https:' ? 'HTTPS' : 'HTTP'
    const port = next.port === '' ? (scheme === 'HTTPS' ? 443 : 80) : Number(next.port)
    request = { ...request, scheme, port, path: `${next.pathname}${next.search}` }
  }
}

async function checkExec(
  runtime: ContainerRuntime,
  target: ProbeTarget,
  command: readonly string[],
  timeoutSeconds: number,
): Promise<ProbeOutcome> {
  const { stdout, stderr, exitCode, timedOut } = await runtime.execSync(target.containerId, command, timeoutSeconds)
  if (timedOut)
    return errored(`command timed out: "${command.join(' ')}" timed out after ${formatDuration(timeoutSeconds * 1000)}`)
  if (exitCode === 0) return success
  const decoder = new TextDecoder()
  return failure(`${decoder.decode(stdout)}${decoder.decode(stderr)}`.slice(0, maxOutput))
}

async function checkGrpc(prober: Prober, target: ProbeTarget, action: NonNullable<Probe['grpc']>, timeoutMs: number) {
  const address = hostPort(target.podIP, action.port)
  const answer = await prober.grpcHealth(target.podIP, action.port, action.service ?? '', timeoutMs)
  if (answer.ok)
    return answer.status === 'SERVING' ? success : failure(`service unhealthy (responded with "${answer.status}")`)
  if (answer.code === 'Unimplemented')
    return failure(
      `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${answer.message}`,
    )
  if (answer.kind === 'timeout')
    return failure(
      `timeout: failed to connect service "${address}" within ${formatDuration(timeoutMs)}: context deadline exceeded`,
    )
  if (answer.code !== undefined) return failure(`error: health rpc probe failed: ${answer.message}`)
  return failure(`error: failed to connect service "${address}": ${answer.message}`)
}

/** Runs a probe once. Boundary: whatever goes wrong on the way is an outcome. */
export async function checkProbe(
  ports: ProbePorts,
  probe: Probe,
  target: ProbeTarget,
  userAgent: string,
): Promise<ProbeOutcome> {
  const timeoutMs = probe.timeoutSeconds * 1000
  const { exec, httpGet, tcpSocket, grpc } = probe
  try {
    if (exec !== undefined) return await checkExec(ports.runtime, target, exec.command ?? [], probe.timeoutSeconds)
    if (httpGet !== undefined) {
      const port = resolvePort(target.container, httpGet.port)
      if (!port.ok) return errored(port.error)
      return await checkHttp(ports.prober, httpRequest(httpGet, target, port.port, timeoutMs, userAgent))
    }
    if (tcpSocket !== undefined) {
      const port = resolvePort(target.container, tcpSocket.port)
      if (!port.ok) return errored(port.error)
      const host = tcpSocket.host || target.podIP
      const answer = await ports.prober.tcpConnect(host, port.port, timeoutMs)
      return answer.ok ? success : failure(dialText(hostPort(host, port.port), answer))
    }
    if (grpc !== undefined) return await checkGrpc(ports.prober, target, grpc, timeoutMs)
    return errored(`missing probe handler for ${target.container.name}`)
  } catch (error) {
    return errored(error instanceof Error ? error.message : String(error))
  }
}
