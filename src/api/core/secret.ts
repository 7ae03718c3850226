// core/v1 Secret: bytes by key that only those who need them may read. `stringData` is for writing alone: it becomes
// `data` at once and is never stored.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, requiredField, tooLongField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { boolean, bytes, defaulted, type Draft, map, optional, string } from '../machinery/schema.ts'
import { isConfigMapKey } from '../machinery/validation.ts'
import { decodedLength, maxDataBytes, validateImmutable } from './config-map.ts'
import { CORE } from './references.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

const schema = kindSchema(`${CORE}Secret`, {
  data: optional(2, map(bytes())),
  type: defaulted(3, string(), 'Opaque', { immutable: true }),
  stringData: optional(4, map(string())),
  immutable: optional(5, boolean()),
})
export interface Secret extends ObjectOf<typeof schema> {}

export const serviceAccountNameAnnotation = 'kubernetes.io/service-account.name'

/** base64 of a text's UTF-8 bytes. */
export function base64OfText(value: string): string {
  let binary = ''
  for (const byte of new TextEncoder().encode(value)) binary += String.fromCharCode(byte)
  return btoa(binary)
}
/** The text that base64 bytes of UTF-8 stand for. */
export const textOfBase64 = (value: string): string =>
  new TextDecoder().decode(Uint8Array.from(atob(value), (char) => char.charCodeAt(0)))

function foldStringData(draft: Draft<Secret>): void {
  for (const [key, value] of Object.entries(draft.stringData ?? {})) {
    draft.data ??= {}
    draft.data[key] = base64OfText(value)
  }
  delete draft.stringData
}

const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
}
function validateByType(secret: Secret): FieldError[] {
  const { type, data = {} } = secret
  const errors: FieldError[] = []
  if (type === 'kubernetes.io/service-account-token' && !secret.metadata.annotations?.[serviceAccountNameAnnotation]) {
    errors.push(requiredField(`metadata.annotations[${serviceAccountNameAnnotation}]`))
  }
  if (type === 'kubernetes.io/basic-auth' && data['username'] === undefined && data['password'] === undefined) {
    errors.push(requiredField('data[username]'), requiredField('data[password]'))
  }
  for (const key of (Object.hasOwn(requiredKeys, type) ? requiredKeys[type] : undefined) ?? []) {
    const value = data[key]
    if (value === undefined) errors.push(requiredField(`data[${key}]`))
    else if (key.startsWith('.docker')) errors.push(...validateJson(value, `data[${key}]`))
  }
  return errors
}
function validateJson(base64: string, path: string): FieldError[] {
  try {
    JSON.parse(textOfBase64(base64))
    return []
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return [invalidField(path, '<secret contents redacted>', error.message)]
  }
}

function validateSecret(secret: Secret): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    for (const message of isConfigMapKey(key)) errors.push(invalidField(`data[${key}]`, key, message))
    size += decodedLength(value)
  }
  if (size > maxDataBytes) errors.push(tooLongField('data', maxDataBytes))
  return [...errors, ...validateByType(secret)]
}

export const secrets = defineKind<Secret>({
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  singular: 'secret',
  namespaced: true,
  schema,
  storagePrefix: '/registry/secrets',
  unconditionalUpdate: true,
  selectableFields: { type: (s) => s.type },
  table: {
    columns: [nameColumn, column('Type'), column('Data'), ageColumn],
    row: (s, nowMs) => [
      s.metadata.name,
      s.type,
      Object.keys(s.data ?? {}).length,
      ageCell(s.metadata.creationTimestamp, nowMs),
    ],
  },
  setDefaults: foldStringData,
  prepareForUpdate: (draft, old) => {
    // an update may leave the type out
    if (!draft.type) draft.type = old.type
  },
  validate: validateSecret,
  validateUpdate: (s, old) => validateImmutable({ ...s }, { ...old }, ['data']),
})
