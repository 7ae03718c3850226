// What happens in the runtime, as it happens: containerd's own event stream where there is one (CRI's came late: 1.6
// answers Unimplemented), CRI's event stream where the runtime has it, else listing, more often after something changed.
//
// An event of containerd overtakes its CRI plugin, which clears a task away before its status says that it has exited. The
// bare exit is passed on at once, every other event only when the status has caught up.
import { setMaxListeners } from 'node:events'
import type { Log } from '../../ports/log.ts'
import type { RuntimeEvent } from '../../ports/container-runtime.ts'
import { decode, type Decoded } from '../wire/protobuf.ts'
import { type GrpcClient, isGrpcError } from '../wire/grpc.ts'
import { containerEvent, subscribe, taskEvent } from './containerd-messages.ts'
import { cri } from './messages.ts'

export interface Owner {
  readonly sandboxId: string
  readonly podUid: string | undefined
}
export interface EventSourceOptions {
  readonly client: GrpcClient
  readonly log: Log
  /** Whose container it is; the id of a sandbox is its own. Undefined when not known yet. */
  readonly ownerOf: (id: string) => Owner | undefined
  readonly onEvent: (event: RuntimeEvent) => void
}

const wait = (delayMs: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal.addEventListener('abort', done)
  })

/** Follows the runtime until closed; a broken stream is taken up again and followed by a resync. */
export function followEvents(options: EventSourceOptions): { close(): void } {
  const stop = new AbortController()
  // Every event that waits for its status listens.
  setMaxListeners(0, stop.signal)
  void follow(options, stop.signal)
  return { close: () => stop.abort() }
}

type Source = 'containerd' | 'cri' | 'list'
async function follow(options: EventSourceOptions, signal: AbortSignal): Promise<void> {
  let source: Source = 'containerd'
  let delayMs = 50
  while (!signal.aborted) {
    const startedMs = performance.now()
    try {
      if (source === 'list') await followByListing(options, signal)
      else {
        resyncSoon(options, signal)
        await (source === 'containerd' ? followContainerd(options, signal) : followCri(options, signal))
      }
    } catch (error) {
      if (signal.aborted) return
      if (isGrpcError(error, 'Unimplemented')) {
        source = source === 'containerd' ? 'cri' : 'list'
        continue
      }
      options.log.debug('the event stream of the container runtime broke', { error: String(error) })
    }
    delayMs = performance.now() - startedMs > 5_000 ? 50 : Math.min(delayMs * 2, 2_000)
    await wait(delayMs, signal)
  }
}
/** The stream has no word for "you are subscribed": list once now and once when it surely stands. */
function resyncSoon(options: EventSourceOptions, signal: AbortSignal): void {
  options.onEvent({ type: 'resync' })
  void wait(300, signal).then(() => {
    if (!signal.aborted) options.onEvent({ type: 'resync' })
  })
}

async function followContainerd(options: EventSourceOptions, signal: AbortSignal): Promise<void> {
  const tell = (type: 'stopped' | 'deleted' | 'oom', containerId: string) => {
    const owner = options.ownerOf(containerId)
    options.onEvent({ type, containerId, sandboxId: owner?.sandboxId, podUid: owner?.podUid })
  }
  // Nobody but us makes and starts what is ours, and we know when: the stream need not tell of it.
  const oomKilled = new Set<string>()
  const topics = ['/tasks/exit', '/tasks/oom', '/containers/delete']
  const filters = topics.map((topic) => `namespace==k8s.io,topic=="${topic}"`)
  for await (const { topic, event } of options.client.stream(subscribe, { filters }, { signal })) {
    if (event === undefined) continue
    switch (topic) {
      case '/tasks/exit': {
        const task = decode(taskEvent, event.value)
        // An exec inside the container has an id of its own.
        if (task.id !== '' && task.id !== task.containerId) break
        tellExit(options, task, oomKilled)
        void until(options, task.containerId, hasEnded, patienceMs, signal).then(() =>
          tell('stopped', task.containerId),
        )
        break
      }
      case '/tasks/oom': {
        const id = decode(taskEvent, event.value).containerId
        oomKilled.add(id)
        void until(options, id, killedForMemory, oomPatienceMs, signal).then(() => tell('oom', id))
        break
      }
      case '/containers/delete':
        oomKilled.delete(decode(containerEvent, event.value).id)
        tell('deleted', decode(containerEvent, event.value).id)
        break
    }
  }
}

