// Rules of PersistentVolumes and of claims, whose specs hardly change once they exist.
import { semanticEqual } from '../machinery/equal.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { compareQuantities } from '../machinery/quantity.ts'
import { isDns1123Subdomain } from '../machinery/validation.ts'
import {
  validateAccessModes,
  validatePersistentVolumeClaimSpec,
  volumeModes,
} from './persistent-volume-claim-validation.ts'
import type { PersistentVolume } from './persistent-volume.ts'
import { persistentVolumeSourceFields, type PersistentVolumeSpec } from './persistent-volume-spec.ts'
import type { PersistentVolumeClaim } from './persistent-volume-claim.ts'
import { validateNodeSelector } from './selector-validation.ts'
import { validateCsiDriverName, validateHostPath, validateNfs, validateNoBackSteps } from './volume-validation.ts'

type SourceName = keyof typeof persistentVolumeSourceFields
const sourcesOf = (spec: PersistentVolumeSpec): readonly SourceName[] =>
  (Object.keys(persistentVolumeSourceFields) as SourceName[]).filter((name) => spec[name] !== undefined)

function validateSource(spec: PersistentVolumeSpec): FieldError[] {
  const [first, ...more] = sourcesOf(spec)
  if (first === undefined) return [requiredField('spec', 'must specify a volume type')]
  const errors = more.map((name) => forbiddenField(`spec.${name}`, 'may not specify more than 1 volume type'))
  if (spec.hostPath !== undefined) {
    errors.push(...validateHostPath(spec.hostPath, 'spec.hostPath'))
    if (spec.hostPath.path.replace(/\/+$/, '') === '' && spec.persistentVolumeReclaimPolicy === 'Recycle') {
      errors.push(
        forbiddenField('spec.persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'"),
      )
    }
  }
  if (spec.nfs !== undefined) errors.push(...validateNfs(spec.nfs, 'spec.nfs'))
  if (spec.local !== undefined) {
    errors.push(...validateNoBackSteps(spec.local.path, 'spec.local.path'))
    if (spec.nodeAffinity?.required === undefined) {
      errors.push(requiredField('spec.nodeAffinity', 'Local volume requires node affinity'))
    }
  }
  if (spec.csi !== undefined) errors.push(...validateCsiDriverName(spec.csi.driver, 'spec.csi.driver'))
  return errors
}

export function validatePersistentVolume(volume: PersistentVolume): FieldError[] {
  const { spec } = volume
  const errors: FieldError[] = []
  if ((spec.accessModes?.length ?? 0) === 0) errors.push(requiredField('spec.accessModes'))
  errors.push(...validateAccessModes(spec.accessModes, 'spec.accessModes'))
  const names = Object.keys(spec.capacity ?? {})
  if (names.length === 0) errors.push(requiredField('spec.capacity'))
  else if (names.length > 1 || names[0] !== 'storage') {
    errors.push(notSupportedField('spec.capacity', names.join(','), ['storage']))
  }
  for (const [name, amount] of Object.entries(spec.capacity ?? {})) {
    if (compareQuantities(amount, '0') <= 0) {
      errors.push(invalidField(`spec.capacity[${name}]`, amount, 'must be greater than zero'))
    }
  }
  const policies = ['Delete', 'Recycle', 'Retain']
  if (!policies.includes(spec.persistentVolumeReclaimPolicy)) {
    errors.push(notSupportedField('spec.persistentVolumeReclaimPolicy', spec.persistentVolumeReclaimPolicy, policies))
  }
  errors.push(...validateSource(spec))
  if (spec.nodeAffinity !== undefined) {
    if (spec.nodeAffinity.required === undefined) {
      errors.push(requiredField('spec.nodeAffinity.required', 'must specify required node constraints'))
    } else errors.push(...validateNodeSelector(spec.nodeAffinity.required, 'spec.nodeAffinity.required'))
  }
  if (spec.storageClassName) {
    for (const message of isDns1123Subdomain(spec.storageClassName)) {
      errors.push(invalidField('spec.storageClassName', spec.storageClassName, message))
    }
  }
  if (!volumeModes.includes(spec.volumeMode)) {
    errors.push(notSupportedField('spec.volumeMode', spec.volumeMode, volumeModes))
  }
  return errors
}

const pick = (spec: PersistentVolumeSpec): object =>
  Object.fromEntries(sourcesOf(spec).map((name) => [name, spec[name]]))
/** A CSI volume may get other expansion secrets. */
function comparable(spec: PersistentVolumeSpec): object {
  if (spec.csi === undefined) return pick(spec)
  return { csi: { ...spec.csi, controllerExpandSecretRef: undefined, nodeExpandSecretRef: undefined } }
}
export function validatePersistentVolumeUpdate(volume: PersistentVolume, old: PersistentVolume): FieldError[] {
  const errors: FieldError[] = []
  if (!semanticEqual(comparable(volume.spec), comparable(old.spec))) {
    errors.push(
      forbiddenField(
        'spec.persistentvolumesource',
        `spec.persistentvolumesource is immutable after creation\n${differing(pick(old.spec), pick(volume.spec))}`,
      ),
    )
  }
  if (volume.spec.volumeMode !== old.spec.volumeMode) {
    errors.push(invalidField('spec.volumeMode', volume.spec.volumeMode, 'field is immutable'))
  }
  const before = old.spec.nodeAffinity
  if (before !== undefined && !semanticEqual(before, volume.spec.nodeAffinity)) {
    errors.push(
      invalidField(
        'spec.nodeAffinity',
        JSON.parse(JSON.stringify(volume.spec.nodeAffinity ?? null)),
        'field is immutable',
      ),
    )
  }
  return errors
}
const differing = (before: unknown, now: unknown): string => `-\t${JSON.stringify(before)}\n+\t${JSON.stringify(now)}\n`

export const validatePersistentVolumeClaim = (claim: PersistentVolumeClaim): FieldError[] =>
  validatePersistentVolumeClaimSpec(claim.spec, 'spec')

export function validatePersistentVolumeClaimUpdate(
  claim: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
): FieldError[] {
  const errors: FieldError[] = []
  const { spec } = claim
  const bound = old.status.phase === 'Bound'
  const free = (of: PersistentVolumeClaim): object => {
    const { volumeAttributesClassName: _, ...rest } = of.spec
    const { storage: __, ...requests } = rest.resources.requests ?? {}
    return {
      ...rest,
      ...(old.spec.volumeName === undefined ? { volumeName: undefined } : {}),
      ...(old.spec.storageClassName === undefined ? { storageClassName: undefined } : {}),
      resources: bound ? { ...rest.resources, requests } : rest.resources,
    }
  }
  if (!semanticEqual(free(claim), free(old))) {
    errors.push(
      forbiddenField(
        'spec',
        `spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n${differing(old.spec, spec)}`,
      ),
    )
  }
  const [now, before] = [spec.resources.requests?.['storage'], old.spec.resources.requests?.['storage']]
  const granted = old.status.capacity?.['storage']
  if (now !== undefined && before !== undefined && compareQuantities(now, before) < 0) {
    if (granted === undefined || compareQuantities(now, granted) <= 0) {
      errors.push(forbiddenField('spec.resources.requests.storage', 'field can not be less than status.capacity'))
    }
  }
  if (spec.volumeMode !== old.spec.volumeMode) {
    errors.push(invalidField('spec.volumeMode', spec.volumeMode, 'field is immutable'))
  }
  return errors
}
