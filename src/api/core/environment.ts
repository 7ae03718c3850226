// Environment variables and where their values come from.
import { boolean, defaulted, type Infer, object, optional, quantity, required, string } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { text } from './scalars.ts'

const atomic = { mapType: 'atomic' } as const
/** The name of the ConfigMap or Secret, an embedded LocalObjectReference in protobuf. */
export const embeddedName = () => text(1, { within: [1], publishDefault: true })

export const objectFieldSelector = object(
  `${CORE}ObjectFieldSelector`,
  { apiVersion: defaulted(1, string(), 'v1'), fieldPath: required(2, string()) },
  atomic,
)
export interface ObjectFieldSelector extends Infer<typeof objectFieldSelector> {}
export const resourceFieldSelector = object(
  `${CORE}ResourceFieldSelector`,
  { containerName: text(1), resource: required(2, string()), divisor: defaulted(3, quantity(), '0') },
  atomic,
)
export interface ResourceFieldSelector extends Infer<typeof resourceFieldSelector> {}
const keySelectorFields = {
  name: embeddedName(),
  key: required(2, string()),
  optional: optional(3, boolean()),
}
export const configMapKeySelector = object(`${CORE}ConfigMapKeySelector`, keySelectorFields, atomic)
export interface ConfigMapKeySelector extends Infer<typeof configMapKeySelector> {}
export const secretKeySelector = object(`${CORE}SecretKeySelector`, keySelectorFields, atomic)
export interface SecretKeySelector extends Infer<typeof secretKeySelector> {}
export const fileKeySelector = object(
  `${CORE}FileKeySelector`,
  {
    volumeName: required(1, string()),
    path: required(2, string()),
    key: required(3, string()),
    optional: defaulted(4, boolean(), false, { publishDefault: true }),
  },
  atomic,
)
export interface FileKeySelector extends Infer<typeof fileKeySelector> {}

export const envVarSource = object(`${CORE}EnvVarSource`, {
  fieldRef: optional(1, objectFieldSelector),
  resourceFieldRef: optional(2, resourceFieldSelector),
  configMapKeyRef: optional(3, configMapKeySelector),
  secretKeyRef: optional(4, secretKeySelector),
  fileKeyRef: optional(5, fileKeySelector),
})
export interface EnvVarSource extends Infer<typeof envVarSource> {}
export const envVar = object(`${CORE}EnvVar`, {
  name: required(1, string()),
  value: text(2),
  valueFrom: optional(3, envVarSource),
})
export interface EnvVar extends Infer<typeof envVar> {}

const envSourceFields = { name: embeddedName(), optional: optional(2, boolean()) }
export const configMapEnvSource = object(`${CORE}ConfigMapEnvSource`, envSourceFields)
export const secretEnvSource = object(`${CORE}SecretEnvSource`, envSourceFields)
export const envFromSource = object(`${CORE}EnvFromSource`, {
  prefix: text(1),
  configMapRef: optional(2, configMapEnvSource),
  secretRef: optional(3, secretEnvSource),
})
export interface EnvFromSource extends Infer<typeof envFromSource> {}
