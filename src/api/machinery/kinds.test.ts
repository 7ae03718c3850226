import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { builtinKinds } from '../kinds.ts'
import { applyConfiguration, trackUpdate } from './apply.ts'
import { decode, decodeSparse } from './decode.ts'
import { applyDefaults } from './defaults.ts'
import { ApiError } from './errors.ts'
import { draftOf, freeze } from './freeze.ts'
import { apiVersionOf, type Kind } from './kind.ts'
import type { KubeObject } from './meta.ts'
import { decodeMessage, encodeMessage } from './protobuf.ts'
import type { Draft, Json, JsonObject, ObjectSchema } from './schema.ts'
import { StrategicPatchError, strategicMerge } from './strategic-merge.ts'
import { tableOf } from './table.ts'
import { arbitraryOf } from './testing/arbitrary.ts'
import { validateCreate, validateStatusUpdate, validateUpdate } from './validate.ts'

/** Objects as a client could send them: right in shape, wrong in everything else. */
const samples = (schema: ObjectSchema): Json[] => fc.sample(arbitraryOf(schema), { seed: 11, numRuns: 12 })
const writer = { manager: 'fuzz', apiVersion: 'v1', nowMs: 1 }
const context = { nowMs: 0 }
/** What a client may be told. */
function expected(error: unknown): void {
  if (error instanceof StrategicPatchError || (error instanceof ApiError && error.code < 500)) return
  throw error
}

describe.each(builtinKinds.map((kind) => [`${kind.kind}.${kind.group}`, kind] as const))('%s', (_, kind: Kind) => {
  const objects = samples(kind.schema).map((value) => {
    const draft = decode<KubeObject>(kind.schema, value).value
    applyDefaults(kind.schema, draft)
    kind.setDefaults?.(draft)
    Object.assign(draft, { apiVersion: apiVersionOf(kind), kind: kind.kind })
    return { value, object: freeze(draft as KubeObject) }
  })

  it('validates and prints whatever fits its schema', () => {
    for (const { object } of objects) {
      const draft = draftOf(object)
      kind.prepareForCreate?.(draft, { nowMs: 0 })
      expect(validateCreate(kind, freeze(draft as KubeObject), context)).toBeInstanceOf(Array)
      kind.warnings?.(object, undefined)
      expect(tableOf(kind.table, [object], {}, { nowMs: 1e12 }).rows).toHaveLength(1)
      for (const field of Object.values(kind.selectableFields ?? {})) expect(typeof field(object)).toBe('string')
      kind.gracePeriodSeconds?.(object, undefined)
      const again = decode(kind.schema, decodeMessage(kind.schema, encodeMessage(kind.schema, object))).value
      expect(typeof again).toBe('object')
    }
  })
  it('survives any update, patch and apply', () => {
    objects.slice(1).forEach(({ object, value }, i) => {
      const old = (objects[i] as { object: KubeObject }).object
      const next: Draft<KubeObject> = draftOf(object)
      kind.prepareForUpdate?.(next, old, { nowMs: 0 })
      expect(validateUpdate(kind, freeze(next as KubeObject), old, context)).toBeInstanceOf(Array)
      const status: Draft<KubeObject> = draftOf(object)
      kind.prepareForStatusUpdate?.(status, old)
      expect(validateStatusUpdate(kind, freeze(status as KubeObject), old, context)).toBeInstanceOf(Array)
      kind.warnings?.(object, old)
      const [before, after] = [old as unknown as JsonObject, object as unknown as JsonObject]
      expect(trackUpdate(kind.schema, before, after, writer)).toBeInstanceOf(Array)
      try {
        strategicMerge(kind.schema, before, value)
        applyConfiguration(kind.schema, before, decodeSparse<JsonObject>(kind.schema, value).value as JsonObject, {
          ...writer,
          force: true,
        })
      } catch (error) {
        expected(error)
      }
    })
  })
  it('converts whatever its old versions hold, both ways', () => {
    for (const version of kind.versions ?? []) {
      for (const value of samples(version.schema)) {
        const draft = decode<JsonObject>(version.schema, value).value
        applyDefaults(version.schema, draft)
        version.setDefaults?.(draft)
        try {
          version.toStored(draft)
          applyDefaults(kind.schema, draft)
          version.fromStored(draftOf(draft as JsonObject))
        } catch (error) {
          expected(error)
        }
      }
    }
  })
})
