// The part of CRI v1 that we use (https://github.com/kubernetes/cri-api): messages as data, methods by path. Field
// numbers are the interface's; what we never send or read is left out.
import type { Method } from '../wire/grpc.ts'
import {
  bool,
  bytes,
  int,
  ints,
  list,
  type Message,
  message,
  nested,
  string,
  stringMap,
  strings,
  uint,
} from '../wire/protobuf.ts'

const empty = message({})
export const intValue = message({ value: int(1) })
const uintValue = message({ value: uint(1) })
export const idMapping = message({ hostId: uint(1), containerId: uint(2), length: uint(3) })
const imageSpec = message({
  image: string(1),
  annotations: stringMap(2),
  userSpecifiedImage: string(18),
  runtimeHandler: string(19),
})

export const linuxResources = message({
  cpuPeriod: int(1),
  cpuQuota: int(2),
  cpuShares: int(3),
  memoryLimitBytes: int(4),
  oomScoreAdj: int(5),
  cpusetCpus: string(6),
  cpusetMems: string(7),
  hugepageLimits: list(8, message({ pageSize: string(1), limit: uint(2) })),
  unified: stringMap(9),
  memorySwapLimitBytes: int(10),
})

export const namespaceOption = message({
  network: int(1),
  pid: int(2),
  ipc: int(3),
  targetId: string(4),
  userns: nested(5, message({ mode: int(1), uids: list(2, idMapping), gids: list(3, idMapping) })),
})
export const namespaceModes = ['pod', 'container', 'node', 'target'] as const
export const securityProfileTypes = ['RuntimeDefault', 'Unconfined', 'Localhost'] as const
export const protocols = ['TCP', 'UDP', 'SCTP'] as const
export const propagations = ['private', 'hostToContainer', 'bidirectional'] as const
export const containerStates = ['created', 'running', 'exited', 'unknown'] as const
const securityProfile = message({ type: int(1), localhostRef: string(2) })
const selinuxOption = message({ user: string(1), role: string(2), type: string(3), level: string(4) })

const sandboxMetadata = message({ name: string(1), uid: string(2), namespace: string(3), attempt: uint(4) })
export const sandboxConfig = message({
  metadata: nested(1, sandboxMetadata),
  hostname: string(2),
  logDirectory: string(3),
  dns: nested(4, message({ servers: strings(1), searches: strings(2), options: strings(3) })),
  portMappings: list(5, message({ protocol: int(1), containerPort: int(2), hostPort: int(3), hostIP: string(4) })),
  labels: stringMap(6),
  annotations: stringMap(7),
  linux: nested(
    8,
    message({
      cgroupParent: string(1),
      security: nested(
        2,
        message({
          namespaces: nested(1, namespaceOption),
          selinux: nested(2, selinuxOption),
          runAsUser: nested(3, intValue),
          readonlyRootfs: bool(4),
          supplementalGroups: ints(5),
          privileged: bool(6),
          runAsGroup: nested(8, intValue),
          seccomp: nested(9, securityProfile),
          apparmor: nested(10, securityProfile),
          supplementalGroupsPolicy: int(11),
        }),
      ),
      sysctls: stringMap(3),
      overhead: nested(4, linuxResources),
      resources: nested(5, linuxResources),
    }),
  ),
})

export const mount = message({
  containerPath: string(1),
  hostPath: string(2),
  readonly: bool(3),
  selinuxRelabel: bool(4),
  propagation: int(5),
  uidMappings: list(6, idMapping),
  gidMappings: list(7, idMapping),
  recursiveReadOnly: bool(8),
  image: nested(9, imageSpec),
  imageSubPath: string(10),
})
const containerMetadata = message({ name: string(1), attempt: uint(2) })
export const containerConfig = message({
  metadata: nested(1, containerMetadata),
  image: nested(2, imageSpec),
  command: strings(3),
  args: strings(4),
  workingDir: string(5),
  env: list(6, message({ key: string(1), value: string(2) })),
  mounts: list(7, mount),
  devices: list(8, message({ containerPath: string(1), hostPath: string(2), permissions: string(3) })),
  labels: stringMap(9),
  annotations: stringMap(10),
  logPath: string(11),
  stdin: bool(12),
  stdinOnce: bool(13),
  tty: bool(14),
  linux: nested(
    15,
    message({
      resources: nested(1, linuxResources),
      security: nested(
        2,
        message({
          capabilities: nested(1, message({ add: strings(1), drop: strings(2) })),
          privileged: bool(2),
          namespaces: nested(3, namespaceOption),
          selinux: nested(4, selinuxOption),
          runAsUser: nested(5, intValue),
          runAsUsername: string(6),
          readonlyRootfs: bool(7),
          supplementalGroups: ints(8),
          noNewPrivs: bool(11),
          runAsGroup: nested(12, intValue),
          maskedPaths: strings(13),
          readonlyPaths: strings(14),
          seccomp: nested(15, securityProfile),
          apparmor: nested(16, securityProfile),
          supplementalGroupsPolicy: int(17),
        }),
      ),
    }),
  ),
  cdiDevices: list(17, message({ name: string(1) })),
  stopSignal: int(18),
})

