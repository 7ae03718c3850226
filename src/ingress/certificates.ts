// Certificates of TLS Ingresses: each Secret that one names is followed by a watch of its own, so that a renewed
// certificate serves the next handshake, and no other Secret of the cluster is read.
import { secrets, type Secret, textOfBase64 } from '../api/core/secret.ts'
import type { Client } from '../client/client.ts'
import { createInformer, type Informer } from '../client/informer.ts'
import type { Clock } from '../ports/clock.ts'
import type { EdgeCertificate } from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import type { CertificateSource } from './routes.ts'

export interface CertificatesOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}
export interface Certificates {
  /** Says which Secrets are named now; others are forgotten. */
  follow(sources: Iterable<CertificateSource>): void
  /** The certificate in a followed Secret; the same object until the Secret changes. */
  get(source: CertificateSource): EdgeCertificate | undefined
  stop(): void
}

interface Followed {
  readonly informer: Informer<Secret>
  readonly source: CertificateSource
  known: { readonly version: string; readonly certificate: EdgeCertificate | undefined } | undefined
}

function certificateIn({ data = {} }: Secret): EdgeCertificate | undefined {
  const { 'tls.crt': certificate, 'tls.key': key } = data
  if (certificate === undefined || key === undefined) return undefined
  return { certificatePem: textOfBase64(certificate), keyPem: textOfBase64(key) }
}

export function createCertificates({ client, clock, random, log }: CertificatesOptions): Certificates {
  const followed = new Map<string, Followed>()
  const keyOf = ({ namespace, secret }: CertificateSource) => `${namespace}/${secret}`
  return {
    follow(sources) {
      const wanted = new Map([...sources].map((source) => [keyOf(source), source]))
      for (const [key, { informer }] of followed) {
        if (wanted.has(key)) continue
        informer.stop()
        followed.delete(key)
      }
      for (const [key, source] of wanted) {
        if (followed.has(key)) continue
        const selection = { namespace: source.namespace, fieldSelector: `metadata.name=${source.secret}` }
        const informer = createInformer({ client, kind: secrets, clock, random, log, selection })
        followed.set(key, { informer, source, known: undefined })
      }
    },
    get(source) {
      const entry = followed.get(keyOf(source))
      const secret = entry?.informer.get(source.secret, source.namespace)
      if (entry === undefined || secret === undefined) return undefined
      const version = `${secret.metadata.uid}/${secret.metadata.resourceVersion}`
      if (entry.known?.version !== version) entry.known = { version, certificate: certificateIn(secret) }
      return entry.known.certificate
    },
    stop() {
      for (const { informer } of followed.values()) informer.stop()
      followed.clear()
    },
  }
}
