// The ContainerRuntime port over CRI v1: containerd or any other CRI socket. Absence is `undefined`, what is already gone
// is done; every other refusal is thrown with the runtime's own words.
import {
  type ContainerRuntime,
  type ContainerStatus,
  ImagePullError,
  type RuntimeEvent,
  type StreamOptions,
} from '../../ports/container-runtime.ts'
import type { Log } from '../../ports/log.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { openPorts, openSession } from '../streaming/client.ts'
import { dialSpdy } from '../streaming/dial.ts'
import { createGrpcClient, GrpcError, isGrpcError, type Method } from '../wire/grpc.ts'
import {
  containerMessage,
  containerStatusOf,
  containerSummaryOf,
  imageOf,
  resourcesMessage,
  sandboxMessage,
  sandboxStatusOf,
  sandboxSummaryOf,
  statsOf,
} from './convert.ts'
import { followEvents, type Owner } from './events.ts'
import { cri } from './messages.ts'

export interface CriRuntimeOptions {
  /** unix:///run/containerd/containerd.sock */
  readonly address: string
  readonly log: Log
  /** What CRI cannot do: loading an archive, and knowing which images must stay. */
  readonly extras?: {
    importImage(archive: AsyncIterable<Uint8Array>): Promise<readonly string[]>
    /** Names of images that must not be collected. */
    pinnedImages(): Promise<ReadonlySet<string>>
  }
}
export interface CriRuntime extends ContainerRuntime {
  close(): void
}

const requestMs = 120_000
/** Sandboxes wait for CNI, containers for snapshots. */
const slowRequestMs = 240_000

export function createCriRuntime(options: CriRuntimeOptions): CriRuntime {
  const client = createGrpcClient(options.address)
  /** Whose a container is; filled from what we create and list. */
  const owners = new Map<string, Owner>()
  const call = <In, Out>(method: Method<In, Out>, request: NoInfer<In>, timeoutMs = requestMs): Promise<Out> =>
    client.call(method, request, { timeoutMs })
  const unlessGone = async (work: Promise<unknown>): Promise<void> => {
    try {
      await work
    } catch (error) {
      if (!isGrpcError(error, 'NotFound')) throw error
    }
  }
  const found = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work
    } catch (error) {
      if (isGrpcError(error, 'NotFound')) return undefined
      throw error
    }
  }
  const pinned = async (): Promise<ReadonlySet<string>> => (await options.extras?.pinnedImages()) ?? new Set()

  const listContainers = async () => {
    const { items } = await call(cri.listContainers, {})
    for (const item of items)
      owners.set(item.id, { sandboxId: item.sandboxId, podUid: owners.get(item.sandboxId)?.podUid })
    return items.map(containerSummaryOf)
  }
  const sandboxOf = async (containerId: string): Promise<string> => {
    if (!owners.has(containerId)) await listContainers()
    return owners.get(containerId)?.sandboxId ?? ''
  }
  const streamed = async (url: string, wanted: StreamOptions) =>
    openSession(await dialSpdy(url, 'v4.channel.k8s.io'), wanted)

  return {
    close: () => client.close(),
    async version() {
      const answer = await call(cri.version, { version: 'v1' }, 10_000)
      return { name: answer.name, version: answer.runtimeVersion, apiVersion: answer.apiVersion }
    },
    async status() {
      const { status } = await call(cri.status, {}, 10_000)
      return status?.conditions ?? []
    },
    async features() {
      const [{ handlers, features }, { name, runtimeVersion }] = await Promise.all([
        call(cri.status, {}, 10_000),
        call(cri.version, { version: 'v1' }, 10_000),
      ])
      return {
        supplementalGroupsPolicy: features?.supplementalGroupsPolicy ?? false,
        imageVolumes: mountsImages(name, runtimeVersion),
        handlers: handlers.map(({ name: handler, features: own }) => ({
          name: handler,
          recursiveReadOnlyMounts: own?.recursiveReadOnlyMounts ?? false,
          userNamespaces: own?.userNamespaces ?? false,
        })),
      }
    },

    async runPodSandbox(config, runtimeHandler) {
      const { id } = await call(cri.runPodSandbox, { config: sandboxMessage(config), runtimeHandler }, slowRequestMs)
      owners.set(id, { sandboxId: id, podUid: config.metadata.uid })
      return id
    },
    stopPodSandbox: (id) => unlessGone(unlessShimWent(() => call(cri.stopPodSandbox, { id }))),
    async removePodSandbox(id) {
      await unlessGone(call(cri.removePodSandbox, { id }))
      for (const [containerId, owner] of owners) if (owner.sandboxId === id) owners.delete(containerId)
    },
    async podSandboxStatus(id) {
      const answer = await found(call(cri.podSandboxStatus, { id }))
      return answer?.status === undefined ? undefined : sandboxStatusOf(answer.status)
    },
    async sandboxPid(id) {
      // What runtimes tell beyond the interface stands here as JSON: containerd and CRI-O both name the process.
      const answer = await found(call(cri.podSandboxStatus, { id, verbose: true }))
      const told: unknown = JSON.parse(answer?.info['info'] ?? '{}')
      const pid = typeof told === 'object' && told !== null && 'pid' in told ? told.pid : undefined
      return typeof pid === 'number' && pid > 0 ? pid : undefined
    },
    async listPodSandboxes() {
      const { items } = await call(cri.listPodSandbox, {})
      for (const item of items) owners.set(item.id, { sandboxId: item.id, podUid: item.metadata?.uid })
      return items.map(sandboxSummaryOf)
    },

    async createContainer(sandboxId, config, sandboxConfig) {
      const request = { sandboxId, config: containerMessage(config), sandboxConfig: sandboxMessage(sandboxConfig) }
      const { id } = await call(cri.createContainer, request, slowRequestMs)
      owners.set(id, { sandboxId, podUid: sandboxConfig.metadata.uid })
      return id
    },
    async startContainer(id) {
      await call(cri.startContainer, { id })
    },
    stopContainer: (id, timeoutSeconds) =>
      unlessGone(
        unlessShimWent(() =>
          call(cri.stopContainer, { id, timeout: timeoutSeconds }, timeoutSeconds * 1000 + requestMs),
        ),
      ),
    async removeContainer(id) {
      await unlessGone(call(cri.removeContainer, { id }))
      owners.delete(id)
    },
    async containerStatus(id): Promise<ContainerStatus | undefined> {
      const answer = await found(call(cri.containerStatus, { id }))
      return answer?.status === undefined ? undefined : containerStatusOf(answer.status, await sandboxOf(id))
    },
    listContainers,
    async updateContainerResources(id, resources) {
      await call(cri.updateContainerResources, { id, linux: resourcesMessage(resources) })
    },
    async reopenContainerLog(id) {
      await call(cri.reopenContainerLog, { id })
    },
    async execSync(id, command, timeoutSeconds) {
      try {
        const limitMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 + 10_000 : 24 * 3_600_000
        return { ...(await call(cri.execSync, { id, command, timeout: timeoutSeconds }, limitMs)), timedOut: false }
      } catch (error) {
        if (!isGrpcError(error, 'DeadlineExceeded')) throw error
        return { stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: -1, timedOut: true }
      }
    },
    async exec(id, command, wanted) {
      const request = { id, command, ...wanted, stderr: wanted.stderr && !wanted.tty }
      return streamed((await call(cri.exec, request)).url, wanted)
    },
    async attach(id, wanted) {
      const request = { id, ...wanted, stderr: wanted.stderr && !wanted.tty }
      return streamed((await call(cri.attach, request)).url, wanted)
    },
    async portForward(id, port) {
      const { url } = await call(cri.portForward, { id, ports: [port] })
      return single(await dialSpdy(url, 'portforward.k8s.io'), port)
    },
    async containerStats() {
      return (await call(cri.listContainerStats, {}, 30_000)).items.map(statsOf)
    },
    watchEvents(onEvent: (event: RuntimeEvent) => void) {
      return followEvents({ client, log: options.log, ownerOf: (id) => owners.get(id), onEvent })
    },

    async listImages() {
      const [{ images }, stay] = await Promise.all([call(cri.listImages, {}), pinned()])
      return images.map((image) => imageOf(image, stay))
    },
    async imageStatus(reference) {
      const { image } = await call(cri.imageStatus, { image: { image: reference } })
      return image === undefined ? undefined : imageOf(image, await pinned())
    },
    async pullImage(reference, auth, sandbox) {
      try {
        const request = { image: { image: reference }, auth, sandbox: sandboxMessage(sandbox) }
        return (await client.call(cri.pullImage, request)).imageRef
      } catch (error) {
        if (error instanceof GrpcError) throw new ImagePullError(pullErrorKind(error), error.message)
        throw error
      }
    },
    async removeImage(reference) {
      await unlessGone(call(cri.removeImage, { image: { image: reference } }))
    },
    async importImage(archive) {
      if (options.extras === undefined)
        throw new Error(`the container runtime at ${options.address} takes no archives: push the image to a registry`)
      return options.extras.importImage(archive)
    },
    async imageFsInfo() {
      const first = (await call(cri.imageFsInfo, {}, 10_000)).filesystems[0]
      return first === undefined
        ? undefined
        : {
            path: first.fsId?.mountpoint ?? '',
            usedBytes: first.usedBytes?.value ?? 0,
            inodesUsed: first.inodesUsed?.value ?? 0,
          }
    },
  }
}

