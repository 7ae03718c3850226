// Finding the right cluster from an address and a bootstrap token: cluster-info is read from a server that nobody vouches for
// yet, its signature by the token (and the hash of its authority, where one is given) says whether it is the one that was
// meant. (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/)
import { createHash, createHmac, createPublicKey, timingSafeEqual, X509Certificate } from 'node:crypto'
import { parse } from 'yaml'
import type { ConfigMap } from '../../api/core/config-map.ts'
import { TransportError } from '../../ports/transport.ts'
import { textOf } from '../../client/answers.ts'
import { createHttpTransport } from '../http-transport.ts'

/** Joining failed; the message is one line that says what to do. */
export class JoinError extends Error {}

export interface DiscoverOptions {
  /** https://HOST:PORT */
  readonly url: string
  /** ID.SECRET */
  readonly token: string
  /** sha256:HEX of the authority's public key. */
  readonly caHash?: string | undefined
  readonly nowMs: number
}
const infoPath = '/api/v1/namespaces/kube-public/configmaps/cluster-info'
/** Certificates are dated back by five minutes: clocks may differ by less. */
const clockToleranceMs = 300_000

/** "sha256:" and the hash of a certificate's public key info, as kubeadm prints it. */
export const authorityHash = (caPem: string): string => {
  const key = createPublicKey(new X509Certificate(caPem).publicKey.export({ type: 'spki', format: 'pem' }))
  return `sha256:${createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')}`
}

/** The cluster's authority, PEM. Throws JoinError. */
export async function discoverAuthority(options: DiscoverOptions): Promise<string> {
  const { url, token, nowMs } = options
  const info = await readInfo(url, nowMs)
  const kubeconfig = info.data?.['kubeconfig']
  if (kubeconfig === undefined)
    throw new JoinError(`the server at ${url} tells nothing of its cluster (cluster-info is empty)`)
  const [id = '', secret = ''] = token.split('.')
  const signature = info.data?.[`jws-kubeconfig-${id}`]
  if (signature === undefined)
    throw new JoinError(
      `the cluster at ${url} does not know the token "${id}": it has ended or was deleted; "cox token create" on a server makes a new one`,
    )
  if (!isSignedBy(kubeconfig, signature, id, secret))
    throw new JoinError(
      `the token "${id}" has another secret in the cluster at ${url}: copy it whole from "cox token create"`,
    )
  const config = parse(kubeconfig) as { clusters?: { cluster: { 'certificate-authority-data'?: string } }[] }
  const encoded = config.clusters?.[0]?.cluster['certificate-authority-data']
  if (encoded === undefined) throw new JoinError(`cluster-info of ${url} holds no certificate authority`)
  const caPem = Buffer.from(encoded, 'base64').toString('utf8')
  const hash = authorityHash(caPem)
  if (options.caHash !== undefined && options.caHash.toLowerCase() !== hash)
    throw new JoinError(
      `the cluster at ${url} has another certificate authority than --ca-hash says: it is ${hash}; is this the right server?`,
    )
  await proveServer(url, caPem)
  return caPem
}

async function readInfo(url: string, nowMs: number): Promise<ConfigMap> {
  const transport = createHttpTransport({ url, insecure: true })
  try {
    const response = await transport.send({ method: 'GET', path: infoPath, headers: { accept: 'application/json' } })
    const text = await textOf(response)
    const date = Date.parse(response.headers['date'] ?? '')
    if (Math.abs(date - nowMs) > clockToleranceMs) throw new JoinError(wrongClock(date - nowMs))
    if (response.status === 200) return JSON.parse(text) as ConfigMap
    throw new JoinError(
      response.status === 404
        ? `the cluster at ${url} cannot be joined yet: it has no cluster-info in kube-public`
        : `the server at ${url} does not show cluster-info (${response.status}): is it a Kubernetes API server?`,
    )
  } catch (error) {
    if (error instanceof SyntaxError) throw new JoinError(`the server at ${url} is no Kubernetes API server`)
    if (error instanceof TransportError)
      throw new JoinError(`no server answers at ${url} (${error.message}): check --server and the network between`)
    throw error
  } finally {
    transport.close?.()
  }
}
function wrongClock(aheadMs: number): string {
  const minutes = Math.round(Math.abs(aheadMs) / 60_000)
  const where = aheadMs > 0 ? 'behind' : 'ahead of'
  return `the clock of this machine is ${minutes} minutes ${where} the server's: set it right (chronyc makestep), certificates would not be valid`
}

/** A detached JWS (HS256) of the text by the token. */
export function isSignedBy(content: string, signature: string, id: string, secret: string): boolean {
  const [header = '', middle, given = ''] = signature.split('.')
  if (middle !== '') return false
  const payload = Buffer.from(content).toString('base64url')
  const expected = createHmac('sha256', `${id}.${secret}`).update(`${header}.${payload}`).digest()
  const actual = Buffer.from(given, 'base64url')
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}

/** The server itself must hold a certificate of this authority: cluster-info may have been passed on by another. */
async function proveServer(url: string, caPem: string): Promise<void> {
  const transport = createHttpTransport({ url, ca: caPem })
  try {
    await transport.send({ method: 'GET', path: '/version', headers: { accept: 'application/json' } })
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
    throw new JoinError(`the server at ${url} does not prove that it is of this cluster: ${error.message}`)
  } finally {
    transport.close?.()
  }
}
