// Rules of a pod's volumes.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import { compareQuantities } from '../machinery/quantity.ts'
import { isConfigMapKey, isDns1123Label, isValidFileMode, validateLabelKey } from '../machinery/validation.ts'
import { validateFieldSelector, validateResourceFieldSelector, volumeFieldPaths } from './downward-validation.ts'
import { validatePersistentVolumeClaimSpec } from './persistent-volume-claim-validation.ts'
import {
  type DownwardAPIVolumeFile,
  type KeyToPath,
  type ProjectedVolumeSource,
  type ServiceAccountTokenProjection,
  type Volume,
  type VolumeProjection,
  volumeSourceFields,
  type VolumeSourceName,
} from './volumes.ts'

/** A relative path that stays below where it starts. */
export function validateDescendingPath(value: string, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (value.startsWith('/')) errors.push(invalidField(path, value, 'must be a relative path'))
  return [...errors, ...validateNoBackSteps(value, path)]
}
export const validateNoBackSteps = (value: string, path: string): FieldError[] =>
  value.split('/').includes('..') ? [invalidField(path, value, "must not contain '..'")] : []
/** The kubelet keeps names that begin with two dots for itself. */
function validateFreePath(value: string, path: string): FieldError[] {
  const errors = validateDescendingPath(value, path)
  if (value.startsWith('..') && !value.startsWith('../') && value !== '..') {
    errors.push(invalidField(path, value, "must not start with '..'"))
  }
  return errors
}
const validateMode = (mode: number | undefined, path: string): FieldError[] =>
  mode === undefined ? [] : isValidFileMode(mode).map((message) => invalidField(path, mode, message))

