// A node's certificates on an agent: asked for by CertificateSigningRequest, kept in one file with their key (written whole or
// not at all), and asked for again before they end.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type CertificateSigningRequest,
  certificateSigningRequests,
} from '../../api/certificates/certificate-signing-request.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { Client } from '../../client/client.ts'
import { type Clock, sleep, type Timer } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import type { AlternativeNames, Subject } from '../x509/certificate.ts'
import { makeSigningRequest } from '../x509/signing-request.ts'

export interface Credentials {
  readonly certificatePem: string
  readonly keyPem: string
}
export const clientSigner = 'kubernetes.io/kube-apiserver-client-kubelet'
export const servingSigner = 'kubernetes.io/kubelet-serving'
export const nodeSubject = (nodeName: string): Subject => ({
  commonName: `system:node:${nodeName}`,
  organizations: ['system:nodes'],
})

/** A certificate and its key in `DIRECTORY/NAME.pem`. */
export interface CredentialFile {
  read(): Credentials | undefined
  write(credentials: Credentials): void
}
export function credentialFile(directory: string, name: string): CredentialFile {
  const path = join(directory, `${name}.pem`)
  return {
    read() {
      if (!existsSync(path)) return undefined
      const text = readFileSync(path, 'utf8')
      const at = text.indexOf('-----BEGIN PRIVATE KEY-----')
      return at < 0 ? undefined : { certificatePem: text.slice(0, at), keyPem: text.slice(at) }
    },
    write({ certificatePem, keyPem }) {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      writeFileSync(`${path}.new`, certificatePem + keyPem, { mode: 0o600, flush: true })
      renameSync(`${path}.new`, path)
    },
  }
}

export interface CertificateWish {
  readonly signer: typeof clientSigner | typeof servingSigner
  readonly subject: Subject
  readonly names: AlternativeNames
}
/** A request that nobody approved in time, or that was turned down; the message says what an administrator can do. */
export class CertificateError extends Error {}

/** Asks the cluster for a certificate under a fresh key. Throws CertificateError, ApiError, TransportError. */
export async function requestCertificate(
  client: Client,
  clock: Clock,
  wish: CertificateWish,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Credentials> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const requests = client.resource(certificateSigningRequests)
  const purpose = wish.signer === clientSigner ? 'client auth' : 'server auth'
  const created = await requests.create({
    metadata: { generateName: 'node-csr-' },
    spec: {
      request: Buffer.from(makeSigningRequest(wish.subject, wish.names, privateKey)).toString('base64'),
      signerName: wish.signer,
      usages: ['digital signature', purpose],
    },
  } as never)
  const { name } = created.metadata
  const stop = new AbortController()
  signal?.addEventListener('abort', () => stop.abort(), { once: true })
  const timer = clock.after(timeoutMs, () => stop.abort())
  try {
    const signed = await decided(requests, name, stop.signal, clock)
    if (signed === undefined)
      throw new CertificateError(
        `the certificate request ${name} was not approved in time: "kubectl certificate approve ${name}" does it by hand`,
      )
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    return { certificatePem: Buffer.from(signed, 'base64').toString('utf8'), keyPem }
  } finally {
    timer.cancel()
    stop.abort()
  }
}

const retryMs = 500
/** The certificate of a request as soon as it is there; undefined when `signal` aborts first. */
async function decided(
  requests: ReturnType<Client['resource']>,
  name: string,
  signal: AbortSignal,
  clock: Clock,
): Promise<string | undefined> {
  while (!signal.aborted) {
    const query = { fieldSelector: `metadata.name=${name}`, sendInitialEvents: true, signal } as const
    const watch = requests.watch({ ...query, allowWatchBookmarks: true, resourceVersionMatch: 'NotOlderThan' })
    for await (const event of watch) {
      if (event.type === 'BOOKMARK') continue
      const { status } = event.object as unknown as CertificateSigningRequest
      if ((status?.certificate ?? '') !== '') return status?.certificate
      const refusal = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed')
      if (refusal !== undefined)
        throw new CertificateError(
          `the certificate request ${name} was turned down (${refusal.type}): ${refusal.message ?? refusal.reason ?? ''}`,
        )
    }
    await sleep(clock, retryMs, signal)
  }
  return undefined
}

/** When a certificate is to be renewed: after 70 to 90 % of its life, so that nodes do not all come at once. */
export function renewalMs(certificatePem: string, luck: number): number {
  const { validFrom, validTo } = new X509Certificate(certificatePem)
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)]
  return from + (to - from) * (0.7 + 0.2 * luck)
}
/** Ours (of this authority, with its key) and still good. */
export function isUsable({ certificatePem, keyPem }: Credentials, caPem: string, nowMs: number): boolean {
  const certificate = new X509Certificate(certificatePem)
  if (Date.parse(certificate.validTo) <= nowMs) return false
  return certificate.checkIssued(new X509Certificate(caPem)) && certificate.checkPrivateKey(createPrivateKey(keyPem))
}

/** The common name that a certificate is for. */
export const subjectName = (certificatePem: string): string =>
  /^CN=(.*)$/m.exec(new X509Certificate(certificatePem).subject)?.[1] ?? ''

export interface KeptCertificateOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly file: CredentialFile
  /** What to ask for now: a node's addresses may have changed. */
  readonly wish: () => CertificateWish
  readonly onNew: (credentials: Credentials) => void
}
const requestTimeoutMs = 120_000
const failureDelayMs = 30_000
/** About the longest that a timer can wait. */
const longestWaitMs = 2_000_000_000

/** Keeps a certificate renewed until `stop`. Without one in the file it is asked for at once. */
export function keepCertificate(options: KeptCertificateOptions): { stop(): void } {
  const { client, clock, random, log, file } = options
  const stopping = new AbortController()
  let timer: Timer | undefined
  const luck = random.float()
  const plan = (delayMs: number) => {
    timer?.cancel()
    if (!stopping.signal.aborted) timer = clock.after(Math.max(0, Math.min(delayMs, longestWaitMs)), () => void renew())
  }
  let busy = false
  /** Boundary: what fails is logged and tried again; the old certificate is good for a while. */
  async function renew(): Promise<void> {
    if (busy) return
    busy = true
    try {
      await renewOnce()
    } finally {
      busy = false
    }
  }
  async function renewOnce(): Promise<void> {
    const present = file.read()
    const leftMs = present === undefined ? 0 : renewalMs(present.certificatePem, luck) - clock.now()
    if (leftMs > 0) return plan(leftMs)
    const wish = options.wish()
    try {
      const credentials = await requestCertificate(client, clock, wish, requestTimeoutMs, stopping.signal)
      file.write(credentials)
      log.info('a certificate was issued', { signer: wish.signer })
      options.onNew(credentials)
      plan(renewalMs(credentials.certificatePem, luck) - clock.now())
    } catch (error) {
      if (stopping.signal.aborted) return
      const message = error instanceof Error ? error.message : String(error)
      log.warn('a certificate could not be renewed', { signer: wish.signer, error: message })
      plan(error instanceof ApiError || error instanceof CertificateError ? failureDelayMs : failureDelayMs / 10)
    }
  }
  void renew()
  const watching = clock.onSet(() => void renew())
  return {
    stop() {
      stopping.abort()
      watching.cancel()
      timer?.cancel()
    },
  }
}
