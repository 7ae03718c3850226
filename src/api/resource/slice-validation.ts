// What a ResourceSlice may offer and what a DeviceClass may say, after the descriptions of the API
// (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-slice-v1/).
import { isExtendedResource } from '../core/resource-validation.ts'
import {
  type FieldError,
  forbiddenField,
  invalidField,
  notFoundField,
  notSupportedField,
  requiredField,
  tooLongField,
  tooManyField,
} from '../machinery/errors.ts'
import { compareQuantities, parseQuantity } from '../machinery/quantity.ts'
import { isDns1123Label, isValidLabelValue, utf8Length, validateLabelKey } from '../machinery/validation.ts'
import {
  duplicates,
  each,
  expressionsOf,
  oneOf,
  validateAttributeName,
  validateConditionTypes,
  validateDeviceName,
  validateDriverName,
  validateOneTerm,
  validateOpaque,
  validatePoolName,
  validateSelectors,
} from './device-names.ts'
import type { Device } from './pools.ts'
import type { DeviceClass, ResourceSlice } from './resource.ts'

type Spec = ResourceSlice['spec']
type Attribute = NonNullable<Device['attributes']>[string]
type Capacity = NonNullable<Device['capacity']>[string]
type Policy = NonNullable<Capacity['requestPolicy']>
type Counters = NonNullable<Spec['sharedCounters']>[number]['counters']

const maxDevices = 128
/** Where a device has taints, counters or lists, which take more room. */
const maxRichDevices = 64
const maxMembers = 32
const maxValues = 48

const semver =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/
const validateText = (text: string, field: string): FieldError[] =>
  utf8Length(text) > 64 ? [tooLongField(field, 64)] : []
const validateVersion = (text: string, field: string): FieldError[] => [
  ...validateText(text, field),
  ...(semver.test(text) ? [] : [invalidField(field, text, 'must be a string compatible with semver.org spec 2.0.0')]),
]
function validateAttribute(attribute: Attribute, field: string): FieldError[] {
  const members = Object.keys(attribute)
  const { string: text, version, strings, versions } = attribute
  const errors: FieldError[] = []
  if (members.length === 0) errors.push(requiredField(field, 'exactly one value must be specified'))
  else if (members.length > 1)
    errors.push(invalidField(field, attribute as never, 'exactly one value must be specified'))
  for (const list of ['ints', 'bools', 'strings', 'versions'] as const)
    if (attribute[list]?.length === 0) errors.push(requiredField(`${field}.${list}`, 'must not be empty'))
  if (text !== undefined) errors.push(...validateText(text, `${field}.string`))
  if (version !== undefined) errors.push(...validateVersion(version, `${field}.version`))
  strings?.forEach((one, i) => errors.push(...validateText(one, `${field}.strings[${i}]`)))
  versions?.forEach((one, i) => errors.push(...validateVersion(one, `${field}.versions[${i}]`)))
  return errors
}
const valuesOf = ({ ints, bools, strings, versions }: Attribute): number =>
  (ints ?? bools ?? strings ?? versions)?.length ?? 1
const hasLists = ({ ints, bools, strings, versions }: Attribute): boolean =>
  (ints ?? bools ?? strings ?? versions) !== undefined