function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = `${path}.items[${i}]`
    const errors: FieldError[] = []
    if (item.key === '') errors.push(requiredField(`${at}.key`))
    else for (const message of isConfigMapKey(item.key)) errors.push(invalidField(`${at}.key`, item.key, message))
    if (item.path === '') errors.push(requiredField(`${at}.path`))
    else errors.push(...validateFreePath(item.path, `${at}.path`))
    return [...errors, ...validateMode(item.mode, `${at}.mode`)]
  })
}
function validateDownwardFiles(files: readonly DownwardAPIVolumeFile[] | undefined, path: string): FieldError[] {
  return (files ?? []).flatMap((file, i) => {
    const at = `${path}.items[${i}]`
    const errors: FieldError[] = []
    if (file.path === '') errors.push(requiredField(`${at}.path`))
    else errors.push(...validateFreePath(file.path, `${at}.path`))
    if (file.fieldRef !== undefined) {
      errors.push(...validateFieldSelector(file.fieldRef, volumeFieldPaths, `${at}.fieldRef`))
      if (file.resourceFieldRef !== undefined) {
        errors.push(invalidField(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'))
      }
    } else if (file.resourceFieldRef !== undefined) {
      errors.push(...validateResourceFieldSelector(file.resourceFieldRef, `${at}.resourceFieldRef`, true))
    } else errors.push(requiredField(at, 'one of fieldRef and resourceFieldRef is required'))
    return [...errors, ...validateMode(file.mode, `${at}.mode`)]
  })
}

const tenMinutes = 600
function validateTokenProjection(token: ServiceAccountTokenProjection, path: string): FieldError[] {
  const errors: FieldError[] = []
  const seconds = token.expirationSeconds
  if (seconds < tenMinutes) {
    errors.push(invalidField(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes'))
  } else if (seconds > 2 ** 32) {
    errors.push(
      invalidField(`${path}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds'),
    )
  }
  if (token.path === '') errors.push(requiredField(`${path}.path`))
  else errors.push(...validateFreePath(token.path, `${path}.path`))
  return errors
}
function validateTrustBundle(bundle: NonNullable<VolumeProjection['clusterTrustBundle']>, path: string): FieldError[] {
  const errors: FieldError[] = []
  const { name, signerName } = bundle
  if (name !== undefined && signerName !== undefined) {
    errors.push(invalidField(path, null, 'only one of name and signerName may be used'))
  } else if (name !== undefined) {
    if (name === '') errors.push(requiredField(`${path}.name`, 'must be a valid object name'))
    if (bundle.labelSelector !== undefined) {
      errors.push(invalidField(`${path}.labelSelector`, null, 'labelSelector must be unset if name is specified'))
    }
  } else if (signerName === undefined) errors.push(requiredField(path, 'either name or signerName must be specified'))
  else if (signerName === '') errors.push(requiredField(`${path}.signerName`, 'must be a valid signer name'))
  if (bundle.path === '') errors.push(requiredField(`${path}.path`))
  return [...errors, ...validateFreePath(bundle.path, `${path}.path`)]
}
function validateProjected(projected: ProjectedVolumeSource, path: string): FieldError[] {
  const errors = validateMode(projected.defaultMode, `${path}.defaultMode`)
  const used = new Set<string>()
  projected.sources?.forEach((source, i) => {
    const at = `${path}.sources[${i}]`
    const names = (Object.keys(source) as (keyof VolumeProjection)[]).filter((name) => source[name] !== undefined)
    if (names.length > 1) errors.push(forbiddenField(`${at}.${names[1]}`, 'may not specify more than 1 volume type'))
    if (names.length === 0) errors.push(requiredField(at, 'must specify a volume type'))
    const { secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle } = source
    for (const [kind, from] of [['secret', secret] as const, ['configMap', configMap] as const]) {
      if (from === undefined) continue
      if (!from.name) errors.push(requiredField(`${at}.${kind}.name`))
      errors.push(...validateItems(from.items, `${at}.${kind}`))
    }
    if (downwardAPI !== undefined) errors.push(...validateDownwardFiles(downwardAPI.items, `${at}.downwardAPI`))
    if (serviceAccountToken !== undefined) {
      errors.push(...validateTokenProjection(serviceAccountToken, `${at}.serviceAccountToken`))
    }
    if (clusterTrustBundle !== undefined)
      errors.push(...validateTrustBundle(clusterTrustBundle, `${at}.clusterTrustBundle`))
    for (const target of projectedPaths(source)) {
      if (target !== '' && used.has(target)) {
        errors.push(invalidField(path, source.secret?.name ?? target, `conflicting duplicate paths: ${target}`))
      }
      used.add(target)
    }
  })
  return errors
}
const projectedPaths = (source: VolumeProjection): readonly string[] => [
  ...(source.secret?.items ?? []).map((item) => item.path),
  ...(source.configMap?.items ?? []).map((item) => item.path),
  ...(source.downwardAPI?.items ?? []).map((item) => item.path),
  ...(source.serviceAccountToken === undefined ? [] : [source.serviceAccountToken.path]),
  ...(source.clusterTrustBundle === undefined ? [] : [source.clusterTrustBundle.path]),
]

const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
]
export function validateHostPath(
  source: { readonly path: string; readonly type?: string },
  path: string,
): FieldError[] {
  if (source.path === '') return [requiredField(`${path}.path`)]
  const errors = validateNoBackSteps(source.path, `${path}.path`)
  if (source.type !== undefined && !hostPathTypes.includes(source.type)) {
    errors.push(notSupportedField(`${path}.type`, source.type, hostPathTypes))
  }
  return errors
}
export function validateNfs(source: { readonly server: string; readonly path: string }, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (source.server === '') errors.push(requiredField(`${path}.server`))
  if (source.path === '') errors.push(requiredField(`${path}.path`))
  if (!source.path.startsWith('/')) errors.push(invalidField(`${path}.path`, source.path, 'must be an absolute path'))
  return errors
}
export const pullPolicies = ['Always', 'IfNotPresent', 'Never']

/** One check per source that has rules beyond its required fields. */
const checks: { readonly [K in VolumeSourceName]?: (source: NonNullable<Volume[K]>, path: string) => FieldError[] } = {
  hostPath: validateHostPath,
  nfs: validateNfs,
  emptyDir: ({ sizeLimit }, path) =>
    sizeLimit !== undefined && compareQuantities(sizeLimit, '0') < 0
      ? [forbiddenField(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity')]
      : [],
  secret: (source, path) => [
    ...(source.secretName ? [] : [requiredField(`${path}.secretName`)]),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...validateItems(source.items, path),
  ],
  configMap: (source, path) => [
    ...(source.name ? [] : [requiredField(`${path}.name`)]),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...validateItems(source.items, path),
  ],
  downwardAPI: (source, path) => [
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...validateDownwardFiles(source.items, path),
  ],
  projected: validateProjected,
  ephemeral: (source, path) => {
    const template = source.volumeClaimTemplate
    const at = `${path}.volumeClaimTemplate`
    return template === undefined ? [requiredField(at)] : validatePersistentVolumeClaimSpec(template.spec, `${at}.spec`)
  },
  csi: (source, path) => validateCsiDriverName(source.driver, `${path}.driver`),
  image: (source, path) => [
    ...(source.reference ? [] : [requiredField(`${path}.reference`)]),
    ...(source.pullPolicy === undefined || pullPolicies.includes(source.pullPolicy)
      ? []
      : [notSupportedField(`${path}.pullPolicy`, source.pullPolicy, pullPolicies)]),
  ],
  iscsi: (source, path) => [
    ...(/^(iqn|eui|naa)\./.test(source.iqn) ? [] : [invalidField(`${path}.iqn`, source.iqn, 'must be valid format')]),
    ...(source.lun < 0 || source.lun > 255
      ? [invalidField(`${path}.lun`, source.lun, 'must be between 0 and 255, inclusive')]
      : []),
  ],
  gitRepo: (source, path) =>
    source.directory === undefined ? [] : validateDescendingPath(source.directory, `${path}.directory`),
}
export function validateCsiDriverName(driver: string, path: string): FieldError[] {
  if (driver === '') return [requiredField(path)]
  if (driver.length > 63)
    return [{ type: 'FieldValueTooLong', field: path, message: 'Too long: may not be more than 63 bytes' }]
  return validateLabelKey(driver.toLowerCase(), path).map((error) => ({ ...error }))
}

function check<K extends VolumeSourceName>(name: K, volume: Volume, path: string): FieldError[] {
  const source = volume[name]
  const rule = checks[name]
  return source === undefined || source === null || rule === undefined
    ? []
    : rule(source as NonNullable<Volume[K]>, `${path}.${name}`)
}
const sourceNames = Object.keys(volumeSourceFields) as VolumeSourceName[]

export function validateVolumes(volumes: readonly Volume[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  volumes?.forEach((volume, i) => {
    const at = `${path}[${i}]`
    const sources = sourceNames.filter((name) => volume[name] !== undefined)
    if (sources.length === 0) errors.push(requiredField(at, 'must specify a volume type'))
    sources.slice(1).forEach((name) => {
      errors.push(forbiddenField(`${at}.${name}`, 'may not specify more than 1 volume type'))
    })
    const [first] = sources
    if (first !== undefined) errors.push(...check(first, volume, at))
    if (volume.name === '') errors.push(requiredField(`${at}.name`))
    else
      for (const message of isDns1123Label(volume.name)) errors.push(invalidField(`${at}.name`, volume.name, message))
    if (names.has(volume.name)) errors.push(duplicateField(`${at}.name`, volume.name))
    names.add(volume.name)
  })
  return errors
}
