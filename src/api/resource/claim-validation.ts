// What a ResourceClaim may ask for and what its status may say, after the descriptions of the API
// (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/).
import { validateNodeSelector } from '../core/selector-validation.ts'
import { semanticEqual } from '../machinery/equal.ts'
import {
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
  tooLongField,
  tooManyField,
} from '../machinery/errors.ts'
import { isDns1123Label, isDns1123Subdomain, utf8Length, validateCidr } from '../machinery/validation.ts'
import {
  duplicates,
  each,
  type Exact,
  oneOf,
  type Request,
  validateAttributeName,
  validateConditionTypes,
  validateDeviceName,
  validateDriverName,
  validateOpaque,
  validatePoolName,
  validateRaw,
  validateSelectors,
  validateTolerations,
} from './device-names.ts'
import { deviceId, type ResourceClaimSpec } from './devices.ts'
import { maxClaimUsers } from './pod-claims.ts'
import type { ResourceClaim } from './resource.ts'

type Status = ResourceClaim['status']
type Allocation = NonNullable<Status['allocation']>
type DeviceStatus = NonNullable<Status['devices']>[number]
type Detail = Omit<Exact, 'adminAccess'>

const maxDevices = 32
const modes = ['All', 'ExactCount']

/** "request" and "request/subrequest" of everything a claim asks for. */
function requestNames({ devices: { requests = [] } }: ResourceClaimSpec): ReadonlySet<string> {
  const names = requests.flatMap(({ name, firstAvailable = [] }) => [
    name,
    ...firstAvailable.map((sub) => `${name}/${sub.name}`),
  ])
  return new Set(names)
}
const validateRequestRefs = (
  refs: readonly string[] | undefined,
  names: ReadonlySet<string>,
  field: string,
): FieldError[] => [
  ...each(refs, maxDevices, field, (ref, at) =>
    names.has(ref)
      ? []
      : [
          invalidField(
            at,
            ref,
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
          ),
        ],
  ),
  ...duplicates(
    refs,
    (ref) => ref,
    (i) => `${field}[${i}]`,
  ),
]

function validateDetail(wanted: Detail, field: string): FieldError[] {
  const { deviceClassName, selectors, allocationMode = '', count, tolerations, capacity } = wanted
  const errors: FieldError[] = []
  if (deviceClassName === '') errors.push(requiredField(`${field}.deviceClassName`))
  else
    for (const m of isDns1123Subdomain(deviceClassName))
      errors.push(invalidField(`${field}.deviceClassName`, deviceClassName, m))
  errors.push(...validateSelectors(selectors, `${field}.selectors`))
  if (!modes.includes(allocationMode)) errors.push(notSupportedField(`${field}.allocationMode`, allocationMode, modes))
  if (allocationMode === 'ExactCount' && (count ?? 0) <= 0)
    errors.push(invalidField(`${field}.count`, count, 'must be greater than zero'))
  if (allocationMode === 'All' && count !== undefined)
    errors.push(invalidField(`${field}.count`, count, "must not be specified when allocationMode is 'All'"))
  errors.push(...validateTolerations(tolerations, `${field}.tolerations`))
  for (const name of Object.keys(capacity?.requests ?? {}))
    errors.push(...validateAttributeName(name, `${field}.capacity.requests[${name}]`))
  return errors
}
function validateRequest({ name, exactly, firstAvailable }: Request, field: string): FieldError[] {
  const errors = isDns1123Label(name).map((message) => invalidField(`${field}.name`, name, message))
  const alternatives = firstAvailable ?? []
  if ((exactly === undefined) === (alternatives.length === 0))
    errors.push(
      exactly === undefined
        ? requiredField(field, 'exactly one of `exactly` or `firstAvailable` is required')
        : invalidField(
            field,
            null,
            'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set',
          ),
    )
  if (exactly !== undefined) errors.push(...validateDetail(exactly, `${field}.exactly`))
  return [
    ...errors,
    ...each(alternatives, 8, `${field}.firstAvailable`, (one, at) => [
      ...isDns1123Label(one.name).map((message) => invalidField(`${at}.name`, one.name, message)),
      ...validateDetail(one, at),
    ]),
    ...duplicates(
      alternatives,
      (one) => one.name,
      (i) => `${field}.firstAvailable[${i}].name`,
    ),
  ]
}

/** What is wrong with what a claim, or a template, asks for. */
export function validateClaimSpec(spec: ResourceClaimSpec, path: string): FieldError[] {
  const { requests, constraints, config } = spec.devices
  const at = `${path}.devices`
  const names = requestNames(spec)
  return [
    ...each(requests, maxDevices, `${at}.requests`, validateRequest),
    ...duplicates(
      requests,
      ({ name }) => name,
      (i) => `${at}.requests[${i}].name`,
    ),
    ...each(constraints, 32, `${at}.constraints`, ({ requests: refs, matchAttribute, distinctAttribute }, here) => [
      ...validateRequestRefs(refs, names, `${here}.requests`),
      ...oneOf(
        { matchAttribute: matchAttribute !== undefined, distinctAttribute: distinctAttribute !== undefined },
        here,
      ),
      ...(matchAttribute === undefined
        ? []
        : validateAttributeName(matchAttribute, `${here}.matchAttribute`, { full: true })),
      ...(distinctAttribute === undefined
        ? []
        : validateAttributeName(distinctAttribute, `${here}.distinctAttribute`, { full: true })),
    ]),
    ...each(config, 32, `${at}.config`, ({ requests: refs, opaque }, here) => [
      ...validateRequestRefs(refs, names, `${here}.requests`),
      ...validateOpaque(opaque, here),
    ]),
  ]
}

