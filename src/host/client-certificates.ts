// Who a TLS peer is by its certificate: a user, vouched for by the cluster's authority, or a front proxy, vouched for by one
// of theirs. An authority may be both; whoever is of the one is not of the other for that.
import { createHash, X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'
import type { ClientCertificate } from '../apiserver/request.ts'

export interface ClientAuthorities {
  /** Authorities of users, PEM; one after another where there are several. */
  readonly clientCa: string
  /** Authorities of front proxies, likewise; undefined: there are none. */
  readonly frontProxyCa?: string
}
/** The subject of a peer's verified certificate, read once per `connection`; 'refused' for one that nobody vouches for. */
export type CertificateReader = (connection: object, socket: TLSSocket) => ClientCertificate | 'refused' | undefined

const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const certificatesIn = (pem: string): readonly X509Certificate[] =>
  Array.from(pem.matchAll(block), ([text]) => new X509Certificate(text))

/** Whether a file is good for authorities: every certificate in it can be read, and there is one. */
export function holdsCertificates(pem: string): boolean {
  try {
    return certificatesIn(pem).length > 0
  } catch {
    // Boundary: what cannot be parsed is no certificate.
    return false
  }
}

export function certificateReader({ clientCa, frontProxyCa }: ClientAuthorities): CertificateReader {
  const known = new WeakMap<object, { readonly certificate: ReturnType<CertificateReader> }>()
  let authorities:
    | { readonly users: readonly X509Certificate[]; readonly proxies: readonly X509Certificate[] }
    | undefined

  function read(socket: TLSSocket): ReturnType<CertificateReader> {
    // A stream of a tunnel has no certificate of its own.
    if (typeof socket.getPeerCertificate !== 'function') return undefined
    const peer = socket.getPeerCertificate(frontProxyCa !== undefined)
    if (peer === null || peer.subject === undefined) return undefined
    if (!socket.authorized) return 'refused'
    const { CN: name, O: groups } = peer.subject as { CN?: string; O?: string | string[] }
    const certificate = {
      name: String(name ?? ''),
      groups: groups === undefined ? [] : Array.isArray(groups) ? groups : [groups],
      sha256: createHash('sha256').update(peer.raw).digest('hex'),
    }
    if (frontProxyCa === undefined) return { ...certificate, isUser: true, isFrontProxy: false }
    authorities ??= { users: certificatesIn(clientCa), proxies: certificatesIn(frontProxyCa) }
    const { users, proxies } = authorities
    const chain = chainOf(peer as DetailedPeerCertificate)
    return { ...certificate, isUser: isOf(chain, users), isFrontProxy: isOf(chain, proxies) }
  }
  return (connection, socket) => {
    const before = known.get(connection)
    if (before !== undefined) return before.certificate
    const certificate = read(socket)
    known.set(connection, { certificate })
    return certificate
  }
}

/** The peer's certificate and those that it was shown with or issued by, as far as they are known. */
function chainOf(peer: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  const seen = new Set<string>()
  let next: DetailedPeerCertificate | undefined = peer
  while (next?.raw !== undefined && !seen.has(next.fingerprint256)) {
    seen.add(next.fingerprint256)
    chain.push(new X509Certificate(next.raw))
    next = next.issuerCertificate
  }
  return chain
}
const isOf = (chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean =>
  authorities.some((authority) =>
    chain.some(
      (certificate) =>
        certificate.fingerprint256 === authority.fingerprint256 ||
        (certificate.checkIssued(authority) && certificate.verify(authority.publicKey)),
    ),
  )
