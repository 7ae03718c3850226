// Port 10250: the node's API for whoever may use it. Clients prove who they are by a certificate of the cluster or a token,
// and the API server is asked what they may do (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/).
import { existsSync } from 'node:fs'
import { tokenReviews } from '../../api/authentication/authentication.ts'
import { subjectAccessReviews } from '../../api/authorization/authorization.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { ApiRequest, ApiResponse } from '../../apiserver/request.ts'
import type { Client } from '../../client/client.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { NodeApi } from '../../ports/node-api.ts'
import { type HttpServer, serveHttp } from '../http-server.ts'
import type { Credentials } from './certificates.ts'
import { answerNodeRequest, statusResponse } from './serve.ts'

export interface KubeletPortOptions {
  /** The socket is opened before the kubelet is there: its Node tells the port. */
  readonly api: Promise<NodeApi>
  readonly nodeName: string
  /** As the node: asks about tokens and rights. */
  readonly client: Client
  readonly clock: Clock
  readonly log: Log
  readonly credentials: Credentials
  readonly clientCa: string
  /** Where another program has it, a free one is taken. */
  readonly port: number
}
interface Caller {
  readonly user: string
  readonly groups: readonly string[]
}
const verbs: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  OPTIONS: 'get',
}
/** Answers of the API server are remembered for so long. */
const rememberMs = { yes: 300_000, no: 30_000 } as const
const maxRemembered = 1000

/** The resources of which any allows a path; what has no name of its own needs the whole node. */
export function subresourcesOf(path: string): readonly string[] {
  const [, first = ''] = (path.split('?')[0] ?? '').split('/')
  switch (first) {
    case 'stats':
      return ['stats']
    case 'metrics':
      return ['metrics']
    case 'logs':
      return ['log']
    case 'healthz':
    case 'pods':
    case 'configz':
      return [first, 'proxy']
    case 'runningpods':
      return ['pods', 'proxy']
    default:
      return ['proxy']
  }
}

/** Serves; takes a free port where the wished one is taken. */
export async function serveKubeletPort(options: KubeletPortOptions): Promise<HttpServer> {
  const { api, log } = options
  const allowed = remembering(options.clock, (text) => mayUse(options, JSON.parse(text) as Question))
  const known = remembering(options.clock, (token) => userOf(options.client, token))
  const handle = async (request: ApiRequest): Promise<ApiResponse> => {
    try {
      const caller = await callerOf(request, known)
      if (caller === undefined) return statusResponse(new ApiError('Unauthorized', 'Unauthorized'))
      const verb = verbs[request.method] ?? 'get'
      const subresources = subresourcesOf(request.path)
      for (const subresource of subresources)
        if ((await allowed(JSON.stringify({ ...caller, verb, subresource }))) === true)
          return await answerNodeRequest(await api, request, log)
      const what = `user=${caller.user}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ')}]`
      return statusResponse(new ApiError('Forbidden', `Forbidden (${what})`))
    } catch (error) {
      // Boundary: the API server is away.
      const message = error instanceof Error ? error.message : String(error)
      return statusResponse(new ApiError('InternalError', `Authorization error: ${message}`))
    }
  }
  const { certificatePem, keyPem } = options.credentials
  // Both families through one socket, where the kernel has both.
  const host = existsSync('/proc/net/if_inet6') ? '::' : '0.0.0.0'
  const open = (port: number) =>
    serveHttp({ host, port, certificatePem, keyPem, clientCa: options.clientCa, handle, log })
  return open(options.port).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return open(0)
  })
}

async function callerOf(
  request: ApiRequest,
  known: (token: string) => Promise<Caller | undefined>,
): Promise<Caller | undefined> {
  const { certificate } = request
  if (typeof certificate === 'object')
    return { user: certificate.name, groups: [...certificate.groups, 'system:authenticated'] }
  const token = /^bearer +(\S+)$/i.exec(request.headers['authorization']?.trim() ?? '')?.[1]
  if (token !== undefined) return known(token)
  return certificate === 'refused' ? undefined : { user: 'system:anonymous', groups: ['system:unauthenticated'] }
}
async function userOf(client: Client, token: string): Promise<Caller | undefined> {
  const review = await client.resource(tokenReviews).create({ metadata: {}, spec: { token } } as never)
  const { authenticated, user } = review.status
  return authenticated === true ? { user: user?.username ?? '', groups: user?.groups ?? [] } : undefined
}

interface Question extends Caller {
  readonly verb: string
  readonly subresource: string
}
async function mayUse({ client, nodeName }: KubeletPortOptions, question: Question): Promise<true | undefined> {
  const { user, groups, verb, subresource } = question
  const resourceAttributes = { version: 'v1', resource: 'nodes', subresource, name: nodeName, verb }
  const review = await client.resource(subjectAccessReviews).create({
    metadata: {},
    spec: { user, groups, resourceAttributes },
  } as never)
  return review.status.allowed ? true : undefined
}

/** Remembers answers for a while, refusals for a shorter one. */
function remembering<T>(clock: Clock, ask: (key: string) => Promise<T | undefined>) {
  const answers = new Map<string, { readonly value: T | undefined; readonly untilMs: number }>()
  return async (key: string): Promise<T | undefined> => {
    const known = answers.get(key)
    if (known !== undefined && known.untilMs > clock.monotonic()) return known.value
    const value = await ask(key)
    if (answers.size >= maxRemembered) answers.clear()
    answers.set(key, { value, untilMs: clock.monotonic() + rememberMs[value === undefined ? 'no' : 'yes'] })
    return value
  }
}
