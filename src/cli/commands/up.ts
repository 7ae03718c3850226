// cox up: checks what can be checked before anything is begun, then serves here or in a process of its own.
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { canInstall, installCommand, installPackages, missingRequirements } from '../../host/requirements.ts'
import { type Command, CliError, dataDirFlag, type Invocation, note, out } from '../command.ts'
import { dataDirOf, ensureDataDir, kubeconfigPath, logPath, runningServer } from '../data-dir.ts'
import type { RuntimeChoice, ServeOptions, StoreChoice } from '../serve.ts'

const detachedMark = 'COX_DETACHED'
type Plan = Omit<ServeOptions, 'onProgress'>

export const up: Command = {
  name: 'up',
  summary:
    'Start a cluster on this machine. Ctrl-C takes everything away again, pods included; SIGTERM leaves the pods running for the next start.',
  usage: 'up [flags]',
  flags: {
    ...dataDirFlag,
    listen: {
      type: 'string',
      value: 'HOST:PORT',
      help: 'address of the API (default: every address, 6443 or a free port)',
    },
    runtime: {
      type: 'string',
      value: 'NAME',
      help: 'containerd (our own, default), sim (simulated containers, needs no root), or unix:///PATH.sock of any CRI runtime',
    },
    store: {
      type: 'string',
      value: 'NAME',
      help: 'lmdb (default), memory (forgets everything at the end), or etcd=http://HOST:2379,... for an etcd of yours',
    },
    'ingress-http-port': {
      type: 'string',
      value: 'PORT',
      help: 'port of the nodes for Ingresses (default: 80, or a free one where 80 is taken)',
    },
    'ingress-https-port': {
      type: 'string',
      value: 'PORT',
      help: 'the same for TLS (default: 443, or a free one where 443 is taken)',
    },
    kubeconfig: { type: 'string', value: 'FILE', help: 'merge the context "coxswain" into this file too' },
    detach: { type: 'boolean', short: 'd', help: 'return when the cluster is ready, and leave it running' },
    yes: { type: 'boolean', short: 'y', help: 'install missing packages without asking' },
  },
  async run(call) {
    const plan = planOf(call)
    const running = runningServer(plan.dataDir)
    if (running !== undefined)
      throw new CliError(
        `a cluster runs already in ${plan.dataDir} (process ${running.pid}, ${running.url}): "cox down" ends it`,
      )
    await requireMachine(plan.runtime, call.on('yes'))
    if (call.on('detach') && process.env[detachedMark] === undefined) return detach(plan)
    return serveHere(plan)
  },
}

function planOf(call: Invocation): Plan {
  const [extra] = call.positionals
  if (extra !== undefined) throw new CliError(`unexpected word "${extra}"; "cox up --help" lists the flags`, 2)
  const kubeconfig = call.flag('kubeconfig')
  return {
    dataDir: dataDirOf(call),
    listen: listenOf(call.flag('listen')),
    runtime: runtimeOf(call.flag('runtime')),
    store: storeOf(call.flag('store')),
    ingress: {
      ...portOf('ingress-http-port', 'httpPort', call),
      ...portOf('ingress-https-port', 'httpsPort', call),
    },
    kubeconfig,
  }
}
function portOf<K extends string>(flag: string, key: K, call: Invocation): { readonly [P in K]?: number } {
  const text = call.flag(flag)
  if (text === undefined) return {}
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new CliError(`--${flag} wants a port from 1 to 65535, not "${text}"`, 2)
  return { [key]: port } as { readonly [P in K]?: number }
}
export function listenOf(text: string | undefined): Plan['listen'] {
  if (text === undefined) return undefined
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535)
    throw new CliError(`--listen wants HOST:PORT, such as 127.0.0.1:6443, not "${text}"`, 2)
  return { host: match[1] ?? (match[2] === '' ? '0.0.0.0' : (match[2] ?? '')), port }
}
export function runtimeOf(text = 'containerd'): RuntimeChoice {
  if (text === 'containerd' || text === 'sim') return text
  if (text.startsWith('unix:///')) return text as RuntimeChoice
  throw new CliError(`--runtime wants containerd, sim or unix:///PATH.sock, not "${text}"`, 2)
}
export function storeOf(text = 'lmdb'): StoreChoice {
  if (text === 'lmdb' || text === 'memory') return text
  const urls = /^etcd=(.+)$/.exec(text)?.[1]?.split(',')
  if (urls?.every((url) => /^https?:\/\/[^/\s]+$/.test(url)) === true) return text as StoreChoice
  throw new CliError(`--store wants lmdb, memory or etcd=http://HOST:2379,..., not "${text}"`, 2)
}

