// The API of a cluster for scenarios that look at it often: kubectl takes half a second a call.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { createClient } from '../../src/client/api-client.ts'
import type { Client } from '../../src/client/client.ts'
import { createHttpTransport } from '../../src/host/http-transport.ts'
import type { Transport } from '../../src/ports/transport.ts'

function kubeconfigOf(dataDir: string) {
  const config = parse(readFileSync(join(dataDir, 'kubeconfig'), 'utf8')) as {
    clusters: { cluster: Record<string, string> }[]
    users: { user: Record<string, string> }[]
  }
  return { cluster: config.clusters[0]?.cluster ?? {}, user: config.users[0]?.user ?? {} }
}
const pem = (text: string | undefined) => Buffer.from(text ?? '', 'base64')

/** Where the API is, and who vouches for it. */
export function serverOf(dataDir: string): { readonly url: string; readonly ca: Buffer } {
  const { cluster } = kubeconfigOf(dataDir)
  return { url: cluster['server'] ?? '', ca: pem(cluster['certificate-authority-data']) }
}
/** A connection of the cluster's administrator. */
export function transportOf(dataDir: string): Transport {
  const { user } = kubeconfigOf(dataDir)
  return createHttpTransport({
    ...serverOf(dataDir),
    cert: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
  })
}
/** As the cluster's administrator. */
export const clientOf = (dataDir: string): Client => createClient(transportOf(dataDir), { userAgent: 'scenarios' })
