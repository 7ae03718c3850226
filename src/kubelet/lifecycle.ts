// postStart and preStop: a command in the container, a request to it, or a sleep.
import { type Clock, sleep } from '../ports/clock.ts'
import { hostPort, httpRequest, type ProbePorts, type ProbeTarget, urlOf } from './check-probe.ts'
import { resolvePort } from './ports-of.ts'
import { type LifecycleHandler, type Pod, podTitle } from './types.ts'

export type HookResult = { readonly ok: true } | { readonly ok: false; readonly message: string }
const done: HookResult = { ok: true }

export interface HookOptions {
  /** 0: as long as it takes. */
  readonly timeoutMs: number
  readonly userAgent: string
  /** Ends a sleep early. */
  readonly signal?: AbortSignal
}
const hookHttpTimeoutMs = 30_000

/** Boundary: whatever goes wrong is told in the result. */
export async function runHook(
  ports: ProbePorts & { readonly clock: Clock },
  pod: Pod,
  target: ProbeTarget,
  handler: LifecycleHandler,
  options: HookOptions,
): Promise<HookResult> {
  const where = `for Container "${target.container.name}" in Pod "${podTitle(pod)}" failed`
  try {
    if (handler.exec !== undefined) return await runExec(ports, target, handler.exec.command ?? [], where, options)
    if (handler.httpGet !== undefined) return await runHttp(ports, target, handler.httpGet, where, options)
    if (handler.sleep !== undefined) {
      const wantedMs = handler.sleep.seconds * 1000
      await sleep(ports.clock, options.timeoutMs > 0 ? Math.min(wantedMs, options.timeoutMs) : wantedMs, options.signal)
      return done
    }
    if (handler.tcpSocket !== undefined) return done
    return { ok: false, message: `Invalid handler: ${JSON.stringify(handler)}` }
  } catch (error) {
    return {
      ok: false,
      message: `lifecycle hook ${where} - error: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

async function runExec(
  { runtime }: ProbePorts,
  target: ProbeTarget,
  command: readonly string[],
  where: string,
  { timeoutMs }: HookOptions,
): Promise<HookResult> {
  const { stdout, stderr, exitCode, timedOut } = await runtime.execSync(
    target.containerId,
    command,
    Math.ceil(timeoutMs / 1000),
  )
  if (exitCode === 0 && !timedOut) return done
  const decoder = new TextDecoder()
  const output = `${decoder.decode(stdout)}${decoder.decode(stderr)}`
  const shown = command.join(' ')
  const error = timedOut
    ? `command '${shown}' timed out`
    : `command '${shown}' exited with ${exitCode}: ${decoder.decode(stderr)}`
  return {
    ok: false,
    message: `Exec lifecycle hook ([${shown}]) ${where} - error: ${error}, message: ${JSON.stringify(output)}`,
  }
}

async function runHttp(
  { prober }: ProbePorts,
  target: ProbeTarget,
  action: NonNullable<LifecycleHandler['httpGet']>,
  where: string,
  { timeoutMs, userAgent }: HookOptions,
): Promise<HookResult> {
  const port = resolvePort(target.container, action.port)
  const path = action.path ?? '/'
  const fail = (error: string): HookResult => ({
    ok: false,
    message: `HTTP lifecycle hook (${path}) ${where} - error: ${error}, message: ""`,
  })
  if (!port.ok) return fail(port.error)
  const limitMs = timeoutMs > 0 ? Math.min(timeoutMs, hookHttpTimeoutMs) : hookHttpTimeoutMs
  const request = httpRequest(action, target, port.port, limitMs, userAgent)
  const answer = await prober.httpGet(request)
  // A server that speaks plain HTTP where HTTPS was asked for still gets its hook.
  if (!answer.ok && request.scheme === 'HTTPS' && answer.kind === 'other') {
    const plain = await prober.httpGet({ ...request, scheme: 'HTTP' })
    if (plain.ok) return done
  }
  if (answer.ok) return done
  return fail(`Get "${urlOf(request)}": dial tcp ${hostPort(request.host, request.port)}: ${answer.message}`)
}
