// The way from a data directory to its API: the kubeconfig that `cox up` wrote, over HTTP/2.
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Status } from '../api/machinery/meta.ts'
import { createHttpTransport } from '../host/http-transport.ts'
import type { Transport, TransportResponse } from '../ports/transport.ts'
import { CliError, type Invocation } from './command.ts'
import { dataDirOf, kubeconfigPath, requireServer } from './data-dir.ts'

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string }
  }[]
  readonly users: readonly {
    readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string }
  }[]
}

/** Opens the API of the call's data directory. Throws CliError when no cluster runs there, or only a node of one. */
export function connect(call: Invocation): Transport {
  const dataDir = dataDirOf(call)
  const { role, url } = requireServer(dataDir)
  if (role === 'agent')
    throw new CliError(
      `${dataDir} is a node of the cluster at ${url} and has no rights over it: ask on a server, or with kubectl and its kubeconfig`,
    )
  return transportTo(dataDir)
}

/** The way to the API that the kubeconfig in a data directory names. */
export function transportTo(dataDir: string): Transport {
  const config = parse(readFileSync(kubeconfigPath(dataDir), 'utf8')) as Kubeconfig
  const [cluster] = config.clusters
  const [user] = config.users
  if (cluster === undefined || user === undefined)
    throw new CliError(`${kubeconfigPath(dataDir)} is not a kubeconfig of cox: "cox down" and "cox up" write a new one`)
  const pem = (text: string) => Buffer.from(text, 'base64')
  return createHttpTransport({
    url: cluster.cluster.server,
    ca: pem(cluster.cluster['certificate-authority-data']),
    cert: pem(user.user['client-certificate-data']),
    key: pem(user.user['client-key-data']),
  })
}

const text = (response: TransportResponse): string => new TextDecoder().decode(response.body)

/** The JSON of an answer; a Status failure becomes "Error from server (Reason): message", as kubectl prints it. */
export async function ask<T>(
  transport: Transport,
  path: string,
  options: Partial<Parameters<Transport['send']>[0]> = {},
): Promise<T> {
  const response = await transport.send({
    method: 'GET',
    path,
    ...options,
    headers: { accept: 'application/json', ...options.headers },
  })
  const body = await wholeBody(response)
  if (response.status >= 400) throw serverError(response.status, body)
  return JSON.parse(body) as T
}

/** Like ask, undefined for 404. */
export async function askMaybe<T>(transport: Transport, path: string): Promise<T | undefined> {
  const response = await transport.send({ method: 'GET', path, headers: { accept: 'application/json' } })
  const body = await wholeBody(response)
  if (response.status === 404) return undefined
  if (response.status >= 400) throw serverError(response.status, body)
  return JSON.parse(body) as T
}

export function serverError(code: number, body: string): CliError {
  try {
    const status = JSON.parse(body) as Status
    return new CliError(`Error from server (${status.reason ?? code}): ${status.message ?? body}`)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return new CliError(`Error from server (${code}): ${body.trim()}`)
  }
}

export async function wholeBody(response: TransportResponse): Promise<string> {
  if (response.body !== undefined) return text(response)
  if (response.stream?.kind !== 'bytes') return ''
  const chunks: Uint8Array[] = []
  for await (const chunk of response.stream.chunks) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
