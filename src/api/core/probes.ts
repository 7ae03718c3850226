// Actions that the kubelet takes against a container: probes and lifecycle hooks. What a probe does is flat in JSON and
// a message of its own in protobuf.
import {
  array,
  defaulted,
  type FieldOptions,
  type Infer,
  int32,
  int64,
  intOrString,
  object,
  optional,
  required,
  string,
} from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { atomicList, number32, pointerText, text, texts } from './scalars.ts'

export const execAction = object(`${CORE}ExecAction`, { command: texts(1) })
export interface ExecAction extends Infer<typeof execAction> {}
export const httpHeader = object(`${CORE}HTTPHeader`, {
  name: required(1, string()),
  value: required(2, string(), { mayBeEmpty: true }),
})
export interface HTTPHeader extends Infer<typeof httpHeader> {}
export const httpGetAction = object(`${CORE}HTTPGetAction`, {
  path: defaulted(1, string(), '/'),
  port: required(2, intOrString()),
  host: text(3),
  scheme: defaulted(4, string(), 'HTTP'),
  httpHeaders: optional(5, array(httpHeader, atomicList)),
})
export interface HTTPGetAction extends Infer<typeof httpGetAction> {}
export const tcpSocketAction = object(`${CORE}TCPSocketAction`, { port: required(1, intOrString()), host: text(2) })
export interface TCPSocketAction extends Infer<typeof tcpSocketAction> {}
export const grpcAction = object(`${CORE}GRPCAction`, {
  port: required(1, int32()),
  service: defaulted(2, string(), '', { pointer: true, publishDefault: true }),
})
export interface GRPCAction extends Infer<typeof grpcAction> {}
export const sleepAction = object(`${CORE}SleepAction`, { seconds: required(1, int64()) })
export interface SleepAction extends Infer<typeof sleepAction> {}

const handler: FieldOptions = { within: [1] }
export const probe = object(`${CORE}Probe`, {
  exec: optional(1, execAction, handler),
  httpGet: optional(2, httpGetAction, handler),
  tcpSocket: optional(3, tcpSocketAction, handler),
  grpc: optional(4, grpcAction, handler),
  initialDelaySeconds: number32(2),
  timeoutSeconds: defaulted(3, int32(), 1, { omitZero: true }),
  periodSeconds: defaulted(4, int32(), 10, { omitZero: true }),
  successThreshold: defaulted(5, int32(), 1, { omitZero: true }),
  failureThreshold: defaulted(6, int32(), 3, { omitZero: true }),
  terminationGracePeriodSeconds: optional(7, int64()),
})
export interface Probe extends Infer<typeof probe> {}

export const lifecycleHandler = object(`${CORE}LifecycleHandler`, {
  exec: optional(1, execAction),
  httpGet: optional(2, httpGetAction),
  tcpSocket: optional(3, tcpSocketAction),
  sleep: optional(4, sleepAction),
})
export interface LifecycleHandler extends Infer<typeof lifecycleHandler> {}
export const lifecycle = object(`${CORE}Lifecycle`, {
  postStart: optional(1, lifecycleHandler),
  preStop: optional(2, lifecycleHandler),
  stopSignal: pointerText(3),
})
export interface Lifecycle extends Infer<typeof lifecycle> {}
