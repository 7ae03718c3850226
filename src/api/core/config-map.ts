// core/v1 ConfigMap: configuration as text or bytes by key.
import { ageCell } from '../machinery/age.ts'
import { equal } from '../machinery/equal.ts'
import { type FieldError, forbiddenField, invalidField, tooLongField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { boolean, bytes, map, optional, string } from '../machinery/schema.ts'
import { isConfigMapKey, utf8Length } from '../machinery/validation.ts'
import { CORE } from './references.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

const schema = kindSchema(`${CORE}ConfigMap`, {
  data: optional(2, map(string())),
  binaryData: optional(3, map(bytes())),
  immutable: optional(4, boolean()),
})
export interface ConfigMap extends ObjectOf<typeof schema> {}

/** What a ConfigMap or Secret may hold in all: 1 MiB. */
export const maxDataBytes = 1024 * 1024
/** The length of what base64 stands for. */
export const decodedLength = (base64: string): number =>
  (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0)

function validateConfigMap(configMap: ConfigMap): FieldError[] {
  const errors: FieldError[] = []
  const { data = {}, binaryData = {} } = configMap
  let size = 0
  for (const [key, value] of Object.entries(data)) {
    for (const message of isConfigMapKey(key)) errors.push(invalidField(`data[${key}]`, key, message))
    if (key in binaryData) {
      errors.push(invalidField(`data[${key}]`, key, 'duplicate of key present in binaryData'))
    }
    size += utf8Length(value)
  }
  for (const [key, value] of Object.entries(binaryData)) {
    for (const message of isConfigMapKey(key)) errors.push(invalidField(`binaryData[${key}]`, key, message))
    size += decodedLength(value)
  }
  if (size > maxDataBytes) errors.push(tooLongField('', maxDataBytes))
  return errors
}

/** Changes that an immutable ConfigMap or Secret forbids; `fields` hold its data. */
export function validateImmutable(
  now: Readonly<Record<string, unknown>>,
  old: Readonly<Record<string, unknown>>,
  fields: readonly string[],
): FieldError[] {
  if (old['immutable'] !== true) return []
  const detail = 'field is immutable when `immutable` is set'
  const errors = now['immutable'] === true ? [] : [forbiddenField('immutable', detail)]
  for (const field of fields) {
    if (!equal(now[field] ?? {}, old[field] ?? {})) errors.push(forbiddenField(field, detail))
  }
  return errors
}

export const configMaps = defineKind<ConfigMap>({
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/configmaps',
  unconditionalUpdate: true,
  table: {
    columns: [nameColumn, column('Data'), ageColumn],
    row: (c, nowMs) => [
      c.metadata.name,
      Object.keys(c.data ?? {}).length + Object.keys(c.binaryData ?? {}).length,
      ageCell(c.metadata.creationTimestamp, nowMs),
    ],
  },
  validate: validateConfigMap,
  validateUpdate: (c, old) => validateImmutable({ ...c }, { ...old }, ['data', 'binaryData']),
})
