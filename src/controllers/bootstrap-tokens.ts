// Bootstrap tokens: expired ones are deleted, and the ConfigMap cluster-info carries a signature by each token that allows
// it, by which a joining node knows that it talks to the right cluster.
import { type ConfigMap, configMaps } from '../api/core/config-map.ts'
import { type Secret, secrets } from '../api/core/secret.ts'
import { equal } from '../api/machinery/equal.ts'
import { parseTime } from '../api/machinery/time.ts'
import { base64, sha256 } from '../api/machinery/sha256.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const tokenNamespace = 'kube-system'
const tokenType = 'bootstrap.kubernetes.io/token'
const tokenSelection = { namespace: tokenNamespace, fieldSelector: `type=${tokenType}` }
const infoNamespace = 'kube-public'
const infoName = 'cluster-info'
const signaturePrefix = 'jws-kubeconfig-'
const blockBytes = 64

const text = (secret: Secret, key: string): string => {
  const value = secret.data?.[key]
  return value === undefined ? '' : atob(value)
}
/** When the token ends, milliseconds since 1970; undefined when it never does. A time that cannot be read has passed. */
export function tokenExpiryMs(secret: Secret): number | undefined {
  const expiration = text(secret, 'expiration')
  return expiration === '' ? undefined : (parseTime(expiration) ?? 0)
}

/** HMAC (RFC 2104) with SHA-256. */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes)
  block.set(key.length > blockBytes ? sha256(key) : key)
  const padded = (pad: number, rest: Uint8Array) => {
    const out = new Uint8Array(blockBytes + rest.length)
    block.forEach((byte, i) => (out[i] = byte ^ pad))
    out.set(rest, blockBytes)
    return out
  }
  return sha256(padded(0x5c, sha256(padded(0x36, data))))
}
const base64url = (bytes: Uint8Array) => base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')

/** A detached JSON web signature (HS256) of a text by a token: header, nothing, signature. */
export function detachedSignature(content: string, tokenId: string, tokenSecret: string): string {
  const encoder = new TextEncoder()
  const header = base64url(encoder.encode(JSON.stringify({ alg: 'HS256', kid: tokenId })))
  const input = encoder.encode(`${header}.${base64url(encoder.encode(content))}`)
  return `${header}..${base64url(hmacSha256(encoder.encode(`${tokenId}.${tokenSecret}`), input))}`
}

/** The data of cluster-info with the signatures of the tokens that may sign, and no others. */
export function planSignatures(
  info: ConfigMap,
  tokens: Iterable<Secret>,
  nowMs: number,
): Readonly<Record<string, string>> {
  const data: Record<string, string> = {}
  for (const [key, value] of Object.entries(info.data ?? {})) if (!key.startsWith(signaturePrefix)) data[key] = value
  const { kubeconfig } = data
  if (kubeconfig === undefined) return data
  for (const token of tokens) {
    const id = text(token, 'token-id')
    const secret = text(token, 'token-secret')
    const expiryMs = tokenExpiryMs(token)
    if (id === '' || secret === '' || text(token, 'usage-bootstrap-signing') !== 'true') continue
    if (token.metadata.name !== `bootstrap-token-${id}` || (expiryMs !== undefined && expiryMs <= nowMs)) continue
    data[`${signaturePrefix}${id}`] = detachedSignature(kubeconfig, id, secret)
  }
  return data
}

export const tokenCleaner: Controller = {
  name: 'token-cleaner-controller',
  start(context) {
    const tokens = context.informers.informer(secrets, tokenSelection)
    const reconciler = startReconciler({
      context,
      caches: [tokens],
      async reconcile(name, writes) {
        const token = tokens.get(name, tokenNamespace)
        const expiryMs = token && tokenExpiryMs(token)
        if (token === undefined || expiryMs === undefined) return undefined
        const leftMs = expiryMs - context.clock.now()
        if (leftMs > 0) return leftMs
        await writes.delete(secrets, token)
        return undefined
      },
      onStop: () => off(),
    })
    const enqueue = (token: Secret) => reconciler.enqueue(token.metadata.name)
    const off = tokens.handle({ add: enqueue, update: enqueue })
    return reconciler
  },
}

export const bootstrapSigner: Controller = {
  name: 'bootstrap-signer-controller',
  start(context) {
    const tokens = context.informers.informer(secrets, tokenSelection)
    const infos = context.informers.informer(configMaps, {
      namespace: infoNamespace,
      fieldSelector: `metadata.name=${infoName}`,
    })
    const reconciler = startReconciler({
      context,
      caches: [tokens, infos],
      async reconcile(_key, writes) {
        const info = infos.get(infoName, infoNamespace)
        if (info === undefined) return
        const data = planSignatures(info, tokens.list(), context.clock.now())
        if (!equal(data, info.data ?? {})) await writes.update(configMaps, { ...info, data })
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = () => reconciler.enqueue(infoName)
    const handlers = [
      tokens.handle({ add: enqueue, update: enqueue, delete: enqueue }),
      infos.handle({ add: enqueue, update: enqueue }),
    ]
    return reconciler
  },
}
