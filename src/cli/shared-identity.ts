// Who a cluster is, for several servers on one etcd: its authority, the key of its tokens and its address ranges stand in the
// store, sealed with a secret that every server is given. The first server puts them there, the others take them.
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openIdentity } from '../host/identity.ts'
import type { Instance } from '../host/instance.ts'
import type { AskedRanges } from '../host/address-ranges.ts'
import { keepPlan, type NetworkPlan, networkPlan } from '../host/network-plan.ts'
import type { Store } from '../store/store.ts'
import { CliError } from './command.ts'

/** Outside of /registry: no API shows it. */
const key = '/coxswain/identity'
const files = ['ca.crt', 'ca.key', 'sa.key'] as const
const secretFile = (dataDir: string) => join(dataDir, 'server-token')

interface SharedIdentity {
  readonly files: Readonly<Record<(typeof files)[number], string>>
  readonly plan: NetworkPlan
}
interface Sealed {
  readonly salt: string
  readonly nonce: string
  readonly tag: string
  readonly data: string
}

/** AES-256-GCM under a key that scrypt makes of the secret. */
export function seal(text: string, secret: string): string {
  const [salt, nonce] = [randomBytes(16), randomBytes(12)]
  const cipher = createCipheriv('aes-256-gcm', scryptSync(secret, salt, 32), nonce)
  const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  const parts = { salt, nonce, tag: cipher.getAuthTag(), data }
  const sealed = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, bytes.toString('base64')]))
  return JSON.stringify(sealed)
}
/** Undefined where the secret is another one. */
export function unseal(text: string, secret: string): string | undefined {
  const sealed = JSON.parse(text) as Sealed
  const bytes = (name: keyof Sealed) => Buffer.from(sealed[name], 'base64')
  const cipher = createDecipheriv('aes-256-gcm', scryptSync(secret, bytes('salt'), 32), bytes('nonce'))
  cipher.setAuthTag(bytes('tag'))
  try {
    return Buffer.concat([cipher.update(bytes('data')), cipher.final()]).toString('utf8')
  } catch (error) {
    if (error instanceof Error && /authenticate/.test(error.message)) return undefined
    throw error
  }
}

export interface SharedIdentityOptions {
  readonly store: Store
  readonly instance: Instance
  readonly dataDir: string
  /** What --server-token said. */
  readonly secret: string | undefined
  /** Pods and Services of both address families, where this server makes the cluster. */
  readonly dualStack?: boolean
  /** What the first server's cluster begins with. */
  readonly asked?: AskedRanges
  /** How the user names the store. */
  readonly place: string
}

/** Makes the data directory hold the identity of the store's cluster, or the store hold that of this directory. Throws
 * CliError where the secret is missing or wrong, and where the directory is another cluster's. */
export async function shareIdentity(options: SharedIdentityOptions, fresh = isFresh(options)): Promise<void> {
  const { store, dataDir, place } = options
  const given = options.secret ?? (existsSync(secretFile(dataDir)) ? read(secretFile(dataDir)) : undefined)
  const present = await store.get(key)
  if (present === undefined) {
    const secret = given ?? randomBytes(24).toString('base64url')
    const value = new TextEncoder().encode(seal(JSON.stringify(ownIdentity(options)), secret))
    keepSecret(dataDir, secret)
    const written = await store.txn([{ key, modRevision: 0 }], [{ type: 'put', key, value }])
    // Another server was first: its identity is the cluster's.
    return written.ok ? undefined : shareIdentity({ ...options, secret }, fresh)
  }
  if (given === undefined)
    throw new CliError(
      `the etcd at ${place} holds a cluster: give its servers' secret with --server-token (the file server-token in the first server's data directory)`,
    )
  const text = unseal(new TextDecoder().decode(present.value), given)
  if (text === undefined) throw new CliError(`--server-token is not the secret of the cluster in the etcd at ${place}`)
  adopt(options, JSON.parse(text) as SharedIdentity, fresh)
  keepSecret(dataDir, given)
}

const pkiOf = (instance: Instance) => join(instance.dataDir, 'pki')
/** A directory that was no cluster's before: what it makes may be thrown away for the identity of one that was faster. */
const isFresh = ({ instance }: SharedIdentityOptions) => !existsSync(join(pkiOf(instance), 'ca.crt'))
const read = (path: string) => readFileSync(path, 'utf8').trim()
const keepSecret = (dataDir: string, secret: string) =>
  writeFileSync(secretFile(dataDir), `${secret}\n`, { mode: 0o600 })

function ownIdentity({ instance, dualStack = false, asked }: SharedIdentityOptions): SharedIdentity {
  const directory = pkiOf(instance)
  openIdentity({ directory })
  const text = (name: (typeof files)[number]) => readFileSync(join(directory, name), 'utf8')
  return {
    files: { 'ca.crt': text('ca.crt'), 'ca.key': text('ca.key'), 'sa.key': text('sa.key') },
    plan: networkPlan(instance, { claim: false, dualStack, ...(asked === undefined ? {} : { asked }) }),
  }
}
function adopt(
  { instance, place, dualStack = false }: SharedIdentityOptions,
  identity: SharedIdentity,
  fresh: boolean,
): void {
  if (dualStack && identity.plan.six === undefined)
    throw new CliError(
      `the cluster in the etcd at ${place} has IPv4 addresses alone: leave --dual-stack out, or begin with it in an empty etcd`,
    )
  const directory = pkiOf(instance)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // The key is the cluster's: its certificate may have been made anew since.
  const authority = join(directory, 'ca.key')
  if (!fresh && existsSync(authority) && readFileSync(authority, 'utf8') !== identity.files['ca.key'])
    throw new CliError(
      `${instance.dataDir} belongs to another cluster than the etcd at ${place}: name another directory with --data-dir`,
    )
  for (const name of files)
    writeFileSync(join(directory, name), identity.files[name], { mode: name === 'ca.crt' ? 0o644 : 0o600 })
  keepPlan(instance, identity.plan)
}
