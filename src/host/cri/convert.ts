// Between the port's terms and CRI's messages, one small function a shape, both ways.
import type {
  ContainerConfig,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  LinuxResources,
  Mount,
  NamespaceMode,
  NamespaceOptions,
  RuntimeImage,
  SandboxConfig,
  SandboxStatus,
  SandboxSummary,
  SecurityProfile,
} from '../../ports/container-runtime.ts'
import type { Decoded, Encodable } from '../wire/protobuf.ts'
import {
  type containerConfig,
  containerStates,
  type cri,
  type linuxResources,
  type mount,
  type namespaceOption,
  namespaceModes,
  propagations,
  protocols,
  type sandboxConfig,
  securityProfileTypes,
  signalNumber,
} from './messages.ts'

const millis = (nanoseconds: number) => Math.floor(nanoseconds / 1e6)
const modeNumber = (mode: NamespaceMode) => namespaceModes.indexOf(mode)
const modeOf = (n: number): NamespaceMode => namespaceModes[n] ?? 'pod'
const optionalInt = (value: number | undefined) => (value === undefined ? undefined : { value })
const policyNumber = (policy: 'Merge' | 'Strict' | undefined) => (policy === 'Strict' ? 1 : 0)
const profileMessage = (profile: SecurityProfile | undefined) =>
  profile === undefined
    ? undefined
    : { type: securityProfileTypes.indexOf(profile.type), localhostRef: profile.localhostRef ?? '' }

function namespacesMessage(options: NamespaceOptions): Encodable<typeof namespaceOption> {
  return {
    network: modeNumber(options.network),
    pid: modeNumber(options.pid),
    ipc: modeNumber(options.ipc),
    targetId: options.targetId,
    userns:
      options.userns === undefined
        ? undefined
        : {
            mode: modeNumber(options.userns.mode),
            uids: options.userns.uids,
            gids: options.userns.gids,
          },
  }
}
function namespacesOf(options: Decoded<typeof namespaceOption> | undefined): NamespaceOptions {
  if (options === undefined) return { network: 'pod', pid: 'pod', ipc: 'pod' }
  const { userns } = options
  return {
    network: modeOf(options.network),
    pid: modeOf(options.pid),
    ipc: modeOf(options.ipc),
    ...(options.targetId === '' ? {} : { targetId: options.targetId }),
    ...(userns === undefined
      ? {}
      : { userns: { mode: modeOf(userns.mode) === 'node' ? 'node' : 'pod', uids: userns.uids, gids: userns.gids } }),
  }
}

export const resourcesMessage = (resources: LinuxResources): Encodable<typeof linuxResources> => resources
function resourcesOf(resources: Decoded<typeof linuxResources>): LinuxResources {
  return {
    cpuPeriod: resources.cpuPeriod,
    cpuQuota: resources.cpuQuota,
    cpuShares: resources.cpuShares,
    memoryLimitBytes: resources.memoryLimitBytes,
    oomScoreAdj: resources.oomScoreAdj,
    ...(resources.memorySwapLimitBytes === 0 ? {} : { memorySwapLimitBytes: resources.memorySwapLimitBytes }),
    ...(resources.cpusetCpus === '' ? {} : { cpusetCpus: resources.cpusetCpus }),
    ...(resources.cpusetMems === '' ? {} : { cpusetMems: resources.cpusetMems }),
    ...(resources.hugepageLimits.length === 0 ? {} : { hugepageLimits: resources.hugepageLimits }),
    ...(Object.keys(resources.unified).length === 0 ? {} : { unified: resources.unified }),
  }
}

export function sandboxMessage(config: SandboxConfig): Encodable<typeof sandboxConfig> {
  const { security } = config.linux
  return {
    metadata: config.metadata,
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    dns: config.dns,
    portMappings: config.portMappings.map((m) => ({ ...m, protocol: protocols.indexOf(m.protocol) })),
    labels: config.labels,
    annotations: config.annotations,
    linux: {
      cgroupParent: config.linux.cgroupParent,
      sysctls: config.linux.sysctls,
      overhead: config.linux.overhead,
      resources: config.linux.resources,
      security: {
        namespaces: namespacesMessage(security.namespaces),
        selinux: security.selinux,
        runAsUser: optionalInt(security.runAsUser),
        runAsGroup: optionalInt(security.runAsGroup),
        readonlyRootfs: security.readonlyRootfs,
        supplementalGroups: security.supplementalGroups,
        supplementalGroupsPolicy: policyNumber(security.supplementalGroupsPolicy),
        privileged: security.privileged,
        seccomp: profileMessage(security.seccomp),
        apparmor: profileMessage(security.apparmor),
      },
    },
  }
}

function mountMessage(m: Mount): Encodable<typeof mount> {
  return {
    containerPath: m.containerPath,
    hostPath: m.hostPath,
    readonly: m.readonly,
    recursiveReadOnly: m.recursiveReadOnly,
    selinuxRelabel: m.selinuxRelabel,
    propagation: propagations.indexOf(m.propagation),
    image: m.image === undefined ? undefined : { image: m.image.reference, userSpecifiedImage: m.image.reference },
    imageSubPath: m.image?.subPath,
    uidMappings: m.uidMappings,
    gidMappings: m.gidMappings,
  }
}
function mountOf(m: Decoded<typeof mount>): Mount {
  return {
    containerPath: m.containerPath,
    hostPath: m.hostPath,
    readonly: m.readonly,
    recursiveReadOnly: m.recursiveReadOnly,
    selinuxRelabel: m.selinuxRelabel,
    propagation: propagations[m.propagation] ?? 'private',
    ...(m.image === undefined
      ? {}
      : { image: { reference: m.image.image, ...(m.imageSubPath === '' ? {} : { subPath: m.imageSubPath }) } }),
  }
}

