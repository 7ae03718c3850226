// Sends hostile requests one after another and looks at what each did: an answer that is the client's to mend, never a 500,
// and no write where it says that it failed.
import type { Store } from '../../store/store.ts'
import type { ApiResponse, UserInfo } from '../request.ts'
import type { ApiServer } from '../server.ts'
import { wholeBody } from '../transport.ts'
import type { HostileRequest } from './hostile-requests.ts'

export interface Siege {
  readonly api: ApiServer
  readonly store: Store
  readonly user: UserInfo
}
export interface Breach {
  readonly request: HostileRequest
  readonly what: string
}
export interface SiegeReport {
  readonly byStatus: ReadonlyMap<number, number>
  readonly breaches: readonly Breach[]
}

/** What the server writes by itself, beside what it was asked for. */
const ownWrites =
  /^\/registry\/(flowschemas|prioritylevelconfigurations|apiextensions\.k8s\.io|apiregistration\.k8s\.io|serviceips|ranges)/

export async function besiege(
  { api, store, user }: Siege,
  requests: Iterable<HostileRequest>,
  /** Called before each request, and after it with its status. */
  onRequest: (request: HostileRequest, status: number | undefined) => void = () => {},
): Promise<SiegeReport> {
  const byStatus = new Map<number, number>()
  const breaches: Breach[] = []
  let written: string[] = []
  const watch = store.watch('/registry/', {
    fromRevision: store.currentRevision() + 1,
    onEvents: (events) => written.push(...events.map((e) => (e.type === 'put' ? e.kv.key : e.key))),
    onError: (error) => breaches.push({ request: nothing, what: `the store's watch broke: ${error.message}` }),
  })
  for (const request of requests) {
    onRequest(request, undefined)
    written = []
    const { method, path, headers, body } = request
    const response = await api.handle({
      method,
      path,
      headers,
      user,
      ...(body === undefined ? {} : { body: wholeBody(body) }),
    })
    const status = response.kind === 'upgrade' ? 101 : response.status
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1)
    const what = breachOf(response, status, written)
    if (what !== undefined) breaches.push({ request, what })
    onRequest(request, status)
  }
  watch.close()
  return { byStatus, breaches }
}
const nothing: HostileRequest = { method: 'GET', path: '', headers: {} }

function breachOf(response: ApiResponse, status: number, written: readonly string[]): string | undefined {
  if (response.kind === 'stream') {
    response.open({ write: () => true, end: () => {} }).close()
    return undefined
  }
  const text = response.kind === 'bytes' ? new TextDecoder().decode(response.body.subarray(0, 2000)) : ''
  if (status === 500 || status > 504) return `${status}: ${text}`
  const changed = written.filter((key) => !ownWrites.test(key))
  if (status >= 400 && changed.length > 0) return `${status}, but it wrote ${changed.join()}: ${text}`
  return undefined
}

/** Asks for every object that is left, in every form: what was let in must come out. */
export async function countWhatIsLeft({ api, user }: Siege, paths: readonly string[]): Promise<readonly Breach[]> {
  const forms = [
    'application/json',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/json;as=Table;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
  ]
  const breaches: Breach[] = []
  for (const path of paths) {
    for (const accept of forms) {
      const request: HostileRequest = { method: 'GET', path, headers: { accept } }
      const response = await api.handle({ method: 'GET', path, headers: { accept }, user })
      const status = response.kind === 'bytes' ? response.status : 0
      if (status !== 200 && status !== 405 && status !== 406) breaches.push({ request, what: `${status} for a list` })
    }
  }
  return breaches
}