/** Stops again where containerd's shim went away while it was asked: its container has ended, and a second try says so. */
export async function unlessShimWent<T>(stop: () => Promise<T>, delayMs = 50): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await stop()
    } catch (error) {
      if (attempt === 3 || !(error instanceof GrpcError) || !error.description.includes('ttrpc: closed')) throw error
      await new Promise((resolve) => setTimeout(resolve, delayMs))
    }
  }
}

/** One connection over a pipe of its own: when it is destroyed, so is the pipe. */
async function single(pipe: ByteStream, port: number): Promise<ByteStream> {
  const forwarder = openPorts(pipe)
  const stream = await forwarder.connect(port)
  return {
    ...stream,
    destroy(error) {
      stream.destroy(error)
      forwarder.close()
    },
  }
}

/** What a failed pull means, from the runtime's words: CRI has no field for it. */
export function pullErrorKind({ status, description }: GrpcError): ImagePullError['kind'] {
  if (description.includes('SignatureValidationFailed')) return 'signature'
  if (description.includes('RegistryUnavailable')) return 'unavailable'
  if (/pull access denied|insufficient_scope|authorization failed|unauthorized|\b40[13]\b/i.test(description))
    return 'unauthorized'
  if (status === 'NotFound' || /not found/.test(description)) return 'not-found'
  return 'other'
}

/** CRI has no word for it: containerd before 2.1 and CRI-O before 1.31 pass an image mount over in silence. */
export function mountsImages(name: string, version: string): boolean {
  const [major = 0, minor = 0] = version
    .replace(/^v/, '')
    .split('.')
    .map((part) => Number.parseInt(part, 10))
  const since = name === 'containerd' ? [2, 1] : name === 'cri-o' ? [1, 31] : [0, 0]
  return major > (since[0] ?? 0) || (major === since[0] && minor >= (since[1] ?? 0))
}
