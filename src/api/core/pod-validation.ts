// Rules of pods and of the templates that pods are made from, with the words that users know.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import {
  isDns1123Label,
  isDns1123Subdomain,
  isInRange,
  isQualifiedName,
  parseIp,
  validateAnnotations,
  validateLabels,
  validateNonNegative,
} from '../machinery/validation.ts'
import {
  type PodAround,
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
} from './container-validation.ts'
import type { Pod } from './pod.ts'
import type { PodSpec } from './pod-spec.ts'
import type { PodTemplateSpec } from './pod-template.ts'
import { validateResourceRequirements, validateResourceQuantity } from './resource-validation.ts'
import { validateHostUsers, validatePodSecurityContext } from './security-validation.ts'
import { shown, validateAffinity, validateSpreadConstraints, validateTolerations } from './selector-validation.ts'
import { validateVolumes } from './volume-validation.ts'

const oneOf = (value: string | undefined, allowed: readonly string[], path: string): FieldError[] => {
  if (value === '') return [requiredField(path)]
  return value === undefined || allowed.includes(value) ? [] : [notSupportedField(path, value, allowed)]
}
const subdomain = (value: string | undefined, path: string): FieldError[] =>
  value ? isDns1123Subdomain(value).map((message) => invalidField(path, value, message)) : []
const label = (value: string | undefined, path: string): FieldError[] =>
  value ? isDns1123Label(value).map((message) => invalidField(path, value, message)) : []