function validateAllocation(
  { devices, nodeSelector }: Allocation,
  spec: ResourceClaimSpec,
  field: string,
): FieldError[] {
  const names = requestNames(spec)
  const at = `${field}.devices`
  const sources = ['FromClaim', 'FromClass']
  return [
    ...each(devices.results, maxDevices, `${at}.results`, (one, here) => [
      ...validateRequestRefs([one.request], names, `${here}.request`).map((error) => ({
        ...error,
        field: `${here}.request`,
      })),
      ...validateDriverName(one.driver, `${here}.driver`),
      ...validatePoolName(one.pool, `${here}.pool`),
      ...validateDeviceName(one.device, `${here}.device`),
      ...validateTolerations(one.tolerations, `${here}.tolerations`),
      ...validateConditionTypes(one.bindingConditions, `${here}.bindingConditions`),
      ...validateConditionTypes(one.bindingFailureConditions, `${here}.bindingFailureConditions`),
      ...validateShare(one.shareID, `${here}.shareID`),
    ]),
    ...each(devices.config, 64, `${at}.config`, ({ source, requests, opaque }, here) => [
      ...(source === ''
        ? [requiredField(`${here}.source`)]
        : sources.includes(source)
          ? []
          : [notSupportedField(`${here}.source`, source, sources)]),
      ...validateRequestRefs(requests, names, `${here}.requests`),
      ...validateOpaque(opaque, here),
    ]),
    ...(nodeSelector === undefined ? [] : validateNodeSelector(nodeSelector, `${field}.nodeSelector`)),
  ]
}
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const validateShare = (shareId: string | undefined, field: string): FieldError[] =>
  shareId === undefined || uuid.test(shareId)
    ? []
    : [invalidField(field, shareId, 'must be a lowercase UUID in 8-4-4-4-12 format')]

const keyOf = ({
  driver,
  pool,
  device,
  shareID,
}: Pick<DeviceStatus, 'driver' | 'pool' | 'device' | 'shareID'>): string =>
  shareID === undefined ? deviceId(driver, pool, device) : `${deviceId(driver, pool, device)}/${shareID}`

function validateDeviceStatus(one: DeviceStatus, given: ReadonlySet<string>, field: string): FieldError[] {
  const { conditions = [], data, networkData } = one
  const errors = [
    ...validateDriverName(one.driver, `${field}.driver`),
    ...validatePoolName(one.pool, `${field}.pool`),
    ...validateDeviceName(one.device, `${field}.device`),
    ...validateShare(one.shareID, `${field}.shareID`),
  ]
  if (!given.has(keyOf(one))) errors.push(invalidField(field, keyOf(one), 'must be an allocated device in the claim'))
  if (conditions.length > 8) errors.push(tooManyField(`${field}.conditions`, conditions.length, 8))
  if (data !== undefined) errors.push(...validateRaw(data, `${field}.data`))
  const { interfaceName = '', hardwareAddress = '', ips } = networkData ?? {}
  if (utf8Length(interfaceName) > 256) errors.push(tooLongField(`${field}.networkData.interfaceName`, 256))
  if (utf8Length(hardwareAddress) > 128) errors.push(tooLongField(`${field}.networkData.hardwareAddress`, 128))
  return [
    ...errors,
    ...each(ips, 16, `${field}.networkData.ips`, (ip, at) => [...validateCidr(ip, at)]),
    ...duplicates(
      ips,
      (ip) => ip,
      (i) => `${field}.networkData.ips[${i}]`,
    ),
  ]
}

/** What is wrong with a new status of a claim: an allocation is made once, and stays while somebody uses it. */
export function validateClaimStatus({ metadata, spec, status }: ResourceClaim, old: ResourceClaim): FieldError[] {
  const { allocation, reservedFor = [], devices } = status
  const errors: FieldError[] = []
  const before = old.status.allocation
  if (allocation !== undefined && before === undefined)
    errors.push(...validateAllocation(allocation, spec, 'status.allocation'))
  else if (allocation !== undefined && !semanticEqual(allocation as never, before as never))
    errors.push(invalidField('status.allocation', allocation as never, 'field is immutable'))
  if (reservedFor.length > 0 && allocation === undefined)
    errors.push(forbiddenField('status.reservedFor', 'may not be specified when `allocated` is not set'))
  const known = new Set(old.status.reservedFor?.map(({ uid }) => uid))
  if (metadata.deletionTimestamp !== undefined && reservedFor.some(({ uid }) => !known.has(uid)))
    errors.push(
      forbiddenField(
        'status.reservedFor',
        'new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set',
      ),
    )
  errors.push(
    ...each(reservedFor, maxClaimUsers, 'status.reservedFor', ({ resource, name, uid }, at) =>
      Object.entries({ resource, name, uid }).flatMap(([field, value]) =>
        value === '' ? [requiredField(`${at}.${field}`)] : [],
      ),
    ),
    ...duplicates(
      reservedFor,
      ({ uid }) => uid,
      (i) => `status.reservedFor[${i}].uid`,
    ),
  )
  const given = new Set(allocation?.devices.results?.map(keyOf))
  return [
    ...errors,
    ...(devices ?? []).flatMap((one, i) =>
      // what stood there before was right when it was written
      old.status.devices?.some((other) => semanticEqual(other as never, one as never)) === true
        ? []
        : validateDeviceStatus(one, given, `status.devices[${i}]`),
    ),
    ...duplicates(devices, keyOf, (i) => `status.devices[${i}]`),
  ]
}
