// Keys and certificates of a simulated cluster: they bind names to a seed and protect nothing. A token is its claims and a
// check sum, a certificate is the request that it answers.
import type { Identity, RequestedSubject, TokenClaims } from '../ports/identity.ts'
import { hash } from './seeded-random.ts'

const encode = (value: unknown): string => {
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}
const decode = (text: string): unknown => {
  const raw = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(raw, (char) => char.charCodeAt(0))))
}
const pem = (label: string, body: string): string => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`
const bodyOf = (label: string, text: string): string => {
  const match = new RegExp(`-----BEGIN ${label}-----\\s+(\\S+)\\s+-----END ${label}-----`).exec(text)
  if (match?.[1] === undefined) throw new Error(`not a simulated ${label.toLowerCase()}`)
  return match[1]
}

/** A certificate request that the simulated authority understands. */
export const simulatedRequest = (subject: RequestedSubject): string => pem('CERTIFICATE REQUEST', encode(subject))

/** The identity of the cluster with this seed. */
export function simIdentity(seed: number | string): Identity {
  const sumOf = (text: string) => hash(`${seed}.${text}`).toString(16).padStart(8, '0')
  const header = encode({ alg: 'none', typ: 'JWT' })
  return {
    ca: {
      certificatePem: pem('CERTIFICATE', encode({ issuer: 'simulation', seed })),
      async sign(request) {
        const subject = decode(bodyOf('CERTIFICATE REQUEST', request.csrPem))
        const { notBeforeMs, notAfterMs, usages } = request
        return pem('CERTIFICATE', encode({ issuer: 'simulation', seed, subject, notBeforeMs, notAfterMs, usages }))
      },
      async inspect(csrPem) {
        return decode(bodyOf('CERTIFICATE REQUEST', csrPem)) as RequestedSubject
      },
    },
    tokens: {
      issuer: 'https://kubernetes.default.svc.cluster.local',
      async sign(claims) {
        const signed = `${header}.${encode(claims)}`
        return `${signed}.${sumOf(signed)}`
      },
      async verify(token) {
        const [first = '', second = '', sum] = token.split('.')
        if (first !== header || sum !== sumOf(`${first}.${second}`)) return undefined
        return decode(second) as TokenClaims
      },
      jwks: () => Promise.resolve({ keys: [] }),
    },
  }
}
