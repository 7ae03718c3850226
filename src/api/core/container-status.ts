// What became of a container.
import {
  array,
  boolean,
  type Infer,
  int32,
  int64,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { resourceRequirements } from './resources.ts'
import { atomicList, flag, listByKey, number32, pointerText, resourceList, text } from './scalars.ts'

const containerStateWaiting = object(`${CORE}ContainerStateWaiting`, { reason: text(1), message: text(2) })
const containerStateRunning = object(`${CORE}ContainerStateRunning`, { startedAt: optional(1, time()) })
const containerStateTerminated = object(`${CORE}ContainerStateTerminated`, {
  exitCode: required(1, int32()),
  signal: number32(2),
  reason: text(3),
  message: text(4),
  startedAt: optional(5, time()),
  finishedAt: optional(6, time()),
  containerID: text(7),
})
export interface ContainerStateTerminated extends Infer<typeof containerStateTerminated> {}
/** At most one is set; none means waiting. */
export const containerState = object(`${CORE}ContainerState`, {
  waiting: optional(1, containerStateWaiting),
  running: optional(2, containerStateRunning),
  terminated: optional(3, containerStateTerminated),
})
export interface ContainerState extends Infer<typeof containerState> {}

const imageVolumeStatus = object(`${CORE}ImageVolumeStatus`, { imageRef: required(1, string(), { pointer: true }) })
const volumeStatus = object(`${CORE}VolumeStatus`, { image: optional(1, imageVolumeStatus) })
export const volumeMountStatus = object(`${CORE}VolumeMountStatus`, {
  name: required(1, string()),
  mountPath: required(2, string()),
  readOnly: flag(3),
  recursiveReadOnly: pointerText(4),
  volumeStatus: optional(5, volumeStatus),
})
export interface VolumeMountStatus extends Infer<typeof volumeMountStatus> {}
const linuxContainerUser = object(`${CORE}LinuxContainerUser`, {
  uid: required(1, int64()),
  gid: required(2, int64()),
  supplementalGroups: optional(3, array(int64(), atomicList)),
})
export const containerUser = object(`${CORE}ContainerUser`, { linux: optional(1, linuxContainerUser) })
export interface ContainerUser extends Infer<typeof containerUser> {}
const resourceHealth = object(`${CORE}ResourceHealth`, {
  resourceID: required(1, string()),
  health: text(2),
  message: pointerText(6),
})
const resourceStatus = object(`${CORE}ResourceStatus`, {
  name: required(1, string()),
  resources: optional(2, array(resourceHealth, { listType: 'map', listMapKeys: ['resourceID'] })),
})

export const containerStatus = object(`${CORE}ContainerStatus`, {
  name: required(1, string()),
  state: struct(2, containerState),
  lastState: struct(3, containerState),
  ready: required(4, boolean()),
  restartCount: required(5, int32()),
  image: required(6, string()),
  imageID: required(7, string()),
  containerID: text(8),
  started: optional(9, boolean()),
  allocatedResources: optional(10, resourceList),
  resources: optional(11, resourceRequirements),
  volumeMounts: optional(12, array(volumeMountStatus, listByKey('mountPath'))),
  user: optional(13, containerUser),
  allocatedResourcesStatus: optional(14, array(resourceStatus, listByKey('name'))),
  stopSignal: pointerText(15),
})
export interface ContainerStatus extends Infer<typeof containerStatus> {}
