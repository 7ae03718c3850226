// Objects as they come out of decoding, defaulting and preparation, for tests of kinds: what the server does to a body
// before it looks at anything else in the cluster.
import { decode } from '../../machinery/decode.ts'
import { applyDefaults } from '../../machinery/defaults.ts'
import { freeze } from '../../machinery/freeze.ts'
import type { Kind } from '../../machinery/kind.ts'
import type { KubeObject } from '../../machinery/meta.ts'
import type { Draft } from '../../machinery/schema.ts'
import { validateCreate, validateUpdate } from '../../machinery/validate.ts'
import { parseYaml } from '../../machinery/parse.ts'

export const nowMs = Date.UTC(2026, 0, 2)
const context = { nowMs }

export interface Admitted<T> {
  readonly object: T
  /** "path: message", as in the body of a 422 answer. */
  readonly errors: readonly string[]
  readonly unknownFields: readonly string[]
}

/** The draft of an object in YAML, decoded and defaulted. */
export function defaultedDraft<T extends KubeObject>(
  kind: Kind<T>,
  yaml: string,
): { draft: Draft<T>; unknown: readonly string[] } {
  const { value, unknownFields } = decode<T>(kind.schema, parseYaml(yaml, { duplicates: false }).value)
  applyDefaults(kind.schema, value)
  kind.setDefaults?.(value)
  return { draft: value, unknown: unknownFields }
}

/** Runs a YAML body through everything before storage. */
export function admitted<T extends KubeObject>(kind: Kind<T>, yaml: string): Admitted<T> {
  const { draft, unknown } = defaultedDraft(kind, yaml)
  const metadata = draft.metadata as Draft<KubeObject['metadata']>
  metadata.uid = '00000000-0000-4000-8000-000000000001'
  metadata.creationTimestamp = '2026-01-01T00:00:00Z'
  if (kind.namespaced) metadata.namespace ??= 'default'
  kind.prepareForCreate?.(draft, context)
  if (kind.generation === true) metadata.generation = 1
  const errors = lines(validateCreate(kind, draft as T, context))
  metadata.resourceVersion = '1'
  const object = freeze(draft) as T
  return { object, errors, unknownFields: unknown }
}

/** The errors of an update from what `before` made to what `after` says. */
export function updateErrors<T extends KubeObject>(
  kind: Kind<T>,
  before: T,
  change: (draft: Draft<T>) => void,
): readonly string[] {
  const draft = structuredClone(before) as Draft<T>
  change(draft)
  kind.prepareForUpdate?.(draft, before, context)
  return lines(validateUpdate(kind, freeze(draft) as T, before, context))
}
const lines = (errors: readonly { readonly field: string; readonly message: string }[]): readonly string[] =>
  errors.map(({ field, message }) => `${field}: ${message}`)
