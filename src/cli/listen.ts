// The API's socket: opened before anything else, so that a port that is taken is told first.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CertificateRenewalOptions, useCertificate } from '../host/certificate-renewal.ts'
import { type HttpServer, type HttpServerOptions, serveHttp } from '../host/http-server.ts'
import type { HostIdentity, KeyPairFiles } from '../host/identity.ts'
import type { Clock } from '../ports/clock.ts'
import { CliError } from './command.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}
export interface ListenOptions extends Pick<HttpServerOptions, 'handle' | 'tunnel' | 'log'> {
  readonly dataDir: string
  /** Undefined: every address, the port of last time, 6443 or a free one. */
  readonly listen: ListenAddress | undefined
  readonly identity: HostIdentity
  /** Authorities of proxies besides our own, PEM. */
  readonly frontProxyCa: string | undefined
  /** Names and addresses by which the API is called, besides its Service's names. */
  readonly names: readonly string[]
  readonly clock: Clock
}
const preferredPort = 6443
const isAddress = (name: string) => /^[\d.]+$|:/.test(name)
const isWildcard = (host: string) => /^(0\.0\.0\.0|::)?$/.test(host)

export function listenOf(text: string | undefined): ListenAddress | undefined {
  if (text === undefined) return undefined
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535)
    throw new CliError(`--listen wants HOST:PORT, such as 127.0.0.1:6443, not "${text}"`, 2)
  return { host: match[1] ?? (match[2] === '' ? '0.0.0.0' : (match[2] ?? '')), port }
}
/** How this machine's programs call an API that listens there. */
export const localUrl = (listen: ListenAddress | undefined, port: number): string => {
  const host = listen?.host ?? '127.0.0.1'
  const reachable = isWildcard(host) ? '127.0.0.1' : host
  return `https://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

export const isLoopback = (address: string) => address.startsWith('127.') || address === '::1'
/** A socket that only programs of this machine reach, and no pod. */
export const isOutOfSight = ({ address }: HttpServer): boolean => isLoopback(address)
/** Where pods find the API: at the address that was asked for, else where it listens. A socket on the loopback device alone is
 * out of their sight, so they get one on the device that carries the cluster's DNS, which no other machine has a route to;
 * `dnsAddress` is undefined where no pods run here, and then nobody else can reach a loopback socket. */
export function podsReach(
  listening: string,
  advertised: string | undefined,
  dnsAddress: string | undefined,
  addresses: readonly string[],
): string {
  if (advertised !== undefined) return advertised
  if (isLoopback(listening)) return dnsAddress ?? listening
  return isWildcard(listening) ? (addresses[0] ?? dnsAddress ?? listening) : listening
}

export type Open = (host: string, port: number) => Promise<HttpServer>
/** Opens sockets of the API with a certificate for all of its names, which is made anew in time. */
export function opener(options: ListenOptions): Open {
  const { listen: at, identity, handle, tunnel, clock, log } = options
  const kube = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local']
  const own = at === undefined || isWildcard(at.host) ? [] : [at.host]
  const names = [...options.names, ...own]
  const make = () =>
    identity.serving('apiserver', {
      dnsNames: [...new Set(['localhost', ...kube, ...names.filter((name) => !isAddress(name))])],
      ipAddresses: [...new Set(['127.0.0.1', '::1', ...names.filter(isAddress)])],
    })
  return async (host, port) => {
    const server = await serveHttp({
      host,
      port,
      ...make(),
      clientCa: identity.ca.certificatePem,
      frontProxyCa: [identity.frontProxy?.caPem, options.frontProxyCa].flatMap((pem) => pem ?? []).join('\n'),
      handle,
      ...(tunnel === undefined ? {} : { tunnel }),
      log,
    })
    return renewing(server, { clock, log, make })
  }
}
/** A server whose certificate is made anew in time, until it is closed. */
export function renewing(server: HttpServer, certificate: Omit<CertificateRenewalOptions, 'use'>): HttpServer {
  const use = ({ certificatePem, keyPem }: KeyPairFiles) => server.renew(certificatePem, keyPem)
  const renewal = useCertificate({ ...certificate, use })
  return {
    ...server,
    close(graceMs) {
      renewal.cancel()
      return server.close(graceMs)
    },
  }
}

/** The API's own socket, at the address and port that were asked for, or at the port of the last start. */
export async function listen({ listen: at, dataDir }: ListenOptions, open: Open): Promise<HttpServer> {
  if (at !== undefined) return open(at.host, at.port).catch((error: unknown) => refuse(error, at))
  const everywhere = '0.0.0.0'
  const kept = join(dataDir, 'port')
  const last = existsSync(kept) ? Number(readFileSync(kept, 'utf8')) : preferredPort
  const server = await open(everywhere, last).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return refuse(error, undefined)
    return open(everywhere, 0)
  })
  writeFileSync(kept, `${server.port}\n`)
  return server
}
function refuse(error: unknown, at: ListenAddress | undefined): never {
  const { code } = error as NodeJS.ErrnoException
  const where = at === undefined ? 'the API port' : `${at.host}:${at.port}`
  if (code === 'EADDRINUSE')
    throw new CliError(`${where} is taken by another program: end it, or choose another with --listen HOST:PORT`)
  if (code === 'EACCES')
    throw new CliError(`${where} may not be used by this user: choose a port above 1023 with --listen`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    throw new CliError(`${where} is not an address of this machine: choose one with --listen HOST:PORT`)
  throw error
}
