// Rules of a claim's spec, shared with claim templates.
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { compareQuantities } from '../machinery/quantity.ts'
import { isDns1123Subdomain, validateLabelSelector } from '../machinery/validation.ts'
import type { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts'

export const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']
export const volumeModes = ['Block', 'Filesystem']

/** Modes of a volume or a claim; ReadWriteOncePod stands alone. */
export function validateAccessModes(modes: readonly string[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  for (const mode of modes ?? []) {
    if (!accessModes.includes(mode)) errors.push(notSupportedField(path, mode, accessModes))
  }
  if (modes?.includes('ReadWriteOncePod') === true && modes.length > 1) {
    errors.push(forbiddenField(path, 'may not use ReadWriteOncePod with other access modes'))
  }
  return errors
}

function validateDataSources(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name]
    if (source === undefined) continue
    const at = `${path}.${name}`
    if (source.name === '') errors.push(requiredField(`${at}.name`))
    if (source.kind === '') errors.push(requiredField(`${at}.kind`))
    if (!source.apiGroup && source.kind !== 'PersistentVolumeClaim') {
      errors.push(
        invalidField(at, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"),
      )
    }
  }
  return errors
}

export function validatePersistentVolumeClaimSpec(spec: PersistentVolumeClaimSpec, path: string): FieldError[] {
  const errors: FieldError[] = []
  if ((spec.accessModes?.length ?? 0) === 0) {
    errors.push(requiredField(`${path}.accessModes`, 'at least 1 access mode is required'))
  }
  errors.push(...validateLabelSelector(spec.selector, `${path}.selector`))
  errors.push(...validateAccessModes(spec.accessModes, `${path}.accessModes`))
  const storage = spec.resources.requests?.['storage']
  const at = `${path}.resources`
  if (storage === undefined) errors.push(requiredField(`${at}[storage]`))
  else if (compareQuantities(storage, '0') <= 0) {
    errors.push(invalidField(`${at}[storage]`, storage, 'must be greater than zero'))
  }
  if (spec.storageClassName) {
    for (const message of isDns1123Subdomain(spec.storageClassName)) {
      errors.push(invalidField(`${path}.storageClassName`, spec.storageClassName, message))
    }
  }
  if (!volumeModes.includes(spec.volumeMode))
    errors.push(notSupportedField(`${path}.volumeMode`, spec.volumeMode, volumeModes))
  if (spec.volumeAttributesClassName) {
    for (const message of isDns1123Subdomain(spec.volumeAttributesClassName)) {
      errors.push(invalidField(`${path}.volumeAttributesClassName`, spec.volumeAttributesClassName, message))
    }
  }
  return [...errors, ...validateDataSources(spec, path)]
}
