// core/v1 LimitRange: bounds and defaults for what a namespace's pods, containers and claims ask for.
import { type FieldError, duplicateField, forbiddenField, invalidField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, type Draft, type Infer, object, optional, required, string, struct } from '../machinery/schema.ts'
import { compareQuantities, quantityNumber } from '../machinery/quantity.ts'
import { isQualifiedName } from '../machinery/validation.ts'
import { CORE } from './references.ts'
import { atomicList, resourceList } from './scalars.ts'
import { validateResourceQuantity } from './resource-validation.ts'
import { column, nameColumn } from './workload-table.ts'

export const limitRangeItem = object(`${CORE}LimitRangeItem`, {
  type: required(1, string()),
  max: optional(2, resourceList),
  min: optional(3, resourceList),
  default: optional(4, resourceList),
  defaultRequest: optional(5, resourceList),
  maxLimitRequestRatio: optional(6, resourceList),
})
export interface LimitRangeItem extends Infer<typeof limitRangeItem> {}
const limitRangeSpec = object(`${CORE}LimitRangeSpec`, { limits: required(1, array(limitRangeItem, atomicList)) })
const schema = kindSchema(`${CORE}LimitRange`, { spec: struct(2, limitRangeSpec) })
export interface LimitRange extends ObjectOf<typeof schema> {}

/** For containers the maximum is the default limit; the default request is the default limit, else the minimum. */
function setItemDefaults(item: Draft<LimitRangeItem>): void {
  if (item.type !== 'Container') return
  const limits = (item.default ??= {})
  for (const [name, amount] of Object.entries(item.max ?? {})) limits[name] ??= amount
  const requests = (item.defaultRequest ??= {})
  for (const [name, amount] of Object.entries(limits)) requests[name] ??= amount
  for (const [name, amount] of Object.entries(item.min ?? {})) requests[name] ??= amount
}

const amountFields = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const
function validateItem(item: LimitRangeItem, path: string): FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const field of amountFields) {
    for (const [name, amount] of Object.entries(item[field] ?? {})) {
      names.add(name)
      for (const message of isQualifiedName(name)) errors.push(invalidField(`${path}.${field}[${name}]`, name, message))
      errors.push(...validateResourceQuantity(name, amount, `${path}.${field}[${name}]`))
    }
  }
  if (item.type === 'Pod') {
    for (const field of ['default', 'defaultRequest'] as const) {
      if (Object.keys(item[field] ?? {}).length > 0) {
        errors.push(forbiddenField(`${path}.${field}`, "may not be specified when `type` is 'Pod'"))
      }
    }
  }
  if (item.type === 'PersistentVolumeClaim' && !item.min?.['storage'] && !item.max?.['storage']) {
    errors.push({
      type: 'FieldValueRequired',
      field: `${path}.limits`,
      message: 'Required value: either minimum or maximum storage value is required, but neither was provided',
    })
  }
  for (const name of names) errors.push(...validateOrder(item, name, path))
  return errors
}
/** min <= defaultRequest <= default <= max. */
function validateOrder(item: LimitRangeItem, name: string, path: string): FieldError[] {
  const errors: FieldError[] = []
  const value = (field: (typeof amountFields)[number]) => item[field]?.[name]
  const [max, min, limit, request, ratio] = amountFields.map(value)
  const above = (high: string | undefined, low: string | undefined): boolean =>
    high !== undefined && low !== undefined && compareQuantities(high, low) > 0
  const wrong = (field: string, amount: string | undefined, text: string) =>
    errors.push(invalidField(`${path}.${field}[${name}]`, amount, text))
  if (above(min, max)) wrong('min', min, `min value ${min} is greater than max value ${max}`)
  if (above(min, request))
    wrong('defaultRequest', request, `min value ${min} is greater than default request value ${request}`)
  if (above(request, max))
    wrong('defaultRequest', request, `default request value ${request} is greater than max value ${max}`)
  if (above(request, limit))
    wrong('defaultRequest', request, `default request value ${request} is greater than default limit value ${limit}`)
  if (above(min, limit)) wrong('default', min, `min value ${min} is greater than default value ${limit}`)
  if (above(limit, max)) wrong('default', max, `default value ${limit} is greater than max value ${max}`)
  if (ratio !== undefined) {
    if (compareQuantities(ratio, '1') < 0) wrong('maxLimitRequestRatio', ratio, `ratio ${ratio} is less than 1`)
    if (max !== undefined && min !== undefined && quantityNumber(ratio) > quantityNumber(max) / quantityNumber(min)) {
      const most = quantityNumber(max) / quantityNumber(min)
      wrong('maxLimitRequestRatio', ratio, `ratio ${ratio} is greater than max/min = ${most.toFixed(6)}`)
    }
  }
  return errors
}

function validate({ spec }: LimitRange): FieldError[] {
  const errors: FieldError[] = []
  const types = new Set<string>()
  spec.limits.forEach((item, i) => {
    const at = `spec.limits[${i}]`
    for (const message of isQualifiedName(item.type)) errors.push(invalidField(`${at}.type`, item.type, message))
    if (types.has(item.type)) errors.push(duplicateField(`${at}.type`, item.type))
    types.add(item.type)
    errors.push(...validateItem(item, at))
  })
  return errors
}

export const limitRanges = defineKind<LimitRange>({
  group: '',
  version: 'v1',
  kind: 'LimitRange',
  plural: 'limitranges',
  singular: 'limitrange',
  shortNames: ['limits'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/limitranges',
  createOnUpdate: true,
  unconditionalUpdate: true,
  table: {
    columns: [nameColumn, column('Created At')],
    row: (l) => [l.metadata.name, l.metadata.creationTimestamp],
  },
  setDefaults: (draft) => {
    for (const item of draft.spec.limits) setItemDefaults(item)
  },
  validate,
})
