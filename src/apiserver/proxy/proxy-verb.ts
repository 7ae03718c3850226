// pods/NAME/proxy, services/NAME/proxy and nodes/NAME/proxy with whatever follows. The name may say scheme and port:
// [https:]NAME[:PORT].
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import { ApiError, badRequest, notFound } from '../../api/machinery/errors.ts'
import type { TransportRequest } from '../../ports/transport.ts'
import { collectionOf } from '../admission/lookup.ts'
import type { ResourceRequest } from '../context.ts'
import type { ApiResponse } from '../request.ts'
import type { Outcome } from '../responders/outcome.ts'
import { pumpInto } from '../subresources/pump.ts'
import { admitConnect } from '../subresources/pod-streams.ts'
import { forward } from './forward.ts'
import { serviceEndpoint } from './service-endpoint.ts'

interface ProxyName {
  readonly scheme: 'http' | 'https'
  readonly name: string
  /** Name or number; '' for the default. */
  readonly port: string
}
/** Port of the kubelet's own API. */
const kubeletPort = '10250'

function proxyNameOf(id: string): ProxyName {
  const parts = id.split(':')
  const [first = '', second = '', third = ''] = parts
  if (parts.length === 1) return { scheme: 'http', name: first, port: '' }
  if (parts.length === 2) return { scheme: 'http', name: first, port: second }
  if (parts.length === 3 && (first === 'http' || first === 'https' || first === ''))
    return { scheme: first === 'https' ? 'https' : 'http', name: second, port: third }
  throw badRequest(`invalid proxy name ${JSON.stringify(id)}: use [scheme:]name[:port]`)
}

/** Path (with query) that the target is asked for, and the path under which clients see its root. */
function pathsOf(call: ResourceRequest): { readonly path: string; readonly prefix: string } {
  const full = call.request.path
  const mark = full.indexOf('?')
  const own = mark < 0 ? full : full.slice(0, mark)
  const rest = call.info.rest
  const prefix = own.slice(0, own.length - rest.length).replace(/\/$/, '')
  return { path: `${rest === '' ? '/' : rest}${mark < 0 ? '' : full.slice(mark)}`, prefix }
}

/** The target's root is a folder: without the slash its relative links would miss the proxy's path. */
function toFolder(call: ResourceRequest): Outcome | undefined {
  const { request, info } = call
  if (info.rest !== '' || request.upgrade !== undefined || !['GET', 'HEAD'].includes(request.method)) return undefined
  const [own = '', query] = request.path.split('?', 2)
  const location = `${own}/${query === undefined ? '' : `?${query}`}`
  return { kind: 'response', response: { kind: 'bytes', status: 301, headers: { location }, body: new Uint8Array() } }
}

const answer = (response: ApiResponse): Outcome => ({ kind: 'response', response })

export async function proxyPod(call: ResourceRequest): Promise<Outcome> {
  const redirect = toFolder(call)
  if (redirect !== undefined) return redirect
  await admitConnect(call)
  const { scheme, name, port } = proxyNameOf(call.info.name)
  const pods = await collectionOf(call.server, '', 'pods')
  const entry = pods?.find(call.info.namespace, name)
  if (pods === undefined || entry === undefined) throw notFound({ group: '', resource: 'pods' }, name)
  const pod = pods.object(entry) as unknown as Pod
  const host = pod.status.podIP
  if (host === undefined || host === '') throw badRequest('address not allowed')
  const declared = pod.spec.containers.flatMap((c) => c.ports ?? [])
  const chosen =
    port === ''
      ? (declared[0]?.containerPort ?? (scheme === 'https' ? 443 : 80))
      : (declared.find((p) => p.name === port)?.containerPort ?? Number(port))
  if (!Number.isInteger(chosen) || chosen < 1 || chosen > 65_535)
    throw badRequest(`invalid port ${JSON.stringify(port)}`)
  return answer(await forward(call, { target: { scheme, host, port: chosen, insecure: true }, ...pathsOf(call) }))
}

export async function proxyService(call: ResourceRequest): Promise<Outcome> {
  const redirect = toFolder(call)
  if (redirect !== undefined) return redirect
  await admitConnect(call)
  const { scheme, name, port } = proxyNameOf(call.info.name)
  const endpoint = await serviceEndpoint(call.server, call.info.namespace, name, port)
  return answer(await forward(call, { target: { scheme, ...endpoint, insecure: true }, ...pathsOf(call) }))
}

export async function proxyNode(call: ResourceRequest): Promise<Outcome> {
  const redirect = toFolder(call)
  if (redirect !== undefined) return redirect
  await admitConnect(call)
  const { scheme, name, port } = proxyNameOf(call.info.name)
  const { path, prefix } = pathsOf(call)
  if (port === '' || port === kubeletPort) return answer(await askKubelet(call, name, path))
  const nodes = await collectionOf(call.server, '', 'nodes')
  const entry = nodes?.find('', name)
  if (nodes === undefined || entry === undefined) throw notFound({ group: '', resource: 'nodes' }, name)
  const node = nodes.object(entry) as unknown as Node
  const host = node.status.addresses?.find((a) => a.type === 'InternalIP')?.address
  if (host === undefined) throw new ApiError('ServiceUnavailable', `node ${JSON.stringify(name)} has no address`)
  return answer(await forward(call, { target: { scheme, host, port: Number(port), insecure: true }, path, prefix }))
}

/** The kubelet's own paths go the way that logs and exec go, wherever the node is. */
async function askKubelet(call: ResourceRequest, name: string, path: string): Promise<ApiResponse> {
  const { request, server } = call
  const node = await server.nodes.connect(name)
  const stop = new AbortController()
  request.signal?.addEventListener('abort', () => stop.abort(), { once: true })
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter((h): h is [string, string] => h[1] !== undefined),
  )
  const sent: TransportRequest = { method: request.method, path, headers, signal: stop.signal }
  const body = request.body === undefined || request.method === 'GET' ? undefined : await request.body.bytes(3 << 20)
  const content = request.object === undefined ? (body === undefined ? {} : { body }) : { object: request.object }
  const response = await node.request({ ...sent, ...content })
  if (response.stream?.kind === 'bytes') {
    const { chunks } = response.stream
    return {
      kind: 'stream',
      status: response.status,
      headers: response.headers,
      open: (sink) => pumpInto(sink, chunks, () => stop.abort(), server.log),
    }
  }
  const bytes =
    response.body ??
    (response.object === undefined ? new Uint8Array() : new TextEncoder().encode(JSON.stringify(response.object)))
  return { kind: 'bytes', status: response.status, headers: response.headers, body: bytes }
}