const sandboxStatus = message({
  id: string(1),
  metadata: nested(2, sandboxMetadata),
  state: int(3),
  createdAt: int(4),
  network: nested(5, message({ ip: string(1), additional: list(2, message({ ip: string(1) })) })),
  linux: nested(6, message({ namespaces: nested(1, message({ options: nested(2, namespaceOption) })) })),
  labels: stringMap(7),
  annotations: stringMap(8),
  runtimeHandler: string(9),
})
const sandboxItem = message({
  id: string(1),
  metadata: nested(2, sandboxMetadata),
  state: int(3),
  createdAt: int(4),
  labels: stringMap(5),
  annotations: stringMap(6),
  runtimeHandler: string(7),
})
const containerItem = message({
  id: string(1),
  sandboxId: string(2),
  metadata: nested(3, containerMetadata),
  image: nested(4, imageSpec),
  imageRef: string(5),
  state: int(6),
  createdAt: int(7),
  labels: stringMap(8),
  annotations: stringMap(9),
})
const containerStatus = message({
  id: string(1),
  metadata: nested(2, containerMetadata),
  state: int(3),
  createdAt: int(4),
  startedAt: int(5),
  finishedAt: int(6),
  exitCode: int(7),
  image: nested(8, imageSpec),
  imageRef: string(9),
  reason: string(10),
  message: string(11),
  labels: stringMap(12),
  annotations: stringMap(13),
  mounts: list(14, mount),
  logPath: string(15),
  resources: nested(16, message({ linux: nested(1, linuxResources) })),
  user: nested(18, message({ linux: nested(1, message({ uid: int(1), gid: int(2), groups: ints(3) })) })),
})
const usage = message({
  timestamp: int(1),
  fsId: nested(2, message({ mountpoint: string(1) })),
  usedBytes: nested(3, uintValue),
  inodesUsed: nested(4, uintValue),
})
const containerStats = message({
  attributes: nested(
    1,
    message({ id: string(1), metadata: nested(2, containerMetadata), labels: stringMap(3), annotations: stringMap(4) }),
  ),
  cpu: nested(
    2,
    message({ timestamp: int(1), coreNanoseconds: nested(2, uintValue), nanoCores: nested(3, uintValue) }),
  ),
  memory: nested(
    3,
    message({
      timestamp: int(1),
      workingSet: nested(2, uintValue),
      available: nested(3, uintValue),
      usage: nested(4, uintValue),
      rss: nested(5, uintValue),
      pageFaults: nested(6, uintValue),
      majorPageFaults: nested(7, uintValue),
    }),
  ),
  writableLayer: nested(4, usage),
})
const image = message({
  id: string(1),
  repoTags: strings(2),
  repoDigests: strings(3),
  size: uint(4),
  uid: nested(5, intValue),
  username: string(6),
  pinned: bool(8),
})
const authConfig = message({
  username: string(1),
  password: string(2),
  auth: string(3),
  identityToken: string(5),
  registryToken: string(6),
})

const method = <In, Out>(
  service: string,
  name: string,
  request: Message<In, unknown>,
  response: Message<unknown, Out>,
) => ({ path: `/runtime.v1.${service}/${name}`, request, response }) satisfies Method<In, Out>
const runtime = <In, Out>(name: string, request: Message<In, unknown>, response: Message<unknown, Out>) =>
  method('RuntimeService', name, request, response)
const images = <In, Out>(name: string, request: Message<In, unknown>, response: Message<unknown, Out>) =>
  method('ImageService', name, request, response)

