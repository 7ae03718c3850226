// apiserver.config.k8s.io/v1 EncryptionConfiguration: which resources are encrypted in the store, and with which keys. A
// file, not an object of the API. (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/)
import type { ConfigKind } from '../machinery/config-file.ts'
import { duplicateField, type FieldError, forbiddenField, invalidField, requiredField } from '../machinery/errors.ts'
import { any, array, type Infer, object, optional, string } from '../machinery/schema.ts'

const keys = object('', {
  keys: optional(0, array(object('', { name: optional(0, string()), secret: optional(0, string()) }))),
})
const provider = object('', {
  aesgcm: optional(0, keys),
  aescbc: optional(0, keys),
  secretbox: optional(0, keys),
  identity: optional(0, object('', {})),
  kms: optional(0, any()),
})
const schema = object('', {
  apiVersion: optional(0, string()),
  kind: optional(0, string()),
  resources: optional(
    0,
    array(object('', { resources: optional(0, array(string())), providers: optional(0, array(provider)) })),
  ),
})
export type EncryptionConfiguration = Infer<typeof schema>
type Entry = NonNullable<EncryptionConfiguration['resources']>[number]
export type EncryptionProvider = Infer<typeof provider>
export type KeyedProvider = 'aesgcm' | 'aescbc' | 'secretbox'

export const encryptionConfigurations: ConfigKind<EncryptionConfiguration> = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'EncryptionConfiguration',
  schema,
  validate: ({ resources = [] }) => [
    ...(resources.length === 0 ? [requiredField('resources', 'at least one resource is needed')] : []),
    ...resources.flatMap((entry, i) => validateEntry(entry, `resources[${i}]`)),
  ],
}

/** Bytes of a key, by provider. */
const keySizes: Readonly<Record<KeyedProvider, readonly number[]>> = {
  aesgcm: [16, 24, 32],
  aescbc: [16, 24, 32],
  secretbox: [32],
}
export const keyedProviders = Object.keys(keySizes) as KeyedProvider[]

function validateEntry({ resources = [], providers = [] }: Entry, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (resources.length === 0) errors.push(requiredField(`${at}.resources`, 'at least one resource is needed'))
  resources.forEach((resource, i) => {
    const here = `${at}.resources[${i}]`
    if (resource !== resource.toLowerCase())
      errors.push(invalidField(here, resource, 'resource name has capital letters'))
    if (resource === '*')
      errors.push(
        invalidField(
          here,
          resource,
          `use '*.' to encrypt all the resources from core API group or '*.*' to encrypt all resources`,
        ),
      )
  })
  if (providers.length === 0) errors.push(requiredField(`${at}.providers`, 'at least one provider is needed'))
  providers.forEach((one, i) => errors.push(...validateProvider(one, `${at}.providers[${i}]`)))
  return errors
}

function validateProvider(one: EncryptionProvider, at: string): FieldError[] {
  const named = Object.entries(one).filter(([, value]) => value !== undefined)
  if (named.length === 0)
    return [
      requiredField(
        at,
        'provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity',
      ),
    ]
  if (named.length > 1)
    return [
      invalidField(
        at,
        named.map(([name]) => name),
        'more than one provider specified in a single element, should split into different list elements',
      ),
    ]
  if (one.kms !== undefined)
    return [
      forbiddenField(
        `${at}.kms`,
        'key management services are not supported here: use aesgcm, aescbc, secretbox or identity',
      ),
    ]
  return keyedProviders.flatMap((name) => {
    const found = one[name]
    return found === undefined ? [] : validateKeys(found.keys ?? [], keySizes[name], `${at}.${name}.keys`)
  })
}

function validateKeys(
  list: readonly { readonly name?: string | undefined; readonly secret?: string | undefined }[],
  sizes: readonly number[],
  at: string,
): FieldError[] {
  if (list.length === 0) return [requiredField(at, 'at least one key is needed')]
  const seen = new Set<string>()
  return list.flatMap(({ name = '', secret = '' }, i): FieldError[] => {
    const here = `${at}[${i}]`
    if (name === '') return [requiredField(`${here}.name`)]
    if (name.includes(':')) return [invalidField(`${here}.name`, name, 'a key name must not contain a colon')]
    if (seen.has(name)) return [duplicateField(`${here}.name`, name)]
    seen.add(name)
    const bytes = keyBytes(secret)
    if (bytes === undefined) return [invalidField(`${here}.secret`, 'REDACTED', 'secrets must be base64 encoded')]
    if (!sizes.includes(bytes.length))
      return [
        invalidField(
          `${here}.secret`,
          'REDACTED',
          `secret is not of the expected length, got ${bytes.length}, expected one of [${sizes.join(' ')}]`,
        ),
      ]
    return []
  })
}

/** The bytes of a key; undefined for what is not base64. */
export function keyBytes(secret: string): Uint8Array | undefined {
  const text = secret.trim()
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}