/** Root, Linux and programs: one line that says what to do where something is wanting. */
async function requireMachine(runtime: RuntimeChoice, yes: boolean): Promise<void> {
  if (runtime === 'sim') {
    note(
      'cox: containers are simulated: the API, scheduling, controllers and the node agent are real, processes, images,',
    )
    note('     networks and volumes of pods are not')
    return
  }
  const instead = '"cox up --runtime sim" runs a cluster whose containers are simulated'
  if (process.platform !== 'linux') throw new CliError(`running containers needs Linux; ${instead}`)
  if (process.getuid?.() !== 0) throw new CliError(`running containers needs root: use sudo; ${instead}`)
  if (runtime.startsWith('unix://') && !existsSync(runtime.slice('unix://'.length)))
    throw new CliError(`no container runtime listens at ${runtime}: start it, or leave --runtime away to use our own`)
  const missing = missingRequirements(runtime === 'containerd')
  if (missing.packages.length === 0) return
  const what = `missing: ${missing.names.join(', ')}`
  const command = installCommand(missing.packages)
  if (!canInstall()) throw new CliError(`${what}: install them (Debian: ${command}); ${instead}`)
  note(`cox: ${what}`)
  if (!yes && !(await agreed(`install Debian's packages ${missing.packages.join(', ')}? [Y/n] `)))
    throw new CliError(`nothing was installed: use --yes, or run "${command}"`)
  note(`cox: installing ${missing.packages.join(', ')} (${command})`)
  try {
    await installPackages(missing.packages, (line) => note(`     ${line}`))
  } catch (error) {
    throw new CliError(
      `${error instanceof Error ? error.message : String(error)}; run "apt-get update && ${command}" by hand`,
    )
  }
  const still = missingRequirements(runtime === 'containerd')
  if (still.names.length > 0) throw new CliError(`still missing after the installation: ${still.names.join(', ')}`)
}
async function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(question)
  terminal.close()
  return /^(y|yes|)$/i.test(answer.trim())
}

const seconds = (startMs: number) => `${((performance.now() - startMs) / 1000).toFixed(1)} s`
function sayReady(plan: Plan, url: string, nodeName: string): void {
  const flag = plan.dataDir === '/var/lib/coxswain' ? '' : ` --data-dir ${plan.dataDir}`
  out(`the cluster is ready: ${url}, node ${nodeName}\n`)
  out(`  kubectl --kubeconfig ${kubeconfigPath(plan.dataDir)} get nodes\n  cox get pods -A${flag}\n  cox down${flag}\n`)
}

/** What the detached process tells the one that waits for it. */
type Report =
  | { readonly type: 'progress'; readonly text: string }
  | { readonly type: 'ready'; readonly url: string; readonly nodeName: string }
  | { readonly type: 'failed'; readonly message: string }

/** Serves in this process until a signal: Ctrl-C takes everything away, SIGTERM leaves the pods running. */
async function serveHere(plan: Plan): Promise<number> {
  const startMs = performance.now()
  const report = (message: Report) => {
    if (process.send !== undefined && process.connected) process.send(message)
    else if (message.type === 'progress') note(`cox: ${message.text} (${seconds(startMs)})`)
    else if (message.type === 'ready') sayReady(plan, message.url, message.nodeName)
  }
  const { serve } = await import('../serve.ts')
  try {
    let stopped = (_pods: 'keep' | 'remove') => {}
    const asked = new Promise<'keep' | 'remove'>((resolve) => {
      stopped = resolve
    })
    process.on('SIGINT', () => stopped('remove'))
    process.on('SIGTERM', () => stopped('keep'))
    // A closed terminal ends nothing that it was not asked to end.
    process.on('SIGHUP', () => stopped('keep'))
    const serving = await serve({ ...plan, onProgress: (text) => report({ type: 'progress', text }) })
    const pods = await Promise.race([
      asked,
      serving.nodeReady.then(
        () => {
          report({ type: 'ready', url: serving.url, nodeName: serving.nodeName })
          if (process.connected) process.disconnect()
          return asked
        },
        async (error: unknown) => {
          await serving.stop('remove')
          throw error
        },
      ),
    ])
    await serving.stop(pods)
    return 0
  } catch (error) {
    if (process.send === undefined || !process.connected) throw error
    report({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    process.disconnect()
    return 1
  }
}

/** Starts the server as a process of its own and waits until it is ready, passing on what it says. */
function detach(plan: Plan): Promise<number> {
  const startMs = performance.now()
  ensureDataDir(plan.dataDir)
  const logFile = openSync(logPath(plan.dataDir), 'a', 0o600)
  const words = process.argv.slice(1).filter((word) => word !== '--detach' && word !== '-d')
  const child = spawn(process.execPath, [...process.execArgv, ...words, '--yes'], {
    detached: true,
    stdio: ['ignore', logFile, logFile, 'ipc'],
    env: { ...process.env, [detachedMark]: '1' },
  })
  closeSync(logFile)
  return new Promise((resolve, reject) => {
    let failure: string | undefined
    child.on('message', (message: Report) => {
      if (message.type === 'progress') note(`cox: ${message.text} (${seconds(startMs)})`)
      else if (message.type === 'failed') failure = message.message
      else {
        sayReady(plan, message.url, message.nodeName)
        child.unref()
        resolve(0)
      }
    })
    child.on('error', (error) => reject(new CliError(`cannot start the server: ${error.message}`)))
    child.on('exit', (code, by) => {
      reject(new CliError(failure ?? `the server ended (${by ?? code}); its log: ${logPath(plan.dataDir)}`))
    })
    // Ctrl-C while it starts ends what was begun.
    process.on('SIGINT', () => child.kill('SIGINT'))
  })
}
