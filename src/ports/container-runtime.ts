// The container runtime as a port, in CRI v1's terms (https://github.com/kubernetes/cri-api). The host speaks gRPC to
// containerd or any CRI socket; the simulation keeps scripted containers.
import type { ByteStream } from './transport.ts'

export interface ContainerRuntime {
  version(): Promise<{ readonly name: string; readonly version: string; readonly apiVersion: string }>
  /** Conditions RuntimeReady and NetworkReady. */
  status(): Promise<readonly RuntimeCondition[]>
  /** What it can do that not every runtime can. */
  features(): Promise<RuntimeFeatures>
  runPodSandbox(config: SandboxConfig, runtimeHandler: string): Promise<string>
  /** Kills what runs in it and frees its network; idempotent. */
  stopPodSandbox(sandboxId: string): Promise<void>
  removePodSandbox(sandboxId: string): Promise<void>
  podSandboxStatus(sandboxId: string): Promise<SandboxStatus | undefined>
  /** A process in the sandbox's network; undefined where the runtime does not tell one. */
  sandboxPid(sandboxId: string): Promise<number | undefined>
  listPodSandboxes(): Promise<readonly SandboxSummary[]>
  createContainer(sandboxId: string, config: ContainerConfig, sandboxConfig: SandboxConfig): Promise<string>
  startContainer(containerId: string): Promise<void>
  /** Stop signal, wait, KILL. 0 kills at once. */
  stopContainer(containerId: string, timeoutSeconds: number): Promise<void>
  removeContainer(containerId: string): Promise<void>
  containerStatus(containerId: string): Promise<ContainerStatus | undefined>
  listContainers(): Promise<readonly ContainerSummary[]>
  updateContainerResources(containerId: string, resources: LinuxResources): Promise<void>
  reopenContainerLog(containerId: string): Promise<void>
  execSync(containerId: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult>
  /** Interactive streams; the returned session ends when the command does. */
  exec(containerId: string, command: readonly string[], options: StreamOptions): Promise<StreamSession>
  attach(containerId: string, options: StreamOptions): Promise<StreamSession>
  /** A connection to a port inside the sandbox's network namespace. */
  portForward(sandboxId: string, port: number): Promise<ByteStream>
  containerStats(): Promise<readonly ContainerStats[]>
  /** Ends as they happen. The callback may be told too much (of beginnings too), never too little of ends: after `resync`
   * list everything. */
  watchEvents(onEvent: (event: RuntimeEvent) => void): { close(): void }

  listImages(): Promise<readonly RuntimeImage[]>
  /** Undefined when the image is not there. `reference` may be a name, name:tag, name@digest or an image id. */
  imageStatus(reference: string): Promise<RuntimeImage | undefined>
  /** Returns the image reference to run. Throws ImagePullError. */
  pullImage(reference: string, auth: RegistryAuth | undefined, sandbox: SandboxConfig): Promise<string>
  removeImage(reference: string): Promise<void>
  /** Loads a docker or OCI archive (maybe gzipped); returns the names it brought. Throws with one clear line. */
  importImage(archive: AsyncIterable<Uint8Array>): Promise<readonly string[]>
  imageFsInfo(): Promise<{ readonly path: string; readonly usedBytes: number; readonly inodesUsed: number } | undefined>
}

export interface RuntimeCondition {
  /** RuntimeReady, NetworkReady or the runtime's own. */
  readonly type: string
  readonly status: boolean
  readonly reason: string
  readonly message: string
}
export type NamespaceMode = 'pod' | 'container' | 'node' | 'target'
export interface NamespaceOptions {
  readonly network: NamespaceMode
  readonly pid: NamespaceMode
  readonly ipc: NamespaceMode
  /** With pid 'target': whose processes to see. */
  readonly targetId?: string
  readonly userns?: {
    readonly mode: 'pod' | 'node'
    readonly uids: readonly IdMapping[]
    readonly gids: readonly IdMapping[]
  }
}
export interface IdMapping {
  readonly hostId: number
  readonly containerId: number
  readonly length: number
}
export interface SecurityProfile {
  readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost'
  readonly localhostRef?: string
}
export interface SandboxConfig {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly namespace: string
    readonly attempt: number
  }
  readonly hostname: string
  /** Directory for container logs. */
  readonly logDirectory: string
  readonly dns?: {
    readonly servers: readonly string[]
    readonly searches: readonly string[]
    readonly options: readonly string[]
  }
  readonly portMappings: readonly {
    readonly protocol: 'TCP' | 'UDP' | 'SCTP'
    readonly containerPort: number
    readonly hostPort: number
    readonly hostIP: string
  }[]
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly linux: {
    readonly cgroupParent: string
    readonly sysctls: Readonly<Record<string, string>>
    readonly overhead?: LinuxResources
    readonly resources?: LinuxResources
    readonly security: {
      readonly namespaces: NamespaceOptions
      readonly runAsUser?: number
      readonly runAsGroup?: number
      readonly supplementalGroups: readonly number[]
      readonly supplementalGroupsPolicy?: 'Merge' | 'Strict'
      readonly privileged: boolean
      readonly readonlyRootfs: boolean
      readonly seccomp?: SecurityProfile
      readonly apparmor?: SecurityProfile
      readonly selinux?: SelinuxOptions
    }
  }
}
export interface SelinuxOptions {
  readonly user: string
  readonly role: string
  readonly type: string
  readonly level: string
}
export interface LinuxResources {
  readonly cpuPeriod?: number
  /** Microseconds per period; -1 lifts the limit, 0 says none. */
  readonly cpuQuota?: number
  readonly cpuShares?: number
  readonly memoryLimitBytes?: number
  readonly memorySwapLimitBytes?: number
  readonly oomScoreAdj?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[]
  /** cgroup v2 files. */
  readonly unified?: Readonly<Record<string, string>>
}
export interface Mount {
  readonly containerPath: string
  readonly hostPath: string
  readonly readonly: boolean
  readonly recursiveReadOnly?: boolean
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional'
  readonly selinuxRelabel: boolean
  /** An image volume: the image's files instead of hostPath (CRI 1.31+). */
  readonly image?: { readonly reference: string; readonly subPath?: string }
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
}
export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number }
  /** What pullImage or imageStatus answered (an image id). */
  readonly image: { readonly reference: string; readonly userSpecifiedImage: string; readonly runtimeHandler?: string }
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly workingDir: string
  readonly env: readonly { readonly key: string; readonly value: string }[]
  readonly mounts: readonly Mount[]
  readonly devices: readonly {
    readonly containerPath: string
    readonly hostPath: string
    readonly permissions: string
  }[]
  readonly cdiDevices?: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Relative to the sandbox's logDirectory. */
  readonly logPath: string
  readonly stdin: boolean
  readonly stdinOnce: boolean
  readonly tty: boolean
  readonly stopSignal?: string
  readonly linux: {
    readonly resources: LinuxResources
    readonly security: {
      readonly capabilities?: { readonly add: readonly string[]; readonly drop: readonly string[] }
      readonly privileged: boolean
      readonly namespaces: NamespaceOptions
      readonly runAsUser?: number
      readonly runAsGroup?: number
      readonly runAsUsername?: string
      readonly readonlyRootfs: boolean
      readonly supplementalGroups: readonly number[]
      readonly supplementalGroupsPolicy?: 'Merge' | 'Strict'
      readonly noNewPrivs: boolean
      readonly maskedPaths: readonly string[]
      readonly readonlyPaths: readonly string[]
      readonly seccomp?: SecurityProfile
      readonly apparmor?: SecurityProfile
      readonly selinux?: SelinuxOptions
    }
  }
}
export interface RuntimeFeatures {
  readonly supplementalGroupsPolicy: boolean
  readonly imageVolumes: boolean
  /** The default handler is called ''. Empty where the runtime does not tell. */
  readonly handlers: readonly {
    readonly name: string
    readonly recursiveReadOnlyMounts: boolean
    readonly userNamespaces: boolean
  }[]
}
export interface SandboxSummary {
  readonly id: string
  readonly metadata: SandboxConfig['metadata']
  readonly ready: boolean
  /** Milliseconds since 1970. */
  readonly createdAtMs: number
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly runtimeHandler: string
}
export interface SandboxStatus extends SandboxSummary {
  /** The first is the primary one; empty for host network. */
  readonly ips: readonly string[]
  readonly namespaces: NamespaceOptions
}
export type ContainerState = 'created' | 'running' | 'exited' | 'unknown'
export interface ContainerSummary {
  readonly id: string
  readonly sandboxId: string
  readonly metadata: { readonly name: string; readonly attempt: number }
  readonly image: string
  readonly imageRef: string
  readonly state: ContainerState
  readonly createdAtMs: number
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}
export interface ContainerStatus extends ContainerSummary {
  /** 0 where it has not happened. */
  readonly startedAtMs: number
  readonly finishedAtMs: number
  readonly exitCode: number
  /** Completed, Error, OOMKilled, ContainerCannotRun, ... */
  readonly reason: string
  readonly message: string
  readonly logPath: string
  readonly mounts: readonly Mount[]
  readonly resources?: LinuxResources
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
  /** It has ended, but what it said last may not be in its log yet. */
  readonly isDraining?: boolean
}
export interface ExecResult {
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  readonly exitCode: number
  /** True when the timeout passed first. */
  readonly timedOut: boolean
}
export interface StreamOptions {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}
/** Streams of an exec or attach; absent ones were not asked for. */
export interface StreamSession {
  readonly stdin?: { write(bytes: Uint8Array): Promise<void>; end(): Promise<void> }
  readonly stdout?: AsyncIterable<Uint8Array>
  readonly stderr?: AsyncIterable<Uint8Array>
  resize(width: number, height: number): Promise<void>
  /** How it ended; exitCode undefined when the session broke (message says why). */
  readonly result: Promise<{ readonly exitCode: number | undefined; readonly message: string }>
  close(): void
}
export interface ContainerStats {
  readonly containerId: string
  readonly labels: Readonly<Record<string, string>>
  readonly timestampMs: number
  readonly cpuUsageNanoCores: number | undefined
  readonly cpuUsageCoreNanoSeconds: number
  readonly memoryWorkingSetBytes: number
  readonly memoryUsageBytes: number
  readonly memoryRssBytes: number
  readonly memoryPageFaults: number
  readonly memoryMajorPageFaults: number
  readonly rootfsUsedBytes: number
  readonly rootfsInodesUsed: number
}
export type RuntimeEvent =
  | {
      readonly type: 'created' | 'started' | 'stopped' | 'deleted' | 'oom'
      readonly containerId: string
      /** Undefined when the runtime's event does not say; then relist. */
      readonly sandboxId: string | undefined
      readonly podUid: string | undefined
    }
  /** The process of a container or of a sandbox has ended; the status says so later ('stopped'), when its log is whole or
   * its network taken down. */
  | {
      readonly type: 'exited'
      readonly containerId: string
      readonly exitCode: number
      readonly finishedAtMs: number
    }
  | { readonly type: 'resync' }
export interface RuntimeImage {
  readonly id: string
  readonly repoTags: readonly string[]
  readonly repoDigests: readonly string[]
  readonly sizeBytes: number
  readonly uid: number | undefined
  readonly username: string
  readonly pinned: boolean
}
export interface RegistryAuth {
  readonly username?: string
  readonly password?: string
  readonly auth?: string
  readonly identityToken?: string
  readonly registryToken?: string
}
/** A pull that failed; `message` is the runtime's own text, `kind` decides the waiting reason and the event. */
export class ImagePullError extends Error {
  readonly kind: 'not-found' | 'unavailable' | 'unauthorized' | 'signature' | 'other'
  constructor(kind: ImagePullError['kind'], message: string) {
    super(message)
    this.name = 'ImagePullError'
    this.kind = kind
  }
}
