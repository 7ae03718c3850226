// Containers of a pod: app, init and ephemeral ones. The last two share every field with the first; an ephemeral
// container wraps them in a message of its own in protobuf.
import {
  array,
  defaulted,
  type Field,
  type Infer,
  int32,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { envFromSource, envVar } from './environment.ts'
import { lifecycle, probe } from './probes.ts'
import { CORE } from './references.ts'
import { resourceRequirements } from './resources.ts'
import { atomicList, flag, listByKey, number32, pointerText, text, texts } from './scalars.ts'
import { securityContext } from './security-context.ts'

export const containerPort = object(`${CORE}ContainerPort`, {
  name: text(1),
  hostPort: number32(2),
  containerPort: required(3, int32()),
  protocol: defaulted(4, string(), 'TCP', { publishDefault: true }),
  hostIP: text(5),
})
export interface ContainerPort extends Infer<typeof containerPort> {}

export const volumeMount = object(`${CORE}VolumeMount`, {
  name: required(1, string()),
  readOnly: flag(2),
  mountPath: required(3, string()),
  subPath: text(4),
  mountPropagation: pointerText(5),
  subPathExpr: text(6),
  recursiveReadOnly: pointerText(7),
})
export interface VolumeMount extends Infer<typeof volumeMount> {}
export const volumeDevice = object(`${CORE}VolumeDevice`, {
  name: required(1, string()),
  devicePath: required(2, string()),
})
export interface VolumeDevice extends Infer<typeof volumeDevice> {}
export const containerResizePolicy = object(`${CORE}ContainerResizePolicy`, {
  resourceName: required(1, string()),
  restartPolicy: required(2, string()),
})
export interface ContainerResizePolicy extends Infer<typeof containerResizePolicy> {}
const restartRuleOnExitCodes = object(`${CORE}ContainerRestartRuleOnExitCodes`, {
  operator: required(1, string(), { pointer: true }),
  values: optional(2, array(int32(), { listType: 'set' })),
})
export const containerRestartRule = object(`${CORE}ContainerRestartRule`, {
  action: required(1, string(), { pointer: true }),
  exitCodes: optional(2, restartRuleOnExitCodes),
})
export interface ContainerRestartRule extends Infer<typeof containerRestartRule> {}

const containerFields = {
  name: required(1, string()),
  image: text(2),
  command: texts(3),
  args: texts(4),
  workingDir: text(5),
  ports: optional(
    6,
    array(containerPort, {
      listType: 'map',
      listMapKeys: ['containerPort', 'protocol'],
      patchStrategy: 'merge',
      patchMergeKey: 'containerPort',
    }),
  ),
  env: optional(7, array(envVar, listByKey('name'))),
  resources: struct(8, resourceRequirements),
  volumeMounts: optional(9, array(volumeMount, listByKey('mountPath'))),
  livenessProbe: optional(10, probe),
  readinessProbe: optional(11, probe),
  lifecycle: optional(12, lifecycle),
  terminationMessagePath: defaulted(13, string(), '/dev/termination-log'),
  imagePullPolicy: text(14),
  securityContext: optional(15, securityContext),
  stdin: flag(16),
  stdinOnce: flag(17),
  tty: flag(18),
  envFrom: optional(19, array(envFromSource, atomicList)),
  terminationMessagePolicy: defaulted(20, string(), 'File'),
  volumeDevices: optional(21, array(volumeDevice, listByKey('devicePath'))),
  startupProbe: optional(22, probe),
  resizePolicy: optional(23, array(containerResizePolicy, atomicList)),
  restartPolicy: pointerText(24),
  restartPolicyRules: optional(25, array(containerRestartRule, atomicList)),
}
export const container = object(`${CORE}Container`, containerFields)
export interface Container extends Infer<typeof container> {}

/** The same fields one message deeper. */
function common<F extends Readonly<Record<string, Field>>>(fields: F): F {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, { ...field, within: [1] }]),
  ) as unknown as F
}
export const ephemeralContainer = object(`${CORE}EphemeralContainer`, {
  ...common(containerFields),
  targetContainerName: text(2),
})
export interface EphemeralContainer extends Infer<typeof ephemeralContainer> {}
/** A sidecar: an init container that keeps running beside the app containers (KEP-753). */
export const isSidecar = (c: { readonly restartPolicy?: string | undefined }): boolean => c.restartPolicy === 'Always'
