// Rules of security contexts.
import {
  duplicateField,
  type FieldError,
  invalidField,
  notSupportedField,
  requiredField,
  forbiddenField,
} from '../machinery/errors.ts'
import { isValidGroupOrUserId } from '../machinery/validation.ts'
import type {
  AppArmorProfile,
  PodSecurityContext,
  SeccompProfile,
  SecurityContext,
  Sysctl,
} from './security-context.ts'
import { shown } from './selector-validation.ts'
import { validateDescendingPath } from './volume-validation.ts'

function validateId(id: number | undefined, path: string): FieldError[] {
  return id === undefined ? [] : isValidGroupOrUserId(id).map((message) => invalidField(path, id, message))
}
const oneOf = (value: string | undefined, allowed: readonly string[], path: string): FieldError[] =>
  value === undefined || allowed.includes(value) ? [] : [notSupportedField(path, value, allowed)]

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return []
  const { type, localhostProfile } = profile
  if (type === 'Localhost') {
    if (localhostProfile === undefined) {
      return [requiredField(`${path}.localhostProfile`, 'must be set when seccomp type is Localhost')]
    }
    return validateDescendingPath(localhostProfile, `${path}.localhostProfile`)
  }
  const errors: FieldError[] = []
  if (localhostProfile !== undefined) {
    errors.push(
      invalidField(`${path}.localhostProfile`, localhostProfile, 'can only be set when seccomp type is Localhost'),
    )
  }
  if (type === '') errors.push(requiredField(`${path}.type`, 'type is required when seccompProfile is set'))
  else errors.push(...oneOf(type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`))
  return errors
}
function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return []
  const { type, localhostProfile } = profile
  const at = `${path}.localhostProfile`
  if (type === 'Localhost') {
    if (localhostProfile === undefined) return [requiredField(at, 'must be set when AppArmor type is Localhost')]
    if (localhostProfile.trim() === '') return [requiredField(at, 'must be set when AppArmor type is Localhost')]
    if (localhostProfile.trim() !== localhostProfile) {
      return [invalidField(at, localhostProfile, 'must not be padded with whitespace')]
    }
    return []
  }
  const errors: FieldError[] = []
  if (localhostProfile !== undefined) {
    errors.push(invalidField(at, localhostProfile, 'can only be set when AppArmor type is Localhost'))
  }
  if (type === '') errors.push(requiredField(`${path}.type`, 'type is required when appArmorProfile is set'))
  else errors.push(...oneOf(type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`))
  return errors
}

const sysctlPart = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const sysctlPattern = `(${sysctlPart}[\\./])*${sysctlPart}`
function validateSysctls(sysctls: readonly Sysctl[] | undefined, host: HostNamespaces, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  sysctls?.forEach(({ name }, i) => {
    const at = `${path}[${i}].name`
    const plain = name.replaceAll('/', '.')
    if (name === '') errors.push(requiredField(at))
    else if (name.length > 253 || !new RegExp(`^${sysctlPattern}$`).test(name)) {
      errors.push(invalidField(at, name, `must have at most 253 characters and match regex ^${sysctlPattern}$`))
    } else if (seen.has(plain)) errors.push(duplicateField(at, name))
    seen.add(plain)
    if (host.hostNetwork === true && plain.startsWith('net.')) {
      errors.push(invalidField(at, name, "may not be specified when 'hostNetwork' is true"))
    }
    if (
      host.hostIPC === true &&
      (plain.startsWith('kernel.shm') ||
        plain.startsWith('kernel.msg') ||
        plain === 'kernel.sem' ||
        plain.startsWith('fs.mqueue.'))
    ) {
      errors.push(invalidField(at, name, "may not be specified when 'hostIPC' is true"))
    }
  })
  return errors
}

interface HostNamespaces {
  readonly hostNetwork?: boolean | undefined
  readonly hostIPC?: boolean | undefined
}
export function validatePodSecurityContext(
  context: PodSecurityContext | undefined,
  host: HostNamespaces,
  path: string,
): FieldError[] {
  if (context === undefined) return []
  const errors = [
    ...validateId(context.fsGroup, `${path}.fsGroup`),
    ...validateId(context.runAsUser, `${path}.runAsUser`),
    ...validateId(context.runAsGroup, `${path}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((id, i) => validateId(id, `${path}.supplementalGroups[${i}]`)),
    ...validateSysctls(context.sysctls, host, `${path}.sysctls`),
    ...oneOf(context.fsGroupChangePolicy, ['Always', 'OnRootMismatch'], `${path}.fsGroupChangePolicy`),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
    ...oneOf(context.supplementalGroupsPolicy, ['Merge', 'Strict'], `${path}.supplementalGroupsPolicy`),
    ...oneOf(context.seLinuxChangePolicy, ['MountOption', 'Recursive'], `${path}.seLinuxChangePolicy`),
  ]
  return errors
}

/** Security context of a container; `hostUsers` is the pod's. */
export function validateSecurityContext(
  context: SecurityContext | undefined,
  path: string,
  hostUsers: boolean | undefined,
): FieldError[] {
  if (context === undefined) return []
  const errors = [
    ...validateId(context.runAsUser, `${path}.runAsUser`),
    ...validateId(context.runAsGroup, `${path}.runAsGroup`),
    ...oneOf(context.procMount, ['Default', 'Unmasked'], `${path}.procMount`),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
  ]
  if (context.procMount === 'Unmasked' && hostUsers !== false) {
    errors.push(invalidField(`${path}.procMount`, context.procMount, '`hostUsers` must be false to use `Unmasked`'))
  }
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true) {
      errors.push(
        invalidField(path, shown(context), 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'),
      )
    }
    if (context.capabilities?.add?.includes('CAP_SYS_ADMIN') === true) {
      errors.push(
        invalidField(
          path,
          shown(context),
          'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN',
        ),
      )
    }
  }
  return errors
}

/** A pod in a user namespace of its own cannot also be in the host's other namespaces. */
export function validateHostUsers(
  spec: HostNamespaces & { readonly hostPID?: boolean | undefined; readonly hostUsers?: boolean | undefined },
  path: string,
): FieldError[] {
  if (spec.hostUsers !== false) return []
  const when = 'when `hostUsers` is false'
  const errors: FieldError[] = []
  if (spec.hostPID === true) errors.push(forbiddenField(`${path}.hostPID`, `can not be set ${when}`))
  if (spec.hostIPC === true) errors.push(forbiddenField(`${path}.hostIPC`, `can not be set ${when}`))
  return errors
}
