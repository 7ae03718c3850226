// Rules of containers: app, init and ephemeral.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notFoundField,
  notSupportedField,
  requiredField,
  tooManyField,
} from '../machinery/errors.ts'
import {
  isConfigMapKey,
  isDns1123Label,
  isEnvVarName,
  isValidPortName,
  isValidPortNumber,
} from '../machinery/validation.ts'
import { type Container, type ContainerPort, type EphemeralContainer, isSidecar } from './container.ts'
import { environmentFieldPaths, validateFieldSelector, validateResourceFieldSelector } from './downward-validation.ts'
import type { EnvFromSource, EnvVar, EnvVarSource } from './environment.ts'
import type { PodSpec } from './pod-spec.ts'
import { validateLifecycle, validateProbes } from './probe-validation.ts'
import { validateResourceRequirements } from './resource-validation.ts'
import { validateSecurityContext } from './security-validation.ts'
import { pullPolicies, validateDescendingPath } from './volume-validation.ts'
import type { Volume } from './volumes.ts'

type AnyContainer = Container | EphemeralContainer
/** What the rules of a container look at in its pod. */
export interface PodAround {
  readonly spec: PodSpec
  readonly volumes: ReadonlyMap<string, Volume>
  readonly claims: ReadonlySet<string>
}

const protocols = ['SCTP', 'TCP', 'UDP']
function validatePorts(ports: readonly ContainerPort[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  ports?.forEach((port, i) => {
    const at = `${path}[${i}]`
    if (port.name) {
      const problems = isValidPortName(port.name)
      for (const message of problems) errors.push(invalidField(`${at}.name`, port.name, message))
      if (problems.length === 0 && names.has(port.name)) errors.push(duplicateField(`${at}.name`, port.name))
      names.add(port.name)
    }
    if (port.containerPort === 0) errors.push(requiredField(`${at}.containerPort`))
    else {
      for (const message of isValidPortNumber(port.containerPort)) {
        errors.push(invalidField(`${at}.containerPort`, port.containerPort, message))
      }
    }
    if (port.hostPort) {
      for (const message of isValidPortNumber(port.hostPort)) {
        errors.push(invalidField(`${at}.hostPort`, port.hostPort, message))
      }
    }
    if (!protocols.includes(port.protocol)) errors.push(notSupportedField(`${at}.protocol`, port.protocol, protocols))
  })
  return errors
}

const envSources = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef'] as const
function validateEnvSource(from: EnvVarSource, value: string | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const given = envSources.filter((name) => from[name] !== undefined)
  if (from.fieldRef !== undefined) {
    errors.push(...validateFieldSelector(from.fieldRef, environmentFieldPaths, `${path}.fieldRef`))
  }
  if (from.resourceFieldRef !== undefined) {
    errors.push(...validateResourceFieldSelector(from.resourceFieldRef, `${path}.resourceFieldRef`, false))
  }
  for (const name of ['configMapKeyRef', 'secretKeyRef'] as const) {
    const key = from[name]?.key
    if (key === undefined) continue
    if (key === '') errors.push(requiredField(`${path}.${name}.key`))
    else for (const message of isConfigMapKey(key)) errors.push(invalidField(`${path}.${name}.key`, key, message))
  }
  if (given.length === 0) {
    errors.push(
      invalidField(
        path,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    )
  } else if (value) errors.push(invalidField(path, '', 'may not be specified when `value` is not empty'))
  else if (given.length > 1) errors.push(invalidField(path, '', 'may not have more than one field specified at a time'))
  return errors
}
function validateEnv(env: readonly EnvVar[] | undefined, path: string): FieldError[] {
  return (env ?? []).flatMap((variable, i) => {
    const at = `${path}[${i}]`
    const errors: FieldError[] = []
    if (variable.name === '') errors.push(requiredField(`${at}.name`))
    else
      for (const message of isEnvVarName(variable.name)) errors.push(invalidField(`${at}.name`, variable.name, message))
    if (variable.valueFrom !== undefined) {
      errors.push(...validateEnvSource(variable.valueFrom, variable.value, `${at}.valueFrom`))
    }
    return errors
  })
}
function validateEnvFrom(sources: readonly EnvFromSource[] | undefined, path: string): FieldError[] {
  return (sources ?? []).flatMap((source, i) => {
    const at = `${path}[${i}]`
    const errors: FieldError[] = []
    if (source.prefix) {
      for (const message of isEnvVarName(source.prefix))
        errors.push(invalidField(`${at}.prefix`, source.prefix, message))
    }
    const given = (['configMapRef', 'secretRef'] as const).filter((name) => source[name] !== undefined)
    for (const name of given) if (!source[name]?.name) errors.push(requiredField(`${at}.${name}.name`))
    if (given.length === 0) errors.push(invalidField(at, '', 'must specify one of: `configMapRef` or `secretRef`'))
    if (given.length > 1) errors.push(invalidField(at, '', 'may not have more than one field specified at a time'))
    return errors
  })
}

const propagations = ['Bidirectional', 'HostToContainer', 'None']
function validateMounts(container: AnyContainer, path: string, pod: PodAround): FieldError[] {
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const devices = new Map(container.volumeDevices?.map((device) => [device.devicePath, device.name]))
  container.volumeMounts?.forEach((mount, i) => {
    const at = `${path}.volumeMounts[${i}]`
    if (mount.name === '') errors.push(requiredField(`${at}.name`))
    else if (!pod.volumes.has(mount.name)) errors.push(notFoundField(`${at}.name`, mount.name))
    if (mount.mountPath === '') errors.push(requiredField(`${at}.mountPath`))
    if (paths.has(mount.mountPath)) errors.push(invalidField(`${at}.mountPath`, mount.mountPath, 'must be unique'))
    paths.add(mount.mountPath)
    if ([...devices.values()].includes(mount.name)) {
      errors.push(invalidField(`${at}.name`, mount.name, 'must not already exist in volumeDevices'))
    }
    if (devices.has(mount.mountPath)) {
      errors.push(invalidField(`${at}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices'))
    }
    if (mount.subPath) errors.push(...validateDescendingPath(mount.subPath, `${at}.subPath`))
    if (mount.subPathExpr) {
      if (mount.subPath) {
        errors.push(
          invalidField(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'),
        )
      }
      errors.push(...validateDescendingPath(mount.subPathExpr, `${at}.subPathExpr`))
    }
    errors.push(...validatePropagation(mount.mountPropagation, container, `${at}.mountPropagation`))
    errors.push(...validateRecursiveReadOnly(mount, `${at}.recursiveReadOnly`))
  })
  return errors
}
function validatePropagation(propagation: string | undefined, container: AnyContainer, path: string): FieldError[] {
  if (propagation === undefined) return []
  const errors: FieldError[] = []
  if (!propagations.includes(propagation)) errors.push(notSupportedField(path, propagation, propagations))
  if (propagation === 'Bidirectional' && container.securityContext?.privileged !== true) {
    errors.push(forbiddenField(path, 'Bidirectional mount propagation is available only to privileged containers'))
  }
  return errors
}
function validateRecursiveReadOnly(mount: NonNullable<Container['volumeMounts']>[number], path: string): FieldError[] {
  const mode = mount.recursiveReadOnly
  if (mode === undefined || mode === 'Disabled') return []
  if (mode !== 'Enabled' && mode !== 'IfPossible') {
    return [notSupportedField(path, mode, ['Disabled', 'Enabled', 'IfPossible'])]
  }
  const errors: FieldError[] = []
  if (mount.readOnly !== true) errors.push(forbiddenField(path, 'may only be specified when readOnly is true'))
  if (mount.mountPropagation !== undefined && mount.mountPropagation !== 'None') {
    errors.push(forbiddenField(path, 'may only be specified when mountPropagation is None or not specified'))
  }
  return errors
}
function validateDevices(container: AnyContainer, path: string, pod: PodAround): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  const paths = new Set<string>()
  container.volumeDevices?.forEach((device, i) => {
    const at = `${path}.volumeDevices[${i}]`
    const volume = pod.volumes.get(device.name)
    if (device.name === '') errors.push(requiredField(`${at}.name`))
    else if (names.has(device.name)) errors.push(invalidField(`${at}.name`, device.name, 'must be unique'))
    else if (volume === undefined) errors.push(notFoundField(`${at}.name`, device.name))
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      errors.push(
        invalidField(
          `${at}.name`,
          device.name,
          'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
        ),
      )
    }
    names.add(device.name)
    if (device.devicePath === '') errors.push(requiredField(`${at}.devicePath`))
    else if (paths.has(device.devicePath))
      errors.push(invalidField(`${at}.devicePath`, device.devicePath, 'must be unique'))
    else errors.push(...validateDescendingPath(device.devicePath.replace(/^\//, ''), `${at}.devicePath`))
    paths.add(device.devicePath)
  })
  return errors
}

function validateResizePolicy(container: AnyContainer, path: string, podRestartPolicy: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  container.resizePolicy?.forEach((policy, i) => {
    const at = `${path}.resizePolicy`
    if (seen.has(policy.resourceName)) errors.push(duplicateField(`${at}[${i}]`, policy.resourceName))
    seen.add(policy.resourceName)
    if (policy.resourceName === '') errors.push(requiredField(at))
    else if (policy.resourceName !== 'cpu' && policy.resourceName !== 'memory') {
      errors.push(notSupportedField(at, policy.resourceName, ['cpu', 'memory']))
    }
    if (policy.restartPolicy === '') errors.push(requiredField(at))
    else if (policy.restartPolicy !== 'NotRequired' && policy.restartPolicy !== 'RestartContainer') {
      errors.push(notSupportedField(at, policy.restartPolicy, ['NotRequired', 'RestartContainer']))
    }
    if (podRestartPolicy === 'Never' && policy.restartPolicy === 'RestartContainer') {
      errors.push(invalidField(at, policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    }
  })
  return errors
}
const restartPolicies = ['Always', 'Never', 'OnFailure']
const maxRestartRules = 20
/** A container's own restart policy and rules (KEP-5307). */
function validateRestartRules(container: Container, path: string, allowed: readonly string[]): FieldError[] {
  const errors: FieldError[] = []
  const { restartPolicy, restartPolicyRules: rules = [] } = container
  if (restartPolicy !== undefined && !allowed.includes(restartPolicy)) {
    errors.push(notSupportedField(`${path}.restartPolicy`, restartPolicy, allowed))
  }
  if (rules.length === 0) return errors
  const at = `${path}.restartPolicyRules`
  if (restartPolicy === undefined) {
    errors.push(requiredField(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used'))
  }
  if (rules.length > maxRestartRules) errors.push(tooManyField(at, rules.length, maxRestartRules))
  rules.forEach((rule, i) => {
    const actions = ['Restart', 'RestartAllContainers']
    if (!actions.includes(rule.action)) errors.push(notSupportedField(`${at}[${i}].action`, rule.action, actions))
    if (rule.exitCodes === undefined) {
      errors.push(requiredField(`${at}[${i}].exitCodes`, 'must be specified'))
      return
    }
    const { operator, values = [] } = rule.exitCodes
    if (operator !== 'In' && operator !== 'NotIn') {
      errors.push(notSupportedField(`${at}[${i}].exitCodes.operator`, operator, ['In', 'NotIn']))
    }
    if (values.length > 255) errors.push(tooManyField(`${at}[${i}].exitCodes.values`, values.length, 255))
  })
  return errors
}

function validateCommon(container: AnyContainer, path: string, pod: PodAround): FieldError[] {
  const errors: FieldError[] = []
  if (container.name === '') errors.push(requiredField(`${path}.name`))
  else
    for (const message of isDns1123Label(container.name))
      errors.push(invalidField(`${path}.name`, container.name, message))
  if (!container.image) errors.push(requiredField(`${path}.image`))
  else if (container.image.trim() !== container.image) {
    errors.push(invalidField(`${path}.image`, container.image, 'must not have leading or trailing whitespace'))
  }
  const messages = ['FallbackToLogsOnError', 'File']
  if (!messages.includes(container.terminationMessagePolicy)) {
    errors.push(notSupportedField(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, messages))
  }
  errors.push(
    ...validatePorts(container.ports, `${path}.ports`),
    ...validateEnv(container.env, `${path}.env`),
    ...validateEnvFrom(container.envFrom, `${path}.envFrom`),
    ...validateMounts(container, path, pod),
    ...validateDevices(container, path, pod),
  )
  const policy = container.imagePullPolicy
  if (!policy) errors.push(requiredField(`${path}.imagePullPolicy`))
  else if (!pullPolicies.includes(policy))
    errors.push(notSupportedField(`${path}.imagePullPolicy`, policy, pullPolicies))
  errors.push(
    ...validateResourceRequirements(container.resources, `${path}.resources`, pod.claims),
    ...validateResizePolicy(container, path, pod.spec.restartPolicy),
    ...validateSecurityContext(container.securityContext, `${path}.securityContext`, pod.spec.hostUsers),
  )
  return errors
}
const podFacts = (pod: PodAround) => ({
  graceSeconds: pod.spec.terminationGracePeriodSeconds,
  os: pod.spec.os?.name,
})

export function validateContainers(pod: PodAround, path: string): FieldError[] {
  const { containers } = pod.spec
  if (containers.length === 0) return [requiredField(path)]
  const errors: FieldError[] = []
  const names = new Set<string>()
  containers.forEach((container, i) => {
    const at = `${path}[${i}]`
    errors.push(...validateCommon(container, at, pod))
    if (names.has(container.name)) errors.push(duplicateField(`${at}.name`, container.name))
    names.add(container.name)
    errors.push(
      ...validateLifecycle(container.lifecycle, `${at}.lifecycle`, podFacts(pod)),
      ...validateProbes(container, at),
      ...validateRestartRules(container, at, restartPolicies),
    )
  })
  return [...errors, ...validateHostPorts(containers, path)]
}
/** No two containers may claim the same port of the host. */
function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const errors: FieldError[] = []
  const used = new Set<string>()
  containers.forEach((container, i) =>
    container.ports?.forEach((port, j) => {
      if (!port.hostPort) return
      const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`
      if (used.has(key)) errors.push(duplicateField(`${path}[${i}].ports[${j}].hostPort`, key))
      used.add(key)
    }),
  )
  return errors
}

const onlySidecars = 'may not be set for init containers without restartPolicy=Always'
export function validateInitContainers(pod: PodAround, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(pod.spec.containers.map((c) => c.name))
  const sidecarOnly = ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const
  pod.spec.initContainers?.forEach((container, i) => {
    const at = `${path}[${i}]`
    errors.push(...validateCommon(container, at, pod))
    errors.push(...validateRestartRules(container, at, restartPolicies))
    if (names.has(container.name)) errors.push(duplicateField(`${at}.name`, container.name))
    names.add(container.name)
    if (isSidecar(container)) {
      errors.push(
        ...validateLifecycle(container.lifecycle, `${at}.lifecycle`, podFacts(pod)),
        ...validateProbes(container, at),
      )
    } else {
      for (const name of sidecarOnly) {
        if (container[name] !== undefined) errors.push(forbiddenField(`${at}.${name}`, onlySidecars))
      }
    }
  })
  return [...errors, ...validateHostPorts(pod.spec.initContainers ?? [], path)]
}

const notForEphemeral = [
  'ports',
  'lifecycle',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'resizePolicy',
] as const
export function validateEphemeralContainers(pod: PodAround, path: string): FieldError[] {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec
  const errors: FieldError[] = []
  const others = new Set([...containers, ...initContainers].map((c) => c.name))
  const names = new Set<string>()
  const cannot = 'cannot be set for an Ephemeral Container'
  ephemeralContainers.forEach((container, i) => {
    const at = `${path}[${i}]`
    errors.push(...validateCommon(container, at, pod))
    if (names.has(container.name) || others.has(container.name))
      errors.push(duplicateField(`${at}.name`, container.name))
    names.add(container.name)
    const target = container.targetContainerName
    if (target && !others.has(target)) errors.push(notFoundField(`${at}.targetContainerName`, target))
    for (const name of notForEphemeral) {
      const value = container[name]
      if (value !== undefined && !(Array.isArray(value) && value.length === 0)) {
        errors.push(forbiddenField(`${at}.${name}`, cannot))
      }
    }
    if (Object.keys(container.resources).length > 0) errors.push(forbiddenField(`${at}.resources`, cannot))
    if (container.restartPolicy !== undefined) errors.push(forbiddenField(`${at}.restartPolicy`, cannot))
    container.volumeMounts?.forEach((mount, j) => {
      for (const name of ['subPath', 'subPathExpr'] as const) {
        if (mount[name]) errors.push(forbiddenField(`${at}.volumeMounts[${j}].${name}`, cannot))
      }
    })
  })
  return errors
}