const bySandbox = message({ id: string(1) })
const byContainer = message({ id: string(1) })
const streamUrl = message({ url: string(1) })
/** The methods by their names. */
export const cri = {
  version: runtime(
    'Version',
    message({ version: string(1) }),
    message({ version: string(1), name: string(2), runtimeVersion: string(3), apiVersion: string(4) }),
  ),
  status: runtime(
    'Status',
    message({ verbose: bool(1) }),
    message({
      status: nested(
        1,
        message({
          conditions: list(1, message({ type: string(1), status: bool(2), reason: string(3), message: string(4) })),
        }),
      ),
      handlers: list(
        3,
        message({
          name: string(1),
          features: nested(2, message({ recursiveReadOnlyMounts: bool(1), userNamespaces: bool(2) })),
        }),
      ),
      features: nested(4, message({ supplementalGroupsPolicy: bool(1) })),
    }),
  ),
  runPodSandbox: runtime(
    'RunPodSandbox',
    message({ config: nested(1, sandboxConfig), runtimeHandler: string(2) }),
    bySandbox,
  ),
  stopPodSandbox: runtime('StopPodSandbox', bySandbox, empty),
  removePodSandbox: runtime('RemovePodSandbox', bySandbox, empty),
  podSandboxStatus: runtime(
    'PodSandboxStatus',
    message({ id: string(1), verbose: bool(2) }),
    message({ status: nested(1, sandboxStatus), info: stringMap(2) }),
  ),
  listPodSandbox: runtime('ListPodSandbox', empty, message({ items: list(1, sandboxItem) })),
  createContainer: runtime(
    'CreateContainer',
    message({ sandboxId: string(1), config: nested(2, containerConfig), sandboxConfig: nested(3, sandboxConfig) }),
    byContainer,
  ),
  startContainer: runtime('StartContainer', byContainer, empty),
  stopContainer: runtime('StopContainer', message({ id: string(1), timeout: int(2) }), empty),
  removeContainer: runtime('RemoveContainer', byContainer, empty),
  listContainers: runtime('ListContainers', empty, message({ items: list(1, containerItem) })),
  containerStatus: runtime(
    'ContainerStatus',
    message({ id: string(1), verbose: bool(2) }),
    message({ status: nested(1, containerStatus), info: stringMap(2) }),
  ),
  updateContainerResources: runtime(
    'UpdateContainerResources',
    message({ id: string(1), linux: nested(2, linuxResources) }),
    empty,
  ),
  reopenContainerLog: runtime('ReopenContainerLog', byContainer, empty),
  execSync: runtime(
    'ExecSync',
    message({ id: string(1), command: strings(2), timeout: int(3) }),
    message({ stdout: bytes(1), stderr: bytes(2), exitCode: int(3) }),
  ),
  exec: runtime(
    'Exec',
    message({ id: string(1), command: strings(2), tty: bool(3), stdin: bool(4), stdout: bool(5), stderr: bool(6) }),
    streamUrl,
  ),
  attach: runtime(
    'Attach',
    message({ id: string(1), stdin: bool(2), tty: bool(3), stdout: bool(4), stderr: bool(5) }),
    streamUrl,
  ),
  portForward: runtime('PortForward', message({ id: string(1), ports: ints(2) }), streamUrl),
  listContainerStats: runtime('ListContainerStats', empty, message({ items: list(1, containerStats) })),
  containerEvents: runtime(
    'GetContainerEvents',
    empty,
    message({ containerId: string(1), type: int(2), createdAt: int(3), sandbox: nested(4, sandboxStatus) }),
  ),
  listImages: images('ListImages', empty, message({ images: list(1, image) })),
  imageStatus: images(
    'ImageStatus',
    message({ image: nested(1, imageSpec), verbose: bool(2) }),
    message({ image: nested(1, image) }),
  ),
  pullImage: images(
    'PullImage',
    message({ image: nested(1, imageSpec), auth: nested(2, authConfig), sandbox: nested(3, sandboxConfig) }),
    message({ imageRef: string(1) }),
  ),
  removeImage: images('RemoveImage', message({ image: nested(1, imageSpec) }), empty),
  imageFsInfo: images('ImageFsInfo', empty, message({ filesystems: list(1, usage) })),
}

/** Numbers of the signals in CRI's own list, which is alphabetical. */
const signalNames =
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP ' +
  'TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMIN+1 RTMIN+2 RTMIN+3 RTMIN+4 RTMIN+5 RTMIN+6 RTMIN+7 ' +
  'RTMIN+8 RTMIN+9 RTMIN+10 RTMIN+11 RTMIN+12 RTMIN+13 RTMIN+14 RTMIN+15 RTMAX-14 RTMAX-13 RTMAX-12 RTMAX-11 RTMAX-10 ' +
  'RTMAX-9 RTMAX-8 RTMAX-7 RTMAX-6 RTMAX-5 RTMAX-4 RTMAX-3 RTMAX-2 RTMAX-1 RTMAX'
const signalNumbers = new Map(signalNames.split(' ').map((name, i) => [`SIG${name}`, i + 1]))
/** 0, the runtime's own choice, for what is no signal. */
export const signalNumber = (name: string | undefined): number => signalNumbers.get(name ?? '') ?? 0
