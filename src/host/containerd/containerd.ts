// A containerd of our own: root, state, socket and configuration below the data directory. It is started in a session of
// its own and outlives a killed cox, whose next start adopts it with all that runs in it; only `stop` ends it.
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../ports/log.ts'
import { run } from '../command.ts'
import type { Instance } from '../instance.ts'
import { limitLog } from '../log-limit.ts'
import { searchPath } from '../program-path.ts'
import { pauseArchive, pauseImage } from '../pause/pause-image.ts'
import { createGrpcClient, type GrpcClient } from '../wire/grpc.ts'
import { cri } from '../cri/messages.ts'
import { containerdConfig } from './config.ts'
import { importArchive } from './import.ts'
import { giveEndedState, withoutState } from './lost-state.ts'
import { type OciRuntimeChoice, openOciRuntimes } from './oci-runtimes.ts'
import { findProcesses, gone, isAlive, signal, startOf } from './processes.ts'

export interface ContainerdOptions {
  readonly instance: Instance
  readonly log: Log
  /** Folders with the programs, besides PATH. */
  readonly cniBinDir: string
  readonly cniConfDir: string
  /** What makes the containers; without it as at the last start. */
  readonly ociRuntime?: OciRuntimeChoice
  /** Said while something takes longer than a moment. */
  readonly onProgress?: (text: string) => void
  /** It had ended and was started again. */
  readonly onRestart?: () => void
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error'
}
export interface Containerd {
  /** unix:///... */
  readonly address: string
  readonly socket: string
  readonly pid: () => number
  /** When the one that runs now was started, milliseconds since 1970. */
  readonly startedAtMs: () => number
  /** True when it ran already. */
  readonly adopted: boolean
  /** Ends it and its shims; containers must be stopped before, or are killed. */
  stop(): Promise<void>
  /** Stops watching over it and leaves it running. */
  release(): void
}

/** A containerd that could not be started; the message says what to do. */
export class ContainerdError extends Error {}

const startTimeoutMs = 30_000

interface Paths {
  readonly folder: string
  readonly root: string
  readonly state: string
  readonly config: string
  readonly logFile: string
  readonly registry: string
}
function pathsOf({ dataDir }: Instance): Paths {
  const folder = join(dataDir, 'containerd')
  return {
    folder,
    root: join(folder, 'root'),
    state: join(folder, 'state'),
    config: join(folder, 'config.toml'),
    logFile: join(folder, 'containerd.log'),
    registry: join(folder, 'certs.d'),
  }
}

/** The containerd of this data directory, if one runs. */
export const runningContainerd = (instance: Instance): number | undefined => allContainerds(instance)[0]
function allContainerds(instance: Instance): number[] {
  const { config } = pathsOf(instance)
  return findProcesses((args) => args[0]?.endsWith('containerd') === true && args.includes(config))
}

/** Starts or adopts the containerd of `instance`; resolves when it answers CRI calls and has the pause image. Rejects with
 * OciRuntimeError where the wanted OCI runtime cannot be had. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { instance, log } = options
  const paths = pathsOf(instance)
  for (const folder of [paths.root, paths.registry]) mkdirSync(folder, { recursive: true, mode: 0o711 })
  forgetLastBoot(paths)
  const ociRuntimes = await openOciRuntimes(instance, options.ociRuntime)
  log.info(`containers are made by ${ociRuntimes.standard}`, { why: ociRuntimes.reason })
  const config = containerdConfig({
    root: paths.root,
    state: paths.state,
    socket: instance.containerdSocket,
    snapshotter: await chooseSnapshotter(paths),
    sandboxImage: pauseImage,
    ociRuntimes,
    cniBinDir: options.cniBinDir,
    cniConfDir: options.cniConfDir,
    registryDir: paths.registry,
    restrictOomScore: !hasSysResource(),
    logLevel: options.logLevel ?? 'warn',
  })
  let pid = runningContainerd(instance)
  const usable =
    existsSync(instance.containerdSocket) && existsSync(paths.config) && readFileSync(paths.config, 'utf8') === config
  if (pid !== undefined && !usable) {
    // Shims outlive containerd: one with the new configuration finds its containers again.
    log.info('containerd is restarted with a new configuration')
    await endContainerds(instance)
    pid = undefined
  }
  const adopted = pid !== undefined
  writeFileSync(paths.config, config, { mode: 0o600 })

  let stopping = false
  let watching: NodeJS.Timeout | undefined
  let startedAtMs = pid === undefined ? Date.now() : startOf(pid)
  const launch = (): number => {
    startedAtMs = Date.now()
    // Before it looks at its containers: afterwards it tries ever more rarely.
    for (const id of withoutState(paths.state)) {
      log.warn('a container that was half deleted is given back to containerd', { id })
      giveEndedState(paths.state, id)
    }
    const child = spawnContainerd(paths)
    child.on('exit', (code, by) => {
      if (stopping) return
      log.warn('containerd ended and is started again', { code: code ?? by ?? '' })
      setTimeout(() => {
        if (stopping) return
        pid = launch()
        options.onRestart?.()
      }, 500)
    })
    child.on('error', (error) => log.error('containerd cannot be started', { error: error.message }))
    return child.pid ?? 0
  }
  if (pid === undefined) pid = launch()
  else {
    // It is not our child: nobody tells us when it ends.
    watching = setInterval(() => {
      if (stopping || (pid !== undefined && isAlive(pid))) return
      clearInterval(watching)
      log.warn('containerd ended and is started again')
      pid = launch()
      options.onRestart?.()
    }, 1_000)
    watching.unref()
  }
  const client = createGrpcClient(`unix://${instance.containerdSocket}`)
  const logLimit = limitLog(paths.logFile)
  const release = () => {
    stopping = true
    clearInterval(watching)
    logLimit.close()
  }
  try {
    await ready(client, () => pid, paths)
    await ensurePauseImage(client, instance.containerdSocket)
  } catch (error) {
    release()
    if (!adopted && pid !== undefined) await stopContainerd(instance)
    throw error
  } finally {
    client.close()
  }
  return {
    address: `unix://${instance.containerdSocket}`,
    socket: instance.containerdSocket,
    adopted,
    pid: () => pid ?? 0,
    startedAtMs: () => startedAtMs,
    release,
    async stop() {
      release()
      await stopContainerd(instance)
    },
  }
}

function spawnContainerd(paths: Paths) {
  const logFile = openSync(paths.logFile, 'a', 0o600)
  const child = spawn('containerd', ['--config', paths.config], {
    detached: true,
    stdio: ['ignore', logFile, logFile],
    cwd: '/',
    env: { PATH: searchPath(), HOME: '/root' },
  })
  closeSync(logFile)
  child.unref()
  return child
}
/** Ends the containerd of this data directory and every shim of it. */
export async function stopContainerd(instance: Instance): Promise<void> {
  await endContainerds(instance)
  const shims = shimsOf(instance)
  for (const shim of shims) signal(shim, 'SIGKILL')
  await Promise.all(shims.map((shim) => gone(shim, 5_000)))
  rmSync(instance.containerdSocket, { force: true })
  rmSync(`${instance.containerdSocket}.ttrpc`, { force: true })
}
async function endContainerds(instance: Instance): Promise<void> {
  await Promise.all(
    allContainerds(instance).map(async (pid) => {
      signal(pid, 'SIGTERM')
      if (await gone(pid, 10_000)) return
      signal(pid, 'SIGKILL')
      await gone(pid, 5_000)
    }),
  )
}
export const shimsOf = (instance: Pick<Instance, 'containerdSocket'>): number[] =>
  findProcesses((args) => args[0]?.includes('containerd-shim') === true && args.includes(instance.containerdSocket))