/** How a request for a capacity is brought to an amount that may be had (KEP-5075). */
function validatePolicy(policy: Policy, value: string, field: string): FieldError[] {
  const { validValues, validRange } = policy
  const errors: FieldError[] = []
  const preset = policy.default === undefined ? undefined : String(policy.default)
  const over = (amount: unknown, most: string) => compareQuantities(String(amount), most) > 0
  const multiple = (amount: string, step: string) => {
    const { nanos } = parseQuantity(step)
    return nanos > 0n && parseQuantity(amount).nanos % nanos === 0n
  }
  if (validValues !== undefined && validRange !== undefined)
    errors.push(
      forbiddenField(
        field,
        'exactly one policy can be specified, cannot specify `validValues` and `validRange` at the same time',
      ),
    )
  if (preset === undefined) {
    if (validValues !== undefined || validRange !== undefined)
      errors.push(requiredField(`${field}.default`, 'required when validValues or validRange is defined'))
  } else if (over(preset, value))
    errors.push(invalidField(`${field}.default`, preset, `default is larger than capacity value: ${value}`))
  if (validValues !== undefined) {
    errors.push(
      ...each(validValues, 10, `${field}.validValues`, (one, at) =>
        over(one, value) ? [invalidField(at, String(one), `option is larger than capacity value: ${value}`)] : [],
      ),
    )
    validValues.forEach((one, i) => {
      const last = validValues[i - 1]
      if (last !== undefined && !over(one, String(last)))
        errors.push(invalidField(`${field}.validValues[${i}]`, String(one), 'values must be sorted in ascending order'))
    })
    if (preset !== undefined && !validValues.some((one) => compareQuantities(String(one), preset) === 0))
      errors.push(invalidField(`${field}.default`, preset, 'default value is not valid according to the requestPolicy'))
  }
  if (validRange !== undefined) {
    const { min, max, step } = validRange
    const at = `${field}.validRange`
    if (min === undefined) errors.push(requiredField(`${at}.min`))
    else {
      if (over('0', String(min)))
        errors.push(invalidField(`${at}.min`, String(min), 'must be greater than or equal to 0'))
      if (over(min, value))
        errors.push(invalidField(`${at}.min`, String(min), `min is larger than capacity value: ${value}`))
      if (preset !== undefined && over(min, preset))
        errors.push(invalidField(`${field}.default`, preset, `default is less than min: ${String(min)}`))
      if (max !== undefined && over(min, String(max)))
        errors.push(invalidField(`${at}.max`, String(max), `min is larger than max: ${String(min)}`))
    }
    if (max !== undefined && over(max, value))
      errors.push(invalidField(`${at}.max`, String(max), `max is larger than capacity value: ${value}`))
    if (max !== undefined && preset !== undefined && over(preset, String(max)))
      errors.push(invalidField(`${field}.default`, preset, `default is more than max: ${String(max)}`))
    if (step !== undefined)
      for (const [name, amount] of [
        [`${field}.default`, preset],
        [`${at}.max`, max],
      ] as const)
        if (amount !== undefined && !multiple(String(amount), String(step)))
          errors.push(invalidField(name, String(amount), `value is not a multiple of a given step (${String(step)})`))
  }
  return errors
}
function validateCounters(counters: Counters | undefined, field: string): FieldError[] {
  const names = Object.keys(counters ?? {})
  const errors = names.flatMap((name) => isDns1123Label(name).map((message) => invalidField(field, name, message)))
  if (names.length === 0) errors.push(requiredField(field))
  if (names.length > maxMembers) errors.push(tooManyField(field, names.length, maxMembers))
  return errors
}
const effects = ['NoExecute', 'NoSchedule', 'None']
const validateTaints = (taints: Device['taints'], field: string): FieldError[] =>
  each(taints, 16, field, ({ key, value = '', effect }, at) => [
    ...(key === '' ? [requiredField(`${at}.key`)] : validateLabelKey(key, `${at}.key`)),
    ...isValidLabelValue(value).map((message) => invalidField(`${at}.value`, value, message)),
    ...(effect === ''
      ? [requiredField(`${at}.effect`)]
      : effects.includes(effect)
        ? []
        : [notSupportedField(`${at}.effect`, effect, effects)]),
  ])

function validatePlace(device: Device, each: boolean, field: string): FieldError[] {
  const { nodeName, nodeSelector, allNodes } = device
  const set = {
    nodeName: nodeName !== undefined,
    nodeSelector: nodeSelector !== undefined,
    allNodes: allNodes !== undefined,
  }
  const errors: FieldError[] = []
  if (each) errors.push(...oneOf({ ...set, allNodes: allNodes === true }, field))
  else
    for (const [name, there] of Object.entries(set))
      if (there)
        errors.push(
          forbiddenField(`${field}.${name}`, '`' + name + '` can only be set if `perDeviceNodeSelection` is `true`'),
        )
  if (nodeName !== undefined) errors.push(...validateNodeName(nodeName, `${field}.nodeName`))
  if (nodeSelector !== undefined) errors.push(...validateOneTerm(nodeSelector, `${field}.nodeSelector`))
  return errors
}
const validateNodeName = (name: string, field: string): FieldError[] =>
  name === '' ? [requiredField(field)] : validatePoolName(name, field)

