// Fields that are plain values in Kubernetes' own types: their zero value and their absence are one and the same, so the
// server drops it. (What may be told apart from zero, such as runAsUser: 0, is declared with `optional` instead.)
import {
  array,
  boolean,
  type FieldOptions,
  int32,
  int64,
  map,
  optional,
  quantity,
  string,
  time,
} from '../machinery/schema.ts'

export const text = (tag: number, options: FieldOptions = {}) => optional(tag, string(), { omitZero: true, ...options })
export const flag = (tag: number, options: FieldOptions = {}) =>
  optional(tag, boolean(), { omitZero: true, ...options })
export const number32 = (tag: number, options: FieldOptions = {}) =>
  optional(tag, int32(), { omitZero: true, ...options })
export const number64 = (tag: number, options: FieldOptions = {}) =>
  optional(tag, int64(), { omitZero: true, ...options })

/** A string that may be empty on purpose; absent means something else. */
export const pointerText = (tag: number, options: FieldOptions = {}) =>
  optional(tag, string(), { pointer: true, ...options })
export const texts = (tag: number, options: FieldOptions = {}) =>
  optional(tag, array(string(), { listType: 'atomic' }), options)
export const textMap = (tag: number, options: FieldOptions = {}) => optional(tag, map(string()), options)
export const when = (tag: number) => optional(tag, time())

/** Amounts by resource name: cpu, memory, example.com/gpu ... */
export const resourceList = map(quantity())
/** How the members of a list are told apart: by one field, for apply and for strategic merge alike. */
export const listByKey = (key: string) =>
  ({ listType: 'map', listMapKeys: [key], patchStrategy: 'merge', patchMergeKey: key }) as const
export const atomicList = { listType: 'atomic' } as const