/** Waits until CRI answers; fails at once when the process ends. */
async function ready(client: GrpcClient, pid: () => number | undefined, paths: Paths): Promise<void> {
  const end = performance.now() + startTimeoutMs
  for (;;) {
    try {
      const { status } = await client.call(cri.status, {}, { timeoutMs: 5_000 })
      if (status?.conditions.some((condition) => condition.type === 'RuntimeReady' && condition.status)) return
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const alive = pid() !== undefined && isAlive(pid() ?? 0)
      if (!alive || performance.now() > end)
        throw new ContainerdError(
          `containerd does not ${alive ? 'answer' : 'start'}: ${lastComplaint(paths)} (log: ${paths.logFile})`,
          { cause: error },
        )
    }
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
}
function lastComplaint(paths: Paths): string {
  const lines = existsSync(paths.logFile) ? readFileSync(paths.logFile, 'utf8').trimEnd().split('\n') : []
  const line = lines.findLast((l) => /level=(fatal|error)|^containerd:/.test(l)) ?? lines.at(-1) ?? 'it left no word'
  return /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line
}

async function ensurePauseImage(client: GrpcClient, socket: string): Promise<void> {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const present = async () =>
    (await client.call(cri.imageStatus, { image: { image: pauseImage } }, { timeoutMs: 10_000 })).image !== undefined
  if (await present()) return
  const archive = await pauseArchive(architecture)
  await importArchive(
    socket,
    client,
    (async function* () {
      yield archive
    })(),
  )
}

/** State is of no use after a reboot: what it describes is gone, and its sockets lead nowhere. */
function forgetLastBoot(paths: Paths): void {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  const file = join(paths.folder, 'boot-id')
  if (existsSync(file) && readFileSync(file, 'utf8') !== bootId) rmSync(paths.state, { recursive: true, force: true })
  writeFileSync(file, bootId)
}

/** Overlayfs, unless this file system cannot carry it; what was chosen first is kept, images lie in it. */
async function chooseSnapshotter(paths: Paths): Promise<'overlayfs' | 'native'> {
  const file = join(paths.folder, 'snapshotter')
  if (existsSync(file)) return readFileSync(file, 'utf8') === 'native' ? 'native' : 'overlayfs'
  const probe = join(paths.folder, 'overlay-probe')
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(probe, name), { recursive: true })
  let choice: 'overlayfs' | 'native' = 'overlayfs'
  const layers = `lowerdir=${probe}/lower,upperdir=${probe}/upper,workdir=${probe}/work`
  try {
    await run('mount', ['-t', 'overlay', 'overlay', '-o', layers, join(probe, 'merged')])
    await run('umount', [join(probe, 'merged')])
  } catch (error) {
    if (!(error instanceof Error)) throw error
    choice = 'native'
  }
  rmSync(probe, { recursive: true, force: true })
  writeFileSync(file, choice)
  return choice
}

const sysResourceBit = 24n
function hasSysResource(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return mask !== undefined && ((BigInt(`0x${mask}`) >> sysResourceBit) & 1n) === 1n
}
