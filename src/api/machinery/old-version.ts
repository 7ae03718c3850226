// Versions of a kind that upstream no longer serves. Manifests written for them still apply: they are decoded by their
// own schema, get their own defaults, and become the stored version by a small conversion.
import type { KindVersion } from './kind.ts'
import type { Draft, Json, JsonObject, ObjectSchema } from './schema.ts'

/** Any JSON object under conversion. */
export type Bag = Record<string, Json | undefined>
/** The object at a place, an empty one (not attached) where there is none. */
export const bagOf = (value: unknown): Bag =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Bag) : {}
export const bagsOf = (value: unknown): Bag[] => (Array.isArray(value) ? value.map(bagOf) : [])
/** Moves a value to another key of the same object. */
export function move(bag: Bag, from: string, to: string): void {
  if (bag[from] === undefined) return
  bag[to] = bag[from]
  delete bag[from]
}

export interface OldVersion {
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Default: the stored version's, under a name of its own. */
  readonly schema: ObjectSchema
  /** Minor releases of Kubernetes: deprecated in, gone since. */
  readonly deprecated: number
  readonly removed: number
  /** Such as apps/v1. */
  readonly instead: string
  readonly setDefaults?: (draft: Draft<JsonObject>) => void
  readonly toStored?: (draft: Draft<JsonObject>) => void
  readonly fromStored?: (draft: Draft<JsonObject>) => void
}

/** `definition` is the OpenAPI name of the top-level type; everything below it is shared with the stored version. */
export const renamed = <T>(schema: ObjectSchema<T>, definition: string): ObjectSchema<T> => ({
  ...schema,
  name: definition,
})

export const oldVersion = (old: OldVersion): KindVersion => ({
  group: old.group,
  version: old.version,
  schema: renamed(old.schema, `io.k8s.api.${old.group.split('.')[0] ?? ''}.${old.version}.${old.kind}`),
  deprecation: `${old.group}/${old.version} ${old.kind} is deprecated in v1.${old.deprecated}+, unavailable in v1.${old.removed}+; use ${old.instead} ${old.kind}`,
  // Short names belong to the current version: kubectl warns about every other holder of one.
  shortNames: [],
  toStored: old.toStored ?? (() => {}),
  fromStored: old.fromStored ?? (() => {}),
  ...(old.setDefaults === undefined ? {} : { setDefaults: old.setDefaults }),
})
