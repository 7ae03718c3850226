// cox token: the tokens by which agents join, as the Secrets that Kubernetes keeps them in.
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/)
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { humanDuration } from '../../api/machinery/age.ts'
import { authorityHash } from '../../host/remote-node/discover.ts'
import type { Transport } from '../../ports/transport.ts'
import { type Command, CliError, dataDirFlag, type Invocation, note, out } from '../command.ts'
import { ask, connect } from '../connect.ts'
import { dataDirOf, kubeconfigPath } from '../data-dir.ts'
import { joiningGroup } from '../join-objects.ts'
import { isLoopback } from '../listen.ts'

interface TokenSecret {
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
}
const secretsPath = '/api/v1/namespaces/kube-system/secrets'
const namePrefix = 'bootstrap-token-'
const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

export const token: Command = {
  name: 'token',
  summary: 'Create, list and delete the tokens that agents join with.',
  usage: 'token create [--ttl 24h] | token list | token delete ID  [flags]',
  flags: {
    ...dataDirFlag,
    ttl: {
      type: 'string',
      value: 'TIME',
      help: 'how long a new token is good, such as 90s, 30m, 24h, 7d; 0 for ever (default: 24h)',
    },
    description: { type: 'string', value: 'TEXT', help: 'a word about what a new token is for' },
  },
  async run(call) {
    const [verb, name, extra] = call.positionals
    const fits = extra === undefined && (verb === 'delete') === (name !== undefined)
    if (!fits || !['create', 'list', 'ls', 'delete'].includes(verb ?? ''))
      throw new CliError('say what to do: "cox token create", "cox token list" or "cox token delete ID"', 2)
    const ttlMs = ttlOf(call.flag('ttl') ?? '24h')
    const transport = connect(call)
    try {
      if (verb === 'create') await create(call, transport, ttlMs)
      else if (verb === 'delete') await remove(transport, name ?? '')
      else await list(transport)
      return 0
    } finally {
      transport.close?.()
    }
  },
}

/** Milliseconds; 0 is for ever. */
export function ttlOf(text: string): number {
  if (text === '0') return 0
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = Number(amount) * (units[unit] ?? 0)
  if (!(ms > 0)) throw new CliError(`--ttl wants a time such as 90s, 30m, 24h or 7d, or 0, not "${text}"`, 2)
  return ms
}
const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'
const randomWord = (length: number) => Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')

async function create(call: Invocation, transport: Transport, ttlMs: number): Promise<void> {
  const [id, secret] = [randomWord(6), randomWord(16)]
  const description = call.flag('description')
  const object = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${namePrefix}${id}`, namespace: 'kube-system' },
    type: 'bootstrap.kubernetes.io/token',
    stringData: {
      'token-id': id,
      'token-secret': secret,
      'usage-bootstrap-authentication': 'true',
      'usage-bootstrap-signing': 'true',
      'auth-extra-groups': joiningGroup,
      ...(ttlMs === 0 ? {} : { expiration: `${new Date(Date.now() + ttlMs).toISOString().slice(0, 19)}Z` }),
      ...(description === undefined ? {} : { description }),
    },
  }
  const headers = { 'content-type': 'application/json' }
  await ask(transport, secretsPath, { method: 'POST', object, headers })
  const { url, caPem } = await clusterInfo(call, transport)
  out(`${id}.${secret}\n`)
  if (isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, '')))
    note(
      'this API listens on the loopback device alone, where no other machine reaches it: --listen of "cox up" says where it does',
    )
  note(
    `another machine joins with:\n  cox agent --server ${url} --token ${id}.${secret} --ca-hash ${authorityHash(caPem)}`,
  )
}
/** What agents are told: the address in cluster-info, and our own authority. */
async function clusterInfo(call: Invocation, transport: Transport): Promise<{ url: string; caPem: string }> {
  const map = await ask<{ data?: Record<string, string> }>(
    transport,
    '/api/v1/namespaces/kube-public/configmaps/cluster-info',
  )
  interface Clusters {
    readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
  }
  const info = parse(map.data?.['kubeconfig'] ?? '') as Clusters
  const own = parse(readFileSync(kubeconfigPath(dataDirOf(call)), 'utf8')) as Clusters
  const encoded = own.clusters[0]?.cluster['certificate-authority-data'] ?? ''
  return { url: info.clusters[0]?.cluster['server'] ?? '', caPem: Buffer.from(encoded, 'base64').toString('utf8') }
}

async function list(transport: Transport): Promise<void> {
  const selector = encodeURIComponent('type=bootstrap.kubernetes.io/token')
  const { items } = await ask<{ items: readonly TokenSecret[] }>(transport, `${secretsPath}?fieldSelector=${selector}`)
  const rows = items.map(({ data = {} }) => {
    const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString('utf8')
    const expiration = text('expiration')
    const leftMs = Date.parse(expiration) - Date.now()
    const usages = ['authentication', 'signing'].filter((usage) => text(`usage-bootstrap-${usage}`) === 'true')
    return [
      text('token-id'),
      expiration === '' ? 'for ever' : leftMs > 0 ? humanDuration(leftMs) : 'ended',
      expiration === '' ? '-' : expiration,
      usages.join(','),
      text('description'),
    ]
  })
  const table = [['ID', 'TTL', 'EXPIRES', 'USAGES', 'DESCRIPTION'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => (row[column] ?? '').length)))
  for (const row of table)
    out(
      `${row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    )
}

async function remove(transport: Transport, name: string): Promise<void> {
  const id = name.split('.')[0] ?? ''
  if (!/^[a-z0-9]{6}$/.test(id)) throw new CliError(`"${name}" is no token: its first six characters name it`, 2)
  await ask(transport, `${secretsPath}/${namePrefix}${id}`, { method: 'DELETE' })
  out(`token ${id} deleted\n`)
}
