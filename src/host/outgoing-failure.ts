// What outgoing calls of both HTTP versions share: failures in the words that Go programs use for them, TLS as the target
// says, headers as plain data.
import type http from 'node:http'
import type https from 'node:https'
import { OutgoingError, type OutgoingTarget } from '../ports/outgoing.ts'

export type Kind = OutgoingError['kind']
const words: Readonly<Record<string, readonly [Kind, string]>> = {
  ECONNREFUSED: ['refused', 'connect: connection refused'],
  ETIMEDOUT: ['timeout', 'i/o timeout'],
  EHOSTUNREACH: ['unreachable', 'connect: no route to host'],
  ENETUNREACH: ['unreachable', 'connect: network is unreachable'],
  ECONNRESET: ['broken', 'read: connection reset by peer'],
  EPIPE: ['broken', 'write: broken pipe'],
  ENOTFOUND: ['unreachable', 'no such host'],
  EAI_AGAIN: ['unreachable', 'no such host'],
}
const certificateWords: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'x509: certificate signed by unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'x509: certificate signed by unknown authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'x509: certificate signed by unknown authority',
  CERT_SIGNATURE_FAILURE: 'x509: certificate signed by unknown authority',
  CERT_HAS_EXPIRED: 'x509: certificate has expired or is not yet valid',
  CERT_NOT_YET_VALID: 'x509: certificate has expired or is not yet valid',
}

export function failureOf(
  error: unknown,
  { host, port }: OutgoingTarget,
  signal: AbortSignal | undefined,
): OutgoingError {
  if (error instanceof OutgoingError) return error
  if (signal?.aborted) return new OutgoingError('aborted', 'context canceled', { cause: error })
  const {
    code = '',
    errors,
    reason,
    cause,
  } = error as {
    code?: string
    errors?: readonly unknown[]
    reason?: string
    cause?: unknown
  }
  // A stream of a session that never came to be.
  if (code === 'ERR_HTTP2_STREAM_CANCEL' && cause !== undefined)
    return failureOf(cause, { host, port, scheme: 'https' }, signal)
  // A name with several addresses fails with one error for each.
  if (errors?.[0] !== undefined) return failureOf(errors[0], { host, port, scheme: 'https' }, signal)
  const at = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const known = words[code]
  if (known !== undefined) {
    const [kind, text] = known
    const head =
      kind === 'broken'
        ? ''
        : code.startsWith('E') && text === 'no such host'
          ? `dial tcp: lookup ${host}: `
          : `dial tcp ${at}: `
    return new OutgoingError(kind, `${head}${text}`, { cause: error })
  }
  const certificate = certificateWords[code]
  if (certificate !== undefined) {
    return new OutgoingError('certificate', `tls: failed to verify certificate: ${certificate}`, { cause: error })
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new OutgoingError('certificate', `tls: failed to verify certificate: x509: ${reason ?? 'wrong name'}`, {
      cause: error,
    })
  }
  if (error instanceof Error && /socket hang up/.test(error.message)) {
    return new OutgoingError('broken', 'EOF', { cause: error })
  }
  if (/wrong version number|packet length too long/i.test(String(error))) {
    return new OutgoingError('broken', 'http: server gave HTTP response to HTTPS client', { cause: error })
  }
  return new OutgoingError('broken', error instanceof Error ? error.message : String(error), { cause: error })
}

export const tlsOf = (
  target: OutgoingTarget,
): Pick<https.RequestOptions, 'servername' | 'ca' | 'rejectUnauthorized' | 'cert' | 'key'> => {
  const name = target.serverName ?? target.host
  return {
    ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }),
    ...(target.caPem === undefined ? {} : { ca: target.caPem }),
    ...(target.client === undefined ? {} : { cert: target.client.certificatePem, key: target.client.keyPem }),
    ...(target.insecure === true ? { rejectUnauthorized: false } : {}),
  }
}

export function headersOf(headers: http.IncomingHttpHeaders): Record<string, string | readonly string[]> {
  const out: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) out[name] = value
  return out
}