function validateDevice(device: Device, each_: boolean, field: string): FieldError[] {
  const { attributes = {}, capacity = {}, consumesCounters, bindingConditions, bindingFailureConditions } = device
  const names = [...Object.keys(attributes), ...Object.keys(capacity)]
  const errors = [...validateDeviceName(device.name, `${field}.name`)]
  for (const [name, attribute] of Object.entries(attributes))
    errors.push(
      ...validateAttributeName(name, `${field}.attributes`),
      ...validateAttribute(attribute, `${field}.attributes[${name}]`),
    )
  for (const [name, { value, requestPolicy }] of Object.entries(capacity)) {
    const at = `${field}.capacity[${name}].requestPolicy`
    errors.push(...validateAttributeName(name, `${field}.capacity`))
    if (requestPolicy !== undefined && device.allowMultipleAllocations !== true)
      errors.push(forbiddenField(at, 'allowMultipleAllocations must be true'))
    else if (requestPolicy !== undefined) errors.push(...validatePolicy(requestPolicy, String(value), at))
  }
  if (names.length > maxMembers)
    errors.push(
      invalidField(field, names.length, `the total number of attributes and capacities must not exceed ${maxMembers}`),
    )
  const values = Object.values(attributes).reduce((sum, attribute) => sum + valuesOf(attribute), 0)
  if (values > maxValues)
    errors.push(
      invalidField(`${field}.attributes`, values, `the total number of attribute values must not exceed ${maxValues}`),
    )
  errors.push(
    ...each(consumesCounters, 2, `${field}.consumesCounters`, ({ counterSet, counters }, at) => [
      ...(counterSet === '' ? [requiredField(`${at}.counterSet`)] : []),
      ...validateCounters(counters, `${at}.counters`),
    ]),
    ...duplicates(
      consumesCounters,
      (one) => one.counterSet,
      (i) => `${field}.consumesCounters[${i}].counterSet`,
    ),
    ...validatePlace(device, each_, field),
    ...validateTaints(device.taints, `${field}.taints`),
    ...validateConditionTypes(bindingConditions, `${field}.bindingConditions`),
    ...validateConditionTypes(bindingFailureConditions, `${field}.bindingFailureConditions`),
  )
  for (const [i, type] of (bindingFailureConditions ?? []).entries())
    if (bindingConditions?.includes(type) === true)
      errors.push(
        invalidField(
          `${field}.bindingFailureConditions[${i}]`,
          type,
          'bindingFailureConditions must not overlap with bindingConditions',
        ),
      )
  for (const [name, { capacityKey }] of Object.entries(device.nodeAllocatableResourceMappings ?? {})) {
    const at = `${field}.nodeAllocatableResourceMappings[${name}]`
    if (isExtendedResource(name)) errors.push(invalidField(at, name, 'must not be an extended resource'))
    if (capacityKey !== undefined && !Object.hasOwn(capacity, capacityKey))
      errors.push(notFoundField(`${at}.capacityKey`, capacityKey))
  }
  return errors
}

/** What is wrong with a slice of a pool. */
export function validateSlice({ spec }: ResourceSlice): FieldError[] {
  const { driver, pool, nodeName, nodeSelector, allNodes, devices = [], sharedCounters } = spec
  const eachForItself = spec.perDeviceNodeSelection === true
  const errors = [...validateDriverName(driver, 'spec.driver'), ...validatePoolName(pool.name, 'spec.pool.name')]
  if (pool.resourceSliceCount <= 0)
    errors.push(invalidField('spec.pool.resourceSliceCount', pool.resourceSliceCount, 'must be greater than zero'))
  if (pool.generation < 0)
    errors.push(invalidField('spec.pool.generation', pool.generation, 'must be greater than or equal to zero'))
  errors.push(
    ...oneOf(
      {
        nodeName: nodeName !== undefined && nodeName !== '',
        nodeSelector: nodeSelector !== undefined,
        allNodes: allNodes === true,
        perDeviceNodeSelection: eachForItself,
      },
      'spec',
    ),
  )
  if (nodeSelector !== undefined) errors.push(...validateOneTerm(nodeSelector, 'spec.nodeSelector'))
  if (devices.length > 0 && (sharedCounters ?? []).length > 0)
    errors.push(invalidField('spec', null, 'only one of `sharedCounters` or `devices` is allowed'))
  const rich = devices.some(
    ({ taints, consumesCounters, attributes }) =>
      (taints ?? []).length > 0 ||
      (consumesCounters ?? []).length > 0 ||
      Object.values(attributes ?? {}).some(hasLists),
  )
  return [
    ...errors,
    ...each(devices, rich ? maxRichDevices : maxDevices, 'spec.devices', (device, at) =>
      validateDevice(device, eachForItself, at),
    ),
    ...duplicates(
      devices,
      ({ name }) => name,
      (i) => `spec.devices[${i}].name`,
    ),
    ...each(sharedCounters, 8, 'spec.sharedCounters', ({ name, counters }, at) => [
      ...isDns1123Label(name).map((message) => invalidField(`${at}.name`, name, message)),
      ...validateCounters(counters, `${at}.counters`),
    ]),
    ...duplicates(
      sharedCounters,
      ({ name }) => name,
      (i) => `spec.sharedCounters[${i}].name`,
    ),
  ]
}

/** What is wrong with a class; `old` on update. */
export function validateClass({ spec }: DeviceClass, old?: DeviceClass): FieldError[] {
  const { selectors, config, extendedResourceName: resource } = spec
  return [
    ...validateSelectors(selectors, 'spec.selectors', new Set(expressionsOf(old?.spec.selectors))),
    ...each(config, 32, 'spec.config', ({ opaque }, at) => validateOpaque(opaque, at)),
    ...(resource === undefined || isExtendedResource(resource)
      ? []
      : [invalidField('spec.extendedResourceName', resource, "doesn't follow extended resource name standard")]),
  ]
}
