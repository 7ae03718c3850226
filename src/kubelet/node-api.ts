// What the API server asks of this node, answered from the runtime view: logs, exec, attach, port-forward, HTTP paths.
import { ApiError, badRequest, notFound } from '../api/machinery/errors.ts'
import type { ContainerStatus } from '../ports/container-runtime.ts'
import type { LogQuery, NodeApi, PodAddress } from '../ports/node-api.ts'
import type { TransportRequest, TransportResponse } from '../ports/transport.ts'
import type { KubeletContext } from './context.ts'
import { containerNameOf } from './labels.ts'
import { readLogs } from './logs.ts'
import type { PodWorker } from './pod-worker.ts'
import { everyContainer, findContainer } from './types.ts'

export interface NodeApiParts {
  readonly context: KubeletContext
  /** The pod of that name that is not ending, or the newest. */
  readonly findPod: (namespace: string, name: string) => PodWorker | undefined
  /** Calls back when the runtime has told something of the pod. */
  readonly onPodChange: (uid: string, changed: () => void) => () => void
  /** The kubelet's other HTTP paths. */
  readonly request: (request: TransportRequest) => Promise<TransportResponse>
}

const podResource = { group: '', resource: 'pods' }

function workerOf({ findPod }: NodeApiParts, namespace: string, name: string): PodWorker {
  const worker = findPod(namespace, name)
  if (worker === undefined) throw notFound(podResource, name)
  return worker
}
const runsOf = (parts: NodeApiParts, worker: PodWorker, container: string): readonly ContainerStatus[] =>
  parts.context.view.pod(worker.uid).containers.filter((c) => containerNameOf(c) === container)

function runningContainer(parts: NodeApiParts, target: PodAddress): string {
  const worker = workerOf(parts, target.namespace, target.pod)
  const status = runsOf(parts, worker, target.container).find((run) => run.state === 'running')
  if (status === undefined) throw new ApiError('NotFound', `container not found ("${target.container}")`)
  return status.id
}

/** The run whose log is asked for, or why there is none. */
function runWithLog(parts: NodeApiParts, worker: PodWorker, target: PodAddress, previous: boolean): ContainerStatus {
  const { container, pod } = target
  const where = `container "${container}" in pod "${pod}"`
  if (findContainer(worker.pod.spec, container) === undefined)
    throw badRequest(`container ${container} is not valid for pod ${pod}`)
  const runs = runsOf(parts, worker, container).filter((run) => run.state !== 'created')
  const [newest, before] = runs
  // While the next run is held back, the one that ended last is already the previous one.
  const waiting = worker.waiting.get(container)
  if (previous) {
    const wanted = newest?.state === 'exited' && waiting !== undefined ? newest : before
    if (wanted === undefined) throw badRequest(`previous terminated ${where} not found`)
    return wanted
  }
  if (newest !== undefined) return newest
  const reason = waiting?.reason ?? (worker.pod.spec.initContainers ? 'PodInitializing' : 'ContainerCreating')
  if (reason === 'ErrImagePull') throw badRequest(`${where} is waiting to start: trying and failing to pull image`)
  if (reason === 'ImagePullBackOff') throw badRequest(`${where} is waiting to start: image can't be pulled`)
  throw badRequest(`${where} is waiting to start: ${reason}`)
}

/** Resolves when the log of a container that has ended is whole. */
function drained({ context: { view }, onPodChange }: NodeApiParts, uid: string, id: string, signal: AbortSignal) {
  return new Promise<void>((resolve) => {
    const look = () => {
      if (view.container(id)?.isDraining === true && !signal.aborted) return
      unfollow()
      signal.removeEventListener('abort', look)
      resolve()
    }
    const unfollow = onPodChange(uid, look)
    signal.addEventListener('abort', look)
    look()
  })
}

/** Throws where the configuration lets nobody look into containers. */
function mayDebug({ context: { config } }: NodeApiParts): void {
  if (!config.debuggingHandlers) throw new ApiError('MethodNotAllowed', 'Debug endpoints are disabled.')
}

export function createNodeApi(parts: NodeApiParts): NodeApi {
  const { context, onPodChange } = parts
  const { runtime, view, disk, clock } = context
  return {
    async containerLogs(target: PodAddress, query: LogQuery, signal: AbortSignal) {
      mayDebug(parts)
      const worker = workerOf(parts, target.namespace, target.pod)
      const run = runWithLog(parts, worker, target, query.previous === true)
      const source = {
        path: run.logPath,
        running: () => {
          const now = view.container(run.id)
          return now?.state === 'running' || now?.isDraining === true
        },
        onChange: (changed: () => void) => onPodChange(worker.uid, changed),
      }
      // What has ended says all that it said.
      if (query.follow !== true) await drained(parts, worker.uid, run.id, signal)
      return readLogs(disk, source, query, clock.now(), signal)
    },
    async exec(target, command, options) {
      mayDebug(parts)
      return runtime.exec(runningContainer(parts, target), command, options)
    },
    async attach(target, options) {
      mayDebug(parts)
      return runtime.attach(runningContainer(parts, target), options)
    },
    async portForward(namespace, pod, port) {
      mayDebug(parts)
      const worker = workerOf(parts, namespace, pod)
      const sandbox = view.pod(worker.uid).sandboxes.find((s) => s.ready)
      if (sandbox === undefined || everyContainer(worker.pod.spec).length === 0)
        throw new ApiError('NotFound', `cannot find pod sandbox of pod "${pod}"`)
      return runtime.portForward(sandbox.id, port)
    },
    request: (request) => parts.request(request),
  }
}