export function containerMessage(config: ContainerConfig): Encodable<typeof containerConfig> {
  const { security } = config.linux
  return {
    metadata: config.metadata,
    image: {
      image: config.image.reference,
      userSpecifiedImage: config.image.userSpecifiedImage,
      runtimeHandler: config.image.runtimeHandler,
    },
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    env: config.env,
    mounts: config.mounts.map(mountMessage),
    devices: config.devices,
    cdiDevices: config.cdiDevices?.map((name) => ({ name })),
    labels: config.labels,
    annotations: config.annotations,
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    stopSignal: signalNumber(config.stopSignal),
    linux: {
      resources: config.linux.resources,
      security: {
        capabilities: security.capabilities,
        privileged: security.privileged,
        namespaces: namespacesMessage(security.namespaces),
        selinux: security.selinux,
        runAsUser: optionalInt(security.runAsUser),
        runAsGroup: optionalInt(security.runAsGroup),
        runAsUsername: security.runAsUsername,
        readonlyRootfs: security.readonlyRootfs,
        supplementalGroups: security.supplementalGroups,
        supplementalGroupsPolicy: policyNumber(security.supplementalGroupsPolicy),
        noNewPrivs: security.noNewPrivs,
        maskedPaths: security.maskedPaths,
        readonlyPaths: security.readonlyPaths,
        seccomp: profileMessage(security.seccomp),
        apparmor: profileMessage(security.apparmor),
      },
    },
  }
}

type SandboxItem = Decoded<(typeof cri.listPodSandbox)['response']>['items'][number]
type SandboxAnswer = NonNullable<Decoded<(typeof cri.podSandboxStatus)['response']>['status']>
type ContainerItem = Decoded<(typeof cri.listContainers)['response']>['items'][number]
type ContainerAnswer = NonNullable<Decoded<(typeof cri.containerStatus)['response']>['status']>
type ImageAnswer = Decoded<(typeof cri.listImages)['response']>['images'][number]
type StatsAnswer = Decoded<(typeof cri.listContainerStats)['response']>['items'][number]

const noMetadata = { name: '', uid: '', namespace: '', attempt: 0 }
export const sandboxSummaryOf = (item: SandboxItem | SandboxAnswer): SandboxSummary => ({
  id: item.id,
  metadata: item.metadata ?? noMetadata,
  ready: item.state === 0,
  createdAtMs: millis(item.createdAt),
  labels: item.labels,
  annotations: item.annotations,
  runtimeHandler: item.runtimeHandler,
})
export const sandboxStatusOf = (status: SandboxAnswer): SandboxStatus => ({
  ...sandboxSummaryOf(status),
  ips: [status.network?.ip ?? '', ...(status.network?.additional ?? []).map((a) => a.ip)].filter((ip) => ip !== ''),
  namespaces: namespacesOf(status.linux?.namespaces?.options),
})
export const containerSummaryOf = (item: ContainerItem): ContainerSummary => ({
  id: item.id,
  sandboxId: item.sandboxId,
  metadata: item.metadata ?? { name: '', attempt: 0 },
  image: item.image?.image ?? '',
  imageRef: item.imageRef,
  state: containerStates[item.state] ?? 'unknown',
  createdAtMs: millis(item.createdAt),
  labels: item.labels,
  annotations: item.annotations,
})
/** CRI's status does not name the sandbox: the caller knows or asks. */
export function containerStatusOf(status: ContainerAnswer, sandboxId: string): ContainerStatus {
  const user = status.user?.linux
  return {
    id: status.id,
    sandboxId,
    metadata: status.metadata ?? { name: '', attempt: 0 },
    image: status.image?.image ?? '',
    imageRef: status.imageRef,
    state: containerStates[status.state] ?? 'unknown',
    createdAtMs: millis(status.createdAt),
    labels: status.labels,
    annotations: status.annotations,
    startedAtMs: millis(status.startedAt),
    finishedAtMs: millis(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    logPath: status.logPath,
    mounts: status.mounts.map(mountOf),
    ...(status.resources?.linux === undefined ? {} : { resources: resourcesOf(status.resources.linux) }),
    ...(user === undefined ? {} : { user: { uid: user.uid, gid: user.gid, supplementalGroups: user.groups } }),
  }
}
export const imageOf = (image: ImageAnswer, pinnedNames: ReadonlySet<string>): RuntimeImage => ({
  id: image.id,
  repoTags: image.repoTags,
  repoDigests: image.repoDigests,
  sizeBytes: image.size,
  uid: image.uid?.value,
  username: image.username,
  pinned: image.pinned || image.repoTags.some((tag) => pinnedNames.has(tag)),
})
export function statsOf(stats: StatsAnswer): ContainerStats {
  const { cpu, memory } = stats
  return {
    containerId: stats.attributes?.id ?? '',
    labels: stats.attributes?.labels ?? {},
    timestampMs: millis(cpu?.timestamp ?? memory?.timestamp ?? 0),
    cpuUsageNanoCores: cpu?.nanoCores?.value,
    cpuUsageCoreNanoSeconds: cpu?.coreNanoseconds?.value ?? 0,
    memoryWorkingSetBytes: memory?.workingSet?.value ?? 0,
    memoryUsageBytes: memory?.usage?.value ?? 0,
    memoryRssBytes: memory?.rss?.value ?? 0,
    memoryPageFaults: memory?.pageFaults?.value ?? 0,
    memoryMajorPageFaults: memory?.majorPageFaults?.value ?? 0,
    rootfsUsedBytes: stats.writableLayer?.usedBytes?.value ?? 0,
    rootfsInodesUsed: stats.writableLayer?.inodesUsed?.value ?? 0,
  }
}
