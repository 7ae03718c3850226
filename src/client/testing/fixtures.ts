// What client tests share: a tiny kind, a seeded random source and a log that collects.
import { defineKind } from '../../api/machinery/kind.ts'
import { type KubeObject, kindSchema } from '../../api/machinery/meta.ts'
import { map, optional, string } from '../../api/machinery/schema.ts'
import type { Log } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'

export interface Note extends KubeObject {
  readonly data?: { readonly [key: string]: string }
}
export const notes = defineKind<Note>({
  group: 'test.cox',
  version: 'v1',
  kind: 'Note',
  plural: 'notes',
  singular: 'note',
  namespaced: true,
  storagePrefix: '/registry/test.cox/notes',
  schema: kindSchema('', { data: optional(1, map(string())) }),
})

/** A linear congruential generator: repeatable, and good enough for jitter. */
export function seededRandom(seed = 1): Random {
  let state = seed >>> 0
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
  return {
    float: () => next() / 2 ** 32,
    bytes: (length) => Uint8Array.from({ length }, () => next() >>> 24),
    uuid: () => `00000000-0000-4000-8000-${next().toString(16).padStart(12, '0')}`,
  }
}

export interface CollectedLog extends Log {
  readonly records: { readonly level: string; readonly message: string; readonly fields: Record<string, unknown> }[]
}
export function collectingLog(
  records: CollectedLog['records'] = [],
  common: Readonly<Record<string, unknown>> = {},
): CollectedLog {
  const at =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      void records.push({ level, message, fields: { ...common, ...fields } })
  return {
    records,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => collectingLog(records, { ...common, ...fields }),
  }
}