const maxNameservers = 3
const maxSearches = 32
const maxSearchChars = 2048
function validateDns(spec: PodSpec, path: string): FieldError[] {
  const errors = oneOf(
    spec.dnsPolicy,
    ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'],
    `${path}.dnsPolicy`,
  )
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {}
  const at = `${path}.dnsConfig`
  if (spec.dnsPolicy === 'None') {
    if (spec.dnsConfig === undefined) {
      return [...errors, requiredField(at, 'must provide `dnsConfig` when `dnsPolicy` is None')]
    }
    if (nameservers.length === 0) {
      errors.push(
        requiredField(`${at}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'),
      )
    }
  }
  if (nameservers.length > maxNameservers) {
    errors.push(invalidField(`${at}.nameservers`, nameservers, `must not have more than ${maxNameservers} nameservers`))
  }
  nameservers.forEach((server, i) => {
    if (parseIp(server) === undefined) {
      errors.push(invalidField(`${at}.nameservers[${i}]`, server, 'must be valid IP address'))
    }
  })
  if (searches.length > maxSearches) {
    errors.push(invalidField(`${at}.searches`, searches, `must not have more than ${maxSearches} search paths`))
  }
  if (searches.join(' ').length > maxSearchChars) {
    errors.push(
      invalidField(
        `${at}.searches`,
        searches,
        `must not have more than ${maxSearchChars} characters (including spaces) in the search list`,
      ),
    )
  }
  searches.forEach((search, i) => {
    const name = search.endsWith('.') ? search.slice(0, -1) : search
    if (search === '.') return
    for (const message of isDns1123Subdomain(name.replaceAll('_', '-'))) {
      errors.push(invalidField(`${at}.searches[${i}]`, search, message))
    }
  })
  options.forEach((option, i) => {
    if (!option.name) errors.push(requiredField(`${at}.options[${i}]`, 'must not be empty'))
  })
  return errors
}

function validateHostNetwork(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostNetwork !== true) return []
  return (['containers', 'initContainers'] as const).flatMap((list) =>
    (spec[list] ?? []).flatMap((container, i) =>
      (container.ports ?? []).flatMap((port, j) =>
        (port.hostPort ?? 0) === port.containerPort
          ? []
          : [
              invalidField(
                `${path}.${list}[${i}].ports[${j}].containerPort`,
                port.containerPort,
                'must match `hostPort` when `hostNetwork` is true',
              ),
            ],
      ),
    ),
  )
}
function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors = [
    ...subdomain(spec.serviceAccountName, `${path}.serviceAccountName`),
    ...subdomain(spec.nodeName, `${path}.nodeName`),
    ...label(spec.hostname, `${path}.hostname`),
    ...label(spec.subdomain, `${path}.subdomain`),
    ...subdomain(spec.priorityClassName, `${path}.priorityClassName`),
    ...subdomain(spec.runtimeClassName, `${path}.runtimeClassName`),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
  ]
  if (spec.hostnameOverride !== undefined) {
    const at = `${path}.hostnameOverride`
    for (const message of isDns1123Subdomain(spec.hostnameOverride)) {
      errors.push(invalidField(at, spec.hostnameOverride, message))
    }
    if (spec.hostNetwork === true) errors.push(forbiddenField(at, 'may not be specified when hostNetwork is true'))
    if (spec.setHostnameAsFQDN === true) {
      errors.push(forbiddenField(at, 'may not be specified when setHostnameAsFQDN is true'))
    }
  }
  spec.imagePullSecrets?.forEach((secret, i) => {
    if (!secret.name) errors.push(requiredField(`${path}.imagePullSecrets[${i}].name`))
  })
  spec.hostAliases?.forEach((alias, i) => {
    const at = `${path}.hostAliases[${i}]`
    if (parseIp(alias.ip) === undefined) errors.push(invalidField(`${at}.ip`, alias.ip, 'must be valid IP address'))
    for (const name of alias.hostnames ?? []) errors.push(...subdomain(name, `${at}.hostnames`))
  })
  spec.readinessGates?.forEach((gate, i) => {
    for (const message of isQualifiedName(gate.conditionType)) {
      errors.push(invalidField(`${path}.readinessGates[${i}].conditionType`, gate.conditionType, message))
    }
  })
  const gates = new Set<string>()
  spec.schedulingGates?.forEach((gate, i) => {
    const at = `${path}.schedulingGates[${i}]`
    for (const message of isQualifiedName(gate.name)) errors.push(invalidField(at, gate.name, message))
    if (gates.has(gate.name)) errors.push(duplicateField(at, gate.name))
    gates.add(gate.name)
  })
  return errors
}

function validateClaims(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  spec.resourceClaims?.forEach((claim, i) => {
    const at = `${path}.resourceClaims[${i}]`
    errors.push(...label(claim.name, `${at}.name`))
    if (names.has(claim.name)) errors.push(duplicateField(`${at}.name`, claim.name))
    names.add(claim.name)
    const sources = [claim.resourceClaimName, claim.resourceClaimTemplateName].filter((s) => s !== undefined)
    const choice = 'exactly one of `resourceClaimName`, `resourceClaimTemplateName` is required'
    if (sources.length > 1) {
      errors.push(
        invalidField(
          at,
          shown(claim),
          'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
        ),
      )
    } else if (sources.length === 0) errors.push(invalidField(at, shown(claim), choice))
  })
  return errors
}

const maxInt32 = 2147483647
/** The rules of a pod spec, wherever it stands. */
export function validatePodSpec(spec: PodSpec, path: string): FieldError[] {
  const pod: PodAround = {
    spec,
    volumes: new Map(spec.volumes?.map((volume) => [volume.name, volume])),
    claims: new Set(spec.resourceClaims?.map((claim) => claim.name)),
  }
  const errors = [
    ...validateVolumes(spec.volumes, `${path}.volumes`),
    ...validateClaims(spec, path),
    ...validateContainers(pod, `${path}.containers`),
    ...validateInitContainers(pod, `${path}.initContainers`),
    ...validateEphemeralContainers(pod, `${path}.ephemeralContainers`),
    ...oneOf(spec.restartPolicy, ['Always', 'Never', 'OnFailure'], `${path}.restartPolicy`),
    ...validateDns(spec, path),
    ...validatePodSecurityContext(spec.securityContext, spec, `${path}.securityContext`),
    ...validateHostUsers(spec, path),
    ...validateHostNetwork(spec, path),
    ...validateNames(spec, path),
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateTolerations(spec.tolerations, `${path}.tolerations`),
    ...validateSpreadConstraints(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`),
    ...validateNonNegative(spec.terminationGracePeriodSeconds, `${path}.terminationGracePeriodSeconds`),
    ...oneOf(spec.preemptionPolicy, ['Never', 'PreemptLowerPriority'], `${path}.preemptionPolicy`),
    ...oneOf(spec.os?.name, ['linux', 'windows'], `${path}.os.name`),
  ]
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    errors.push(
      invalidField(
        `${path}.securityContext.shareProcessNamespace`,
        true,
        'ShareProcessNamespace and HostPID cannot both be enabled',
      ),
    )
  }
  const deadline = spec.activeDeadlineSeconds
  if (deadline !== undefined) {
    for (const message of isInRange(deadline, 1, maxInt32)) {
      errors.push(invalidField(`${path}.activeDeadlineSeconds`, deadline, message))
    }
  }
  for (const [name, amount] of Object.entries(spec.overhead ?? {})) {
    errors.push(...validateResourceQuantity(name, amount, `${path}.overhead[${name}]`))
  }
  if (spec.resources !== undefined) errors.push(...validatePodLevelResources(spec.resources, `${path}.resources`))
  return errors
}
/** Resources of the whole pod: cpu, memory and huge pages (KEP-2837). */
function validatePodLevelResources(resources: NonNullable<PodSpec['resources']>, path: string): FieldError[] {
  const errors = validateResourceRequirements(resources, path)
  for (const which of ['limits', 'requests'] as const) {
    for (const name of Object.keys(resources[which] ?? {})) {
      if (name !== 'cpu' && name !== 'memory' && !name.startsWith('hugepages-')) {
        errors.push(notSupportedField(`${path}.${which}[${name}]`, name, ['cpu', 'hugepages-', 'memory']))
      }
    }
  }
  return errors
}

/** The rules of a template in a workload; `path` is that of the template. */
export function validatePodTemplateSpec(template: PodTemplateSpec, path: string): FieldError[] {
  const errors = [
    ...validateLabels(template.metadata.labels, `${path}.labels`),
    ...validateAnnotations(template.metadata.annotations, `${path}.annotations`),
    ...validatePodSpec(template.spec, `${path}.spec`),
  ]
  if ((template.spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.push(forbiddenField(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'))
  }
  return errors
}

export function validatePod(pod: Pod): FieldError[] {
  const errors = [...validatePodSpec(pod.spec, 'spec'), ...validateMirror(pod)]
  // an object that was never stored has no resourceVersion yet
  return pod.metadata.resourceVersion ? errors : [...errors, ...validateNewPod(pod.spec)]
}
/** What only a new pod must keep. */
function validateNewPod(spec: PodSpec): FieldError[] {
  const errors: FieldError[] = []
  if ((spec.ephemeralContainers?.length ?? 0) > 0) {
    errors.push(forbiddenField('spec.ephemeralContainers', 'cannot be set on create'))
  }
  if (spec.nodeName && (spec.schedulingGates?.length ?? 0) > 0) {
    errors.push(forbiddenField('spec.nodeName', 'cannot be set until all schedulingGates have been cleared'))
  }
  return errors
}
export const mirrorAnnotation = 'kubernetes.io/config.mirror'
function validateMirror(pod: Pod): FieldError[] {
  if (pod.metadata.annotations?.[mirrorAnnotation] === undefined || pod.spec.nodeName) return []
  return [
    invalidField(
      `metadata.annotations[${mirrorAnnotation}]`,
      pod.metadata.annotations[mirrorAnnotation],
      'must set spec.nodeName if mirror pod annotation is set',
    ),
  ]
}

/** Sentences for the Warning header: what works but will surprise. */
export function podWarnings(pod: { readonly spec: PodSpec }, old?: { readonly spec: PodSpec }): readonly string[] {
  if (old !== undefined) return []
  return podSpecWarnings(pod.spec, 'spec')
}
export function podSpecWarnings(spec: PodSpec, path: string): readonly string[] {
  const warnings: string[] = []
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    const instead = { 'beta.kubernetes.io/arch': 'kubernetes.io/arch', 'beta.kubernetes.io/os': 'kubernetes.io/os' }[
      key
    ]
    if (instead !== undefined)
      warnings.push(`${path}.nodeSelector[${key}]: deprecated since v1.14; use "${instead}" instead`)
  }
  for (const list of ['initContainers', 'containers'] as const) {
    spec[list]?.forEach((container, i) => {
      const at = `${path}.${list}[${i}]`
      const seen = new Set<string>()
      container.env?.forEach((variable, j) => {
        if (seen.has(variable.name)) {
          warnings.push(
            `${at}.env[${j}]: hides previous definition of "${variable.name}", which may be dropped when using apply`,
          )
        }
        seen.add(variable.name)
      })
      const ports = new Set<string>()
      container.ports?.forEach((port, j) => {
        const key = `${port.containerPort}/${port.protocol}`
        if (ports.has(key)) {
          warnings.push(
            `${at}.ports[${j}]: duplicate port definition with ${path}.${list}[${i}].ports[${[...ports].indexOf(key)}]`,
          )
        }
        ports.add(key)
      })
    })
  }
  spec.volumes?.forEach((volume, i) => {
    if (volume.gitRepo !== undefined)
      warnings.push(`${path}.volumes[${i}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+`)
    if (volume.glusterfs !== undefined)
      warnings.push(`${path}.volumes[${i}].glusterfs: deprecated in v1.25, non-functional in v1.26+`)
  })
  return warnings
}
