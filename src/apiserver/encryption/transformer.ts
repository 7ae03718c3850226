// Values at rest, encrypted: k8s:enc:PROVIDER:v1:KEY: and then what the cipher made, so that a store's content says by
// itself which key opens it. The first provider's first key writes, all of them read. The layout is upstream's: a store
// that one has written the other can read.
import { cbc, gcm } from '@noble/ciphers/aes.js'
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js'
import {
  type EncryptionProvider,
  keyBytes,
  keyedProviders,
  type KeyedProvider,
} from '../../api/encryption/encryption-configuration.ts'
import type { Random } from '../../ports/random.ts'

export interface Transformer {
  /** `key` is the value's place in the store: a value that was moved to another place does not open. */
  seal(plain: Uint8Array, key: string): Uint8Array
  /** Throws SealError where no key of ours opens it. `stale` where it would be written in another form today. */
  open(stored: Uint8Array, key: string): { readonly plain: Uint8Array; readonly stale: boolean }
}
/** A stored value that cannot be read: its key is gone, or it was changed. */
export class SealError extends Error {}

interface Cipher {
  readonly prefix: Uint8Array
  seal(plain: Uint8Array, key: string): Uint8Array
  open(sealed: Uint8Array, key: string): Uint8Array
}
type CipherOf = (secret: Uint8Array, random: Random) => Omit<Cipher, 'prefix'>

const encoder = new TextEncoder()
const anyPrefix = encoder.encode('k8s:enc:')

/** The nonce in front of what the cipher made. */
const joined = (nonce: Uint8Array, sealed: Uint8Array): Uint8Array => {
  const out = new Uint8Array(nonce.length + sealed.length)
  out.set(nonce)
  out.set(sealed, nonce.length)
  return out
}
const ciphers: Readonly<Record<KeyedProvider, CipherOf>> = {
  aesgcm: (secret, random) => ({
    seal(plain, key) {
      const nonce = random.bytes(12)
      return joined(nonce, gcm(secret, nonce, encoder.encode(key)).encrypt(plain))
    },
    open: (sealed, key) => gcm(secret, sealed.subarray(0, 12), encoder.encode(key)).decrypt(sealed.subarray(12)),
  }),
  aescbc: (secret, random) => ({
    seal(plain) {
      const iv = random.bytes(16)
      return joined(iv, cbc(secret, iv).encrypt(plain))
    },
    open: (sealed) => cbc(secret, sealed.subarray(0, 16)).decrypt(sealed.subarray(16)),
  }),
  secretbox: (secret, random) => ({
    seal(plain) {
      const nonce = random.bytes(24)
      return joined(nonce, xsalsa20poly1305(secret, nonce).encrypt(plain))
    },
    open: (sealed) => xsalsa20poly1305(secret, sealed.subarray(0, 24)).decrypt(sealed.subarray(24)),
  }),
}
const identity: Cipher = { prefix: new Uint8Array(0), seal: (plain) => plain, open: (stored) => stored }

export function transformerOf(providers: readonly EncryptionProvider[], random: Random): Transformer {
  const all = providers.flatMap((provider) => ciphersOf(provider, random))
  const [first] = all
  if (first === undefined) throw new Error('a transformer without a provider')
  return {
    seal: (plain, key) => joined(first.prefix, first.seal(plain, key)),
    open(stored, key) {
      const sealed = startsWith(stored, anyPrefix)
      for (const cipher of all) {
        if (sealed !== (cipher !== identity) || !startsWith(stored, cipher.prefix)) continue
        return { plain: openWith(cipher, stored, key), stale: cipher !== first }
      }
      throw new SealError(`no matching prefix found for ${key}: the key that it was encrypted with is not configured`)
    },
  }
}

function openWith(cipher: Cipher, stored: Uint8Array, key: string): Uint8Array {
  try {
    return cipher.open(stored.subarray(cipher.prefix.length), key)
  } catch (error) {
    throw new SealError(`${key} cannot be decrypted: it was changed, or another key has the same name`, {
      cause: error,
    })
  }
}

function ciphersOf(provider: EncryptionProvider, random: Random): Cipher[] {
  if (provider.identity !== undefined) return [identity]
  return keyedProviders.flatMap((name) =>
    (provider[name]?.keys ?? []).map((key) => {
      const secret = keyBytes(key.secret ?? '')
      if (secret === undefined) throw new Error(`key ${key.name} is not base64`)
      return { prefix: encoder.encode(`k8s:enc:${name}:v1:${key.name}:`), ...ciphers[name](secret, random) }
    }),
  )
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false
  return true
}