/** What kills for memory, and the death of a shim, look alike: only the status tells why. */
const killed = 137
function tellExit(
  { ownerOf, onEvent }: EventSourceOptions,
  { containerId, exitStatus, exitedAt }: Decoded<typeof taskEvent>,
  oomKilled: ReadonlySet<string>,
): void {
  const owner = ownerOf(containerId)
  if (owner === undefined || exitedAt === undefined) return
  // How a sandbox ended makes no difference.
  const isSandbox = owner.sandboxId === containerId
  if (!isSandbox && (exitStatus === killed || oomKilled.has(containerId))) return
  const finishedAtMs = exitedAt.seconds * 1000 + Math.floor(exitedAt.nanos / 1e6)
  onEvent({ type: 'exited', containerId, exitCode: exitStatus, finishedAtMs })
}

/** CRI's word for a container that runs, and for a sandbox that is ready. */
const running = { container: 1, sandbox: 0 } as const
const longestDelayMs = 1_000
/** The end of a container is shown in a moment, but after the death of a shim containerd tries again and again for up to a
 * minute. */
const patienceMs = 120_000
const oomPatienceMs = 5_000
interface Shown {
  readonly state: number
  /** Of a container. */
  readonly reason?: string
}
const hasEnded = ({ state }: Shown, kind: keyof typeof running): boolean => state !== running[kind]
const killedForMemory = ({ reason }: Shown): boolean => reason === 'OOMKilled'
/** Waits until CRI's word of a container or sandbox is as the event promises. */
async function until(
  { client, ownerOf }: EventSourceOptions,
  id: string,
  check: (shown: Shown, kind: keyof typeof running) => boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const owner = ownerOf(id)
  if (owner === undefined) return
  const kind = owner.sandboxId === id ? 'sandbox' : 'container'
  const endMs = performance.now() + timeoutMs
  for (let delayMs = 1; performance.now() < endMs && !signal.aborted; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
    try {
      const { status } =
        kind === 'sandbox'
          ? await client.call(cri.podSandboxStatus, { id }, { timeoutMs: 10_000 })
          : await client.call(cri.containerStatus, { id }, { timeoutMs: 10_000 })
      if (status === undefined || check(status, kind)) return
    } catch (error) {
      if (isGrpcError(error, 'NotFound')) return
      if (!(error instanceof Error)) throw error
      // The runtime is away: the stream breaks too, and a resync follows.
      return
    }
    await wait(delayMs, signal)
  }
}

const criTypes = ['created', 'started', 'stopped', 'deleted'] as const
async function followCri(options: EventSourceOptions, signal: AbortSignal): Promise<void> {
  for await (const event of options.client.stream(cri.containerEvents, {}, { signal })) {
    const type = criTypes[event.type]
    if (type === undefined) continue
    const owner = options.ownerOf(event.containerId)
    options.onEvent({
      type,
      containerId: event.containerId,
      sandboxId: event.sandbox?.id ?? owner?.sandboxId,
      podUid: event.sandbox?.metadata?.uid ?? owner?.podUid,
    })
  }
}

/** Lists every 100 ms while things change, up to every 2 s while nothing does. */
async function followByListing(options: EventSourceOptions, signal: AbortSignal): Promise<void> {
  let last = ''
  let delayMs = 100
  while (!signal.aborted) {
    const [containers, sandboxes] = await Promise.all([
      options.client.call(cri.listContainers, {}, { timeoutMs: 30_000 }),
      options.client.call(cri.listPodSandbox, {}, { timeoutMs: 30_000 }),
    ])
    const state = [...containers.items, ...sandboxes.items].map((item) => `${item.id}=${item.state}`)
    const now = state.toSorted().join()
    if (now !== last) {
      last = now
      delayMs = 100
      options.onEvent({ type: 'resync' })
    } else delayMs = Math.min(delayMs * 1.3, 2_000)
    await wait(delayMs, signal)
  }
}
