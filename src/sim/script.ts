// What a simulated container does. A script is asked for at every start, so that a container can fail twice and then run;
// everything in it is data or a pure answer, and time comes from outside.
import type { ContainerConfig, SandboxConfig } from '../ports/container-runtime.ts'

/** A start of a container: what the script may look at. */
export interface ContainerStart {
  readonly node: string
  readonly namespace: string
  readonly pod: string
  readonly container: string
  /** As the user wrote it. */
  readonly image: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** 0 for the first start of this container in its pod. */
  readonly restarts: number
  readonly config: ContainerConfig
  readonly sandbox: SandboxConfig
}
export interface ScriptedExit {
  readonly afterMs: number
  readonly code: number
  /** Killed for memory: reason OOMKilled, code 137. */
  readonly oom?: boolean
}
export interface ExecAnswer {
  readonly exitCode: number
  readonly stdout?: string
  readonly stderr?: string
  readonly delayMs?: number
}
export interface HttpAnswer {
  readonly status: number
  readonly body?: string
  readonly delayMs?: number
  readonly headers?: Readonly<Record<string, string>>
}
/** Absent parts: runs until it is stopped, says nothing, ends at the stop signal with 143, answers every probe well. */
export interface ContainerScript {
  readonly exit?: ScriptedExit
  readonly logs?: readonly { readonly atMs: number; readonly text: string; readonly stream?: 'stdout' | 'stderr' }[]
  /** Written to the termination message file when the container ends by itself. */
  readonly terminationMessage?: string
  /** How the stop signal ends it; `afterMs: Infinity` ignores the signal until KILL. */
  readonly onStop?: ScriptedExit
  readonly exec?: (command: readonly string[], uptimeMs: number) => ExecAnswer
  /** `undefined`: nothing listens on that port. */
  readonly http?: (
    request: { readonly port: number; readonly path: string },
    uptimeMs: number,
  ) => HttpAnswer | undefined
  readonly tcp?: (port: number, uptimeMs: number) => boolean
  readonly grpc?: (
    port: number,
    service: string,
    uptimeMs: number,
  ) => 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN' | undefined
  readonly usage?: { readonly cpuMillicores?: number; readonly memoryBytes?: number }
  /** The start itself fails with this message (command not found and the like). */
  readonly startError?: string
}
export type Script = (start: ContainerStart) => ContainerScript

/** Ends every time, `afterMs` after its start. */
export const exits = (code: number, afterMs = 0): ContainerScript => ({ exit: { afterMs, code } })

/** What an image does that has no script of its own: the few words of shell that manifests use (sleep, echo, exit, true,
 * false, endless loops) are understood, anything else runs until it is stopped. */
export function commandScript(start: ContainerStart): ContainerScript {
  const words = [...start.command, ...start.args]
  const first = words[0]?.split('/').pop()
  if (first === 'sh' || first === 'bash') {
    const flag = words.findIndex((word) => /^-[a-z]*c$/.test(word))
    return flag > 0 ? shell(words[flag + 1] ?? '', start.env) : {}
  }
  return words.length === 0 ? {} : shell(words.map(quoted).join(' '), start.env)
}

const quoted = (word: string): string => (/^[\w./:=@%+-]+$/.test(word) ? word : `'${word}'`)

interface Run {
  timeMs: number
  readonly logs: { atMs: number; text: string; stream: 'stdout' | 'stderr' }[]
  terminationMessage: string | undefined
}

function shell(text: string, env: Readonly<Record<string, string>>): ContainerScript {
  if (/\b(while|until)\s+(true|:|\[ 1)|\btail -f\b|\bfor\s*\(\(;;/.test(text)) return { logs: beforeLoop(text, env) }
  const run: Run = { timeMs: 0, logs: [], terminationMessage: undefined }
  let status: number | undefined = 0
  let exited = false
  for (const { joiner, words } of statements(text, env)) {
    if (joiner === '&&' && status !== 0) continue
    if (joiner === '||' && status === 0) continue
    const outcome = perform(words, run, status)
    status = outcome.status
    exited = outcome.exited
    if (status === undefined || exited) break
  }
  const { logs, terminationMessage } = run
  const said = {
    ...(logs.length === 0 ? {} : { logs }),
    ...(terminationMessage === undefined ? {} : { terminationMessage }),
  }
  return status === undefined ? said : { ...said, exit: { afterMs: run.timeMs, code: status } }
}

/** What is echoed before an endless loop begins. */
function beforeLoop(text: string, env: Readonly<Record<string, string>>): NonNullable<ContainerScript['logs']> {
  const head = /^(.*?)\b(while|until|for|tail -f)\b/s.exec(text)?.[1] ?? ''
  return shell(head.replace(/(;|&&)\s*$/, ''), env).logs ?? []
}

function perform(words: readonly string[], run: Run, last: number): { status: number | undefined; exited: boolean } {
  const [command = '', ...args] = words
  const done = (status: number | undefined) => ({ status, exited: false })
  switch (command.slice(command.lastIndexOf('/') + 1)) {
    case '':
    case 'true':
    case ':':
      return done(last === 0 || command !== '' ? 0 : last)
    case 'false':
      return done(1)
    case 'exit':
      return { status: args[0] === undefined ? last : Number(args[0]) & 255, exited: true }
    case 'sleep': {
      const ms = sleepMs(args[0] ?? '')
      if (!Number.isFinite(ms)) return done(undefined)
      run.timeMs += ms
      return done(0)
    }
    case 'echo': {
      const redirect = args.findIndex((arg) => arg === '>' || arg === '>>' || arg === '>&2' || arg === '1>&2')
      const words = (redirect < 0 ? args : args.slice(0, redirect)).filter((arg) => arg !== '-n' && arg !== '-e')
      const line = `${words.join(' ')}\n`
      const target = args[redirect + 1] ?? ''
      if (redirect < 0 || args[redirect]?.endsWith('&2') === true)
        run.logs.push({ atMs: run.timeMs, text: line, stream: redirect < 0 ? 'stdout' : 'stderr' })
      else if (target.endsWith('/termination-log')) run.terminationMessage = line
      return done(0)
    }
    default:
      return done(undefined)
  }
}

function sleepMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text)
  if (match === null) return Number.POSITIVE_INFINITY
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[match[2] === '' ? 's' : (match[2] ?? 's')] ?? 1
  return Number(match[1]) * unit * 1000
}

interface Statement {
  readonly joiner: '' | ';' | '&&' | '||'
  readonly words: readonly string[]
}

/** Splits at ; newline && and ||, takes quotes away, fills in variables. */
function* statements(text: string, env: Readonly<Record<string, string>>): Iterable<Statement> {
  const token = /[^\S\n]*(&&|\|\||;|\n|\d?>>?&\d|'[^']*'|"[^"]*"|[^\s;&|'"]+|[&|])/gy
  let joiner: Statement['joiner'] = ''
  let words: string[] = []
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const part = match[1] ?? ''
    if (part === ';' || part === '\n' || part === '&&' || part === '||') {
      yield { joiner, words }
      joiner = part === '\n' ? ';' : part
      words = []
    } else if (part.startsWith("'")) words.push(part.slice(1, -1))
    else words.push(expand(part.startsWith('"') ? part.slice(1, -1) : part, env))
  }
  yield { joiner, words }
}

const expand = (text: string, env: Readonly<Record<string, string>>): string =>
  text.replace(/\$\{?(\w+)\}?/g, (_, name: string) => env[name] ?? '')
