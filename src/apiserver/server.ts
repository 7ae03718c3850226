// The API server as a value: give it a store, kinds and ports, and it answers requests. No sockets, no timers of its own
// beyond the clock port, no global state: a test or a page may hold several.
import type { EncryptionConfiguration } from '../api/encryption/encryption-configuration.ts'
import type { Kind } from '../api/machinery/kind.ts'
import { type Clock, every } from '../ports/clock.ts'
import type { Identity } from '../ports/identity.ts'
import { type Log, silentLog } from '../ports/log.ts'
import type { NodeDialer } from '../ports/node-api.ts'
import { noOutgoing, type Outgoing } from '../ports/outgoing.ts'
import type { Random } from '../ports/random.ts'
import { type Transport, TransportError } from '../ports/transport.ts'
import type { Store } from '../store/store.ts'
import { createClient } from '../client/api-client.ts'
import { Backends } from './aggregation/backends.ts'
import { admissionPlugins } from './admission/all.ts'
import type { AdmissionPlugin } from './admission/admission.ts'
import type { Auditing } from './audit/audit.ts'
import { clientCertificates } from './authentication/authenticator.ts'
import { bearerTokens, staticTokens } from './authentication/bearer-tokens.ts'
import { bootstrapTokens } from './authentication/bootstrap-tokens.ts'
import { frontProxies } from './authentication/front-proxy.ts'
import { serviceAccountTokens } from './authentication/service-account-tokens.ts'
import { type Authorizer, unionAuthorizer } from './authorization/authorizer.ts'
import { authorizersOf } from './authorization/all.ts'
import { rbacAuthorizer } from './authorization/rbac.ts'
import type { Pipeline, Readiness, ServerContext, ServerSettings } from './context.ts'
import { answerPath } from './paths/all.ts'
import { handle } from './pipeline.ts'
import type { ApiRequest, ApiResponse, UserInfo } from './request.ts'
import { ResourceRegistry } from './resources.ts'
import { apiserver, bootstrap, trustedFrontProxies } from './bootstrap.ts'
import { extensionsOf } from './extensions/all.ts'
import { encryptedStore, transformersByKey } from './encryption/encrypted-store.ts'
import { FlowControl } from './flowcontrol/flow-control.ts'
import { Metrics } from './metrics.ts'
import { UsageWindows } from './resource-metrics/usage-windows.ts'
import { HotLists } from './responders/hot-lists.ts'
import { Feed } from './storage/feed.ts'
import { directTransport } from './transport.ts'
import type { Defer } from './watch/hub.ts'
import type { SchedulingAdvice } from '../why/scheduling-advice.ts'

export interface ApiServerOptions {
  readonly store: Store
  readonly kinds: readonly Kind[]
  readonly clock: Clock
  readonly random: Random
  readonly identity: Identity
  readonly nodes: NodeDialer
  /** Without it webhooks, aggregated servers and proxied targets cannot be reached. */
  readonly outgoing?: Outgoing
  readonly log?: Log
  readonly settings?: Partial<ServerSettings>
  /** Bearer tokens that are known from the start. */
  readonly tokens?: ReadonlyMap<string, UserInfo>
  /** Without it objects lie in the store as they are. */
  readonly encryption?: EncryptionConfiguration
  /** Without it nothing is audited. */
  readonly audit?: Auditing
  readonly admission?: readonly AdmissionPlugin[]
  readonly authorizers?: readonly Authorizer[]
  /** Prometheus text that /metrics shows beside the server's own. */
  readonly metrics?: () => string
  /** The scheduler of this process, for /why. */
  readonly advice?: () => SchedulingAdvice | undefined
  /** What runs in this process beside the server, for componentstatuses. */
  readonly components?: ServerContext['components']
  /** Gathers the watch events of one moment before they are sent; default: the end of the current microtask. The host
   * gives one turn of the event loop, so that writers that commit together make one frame per watcher. */
  readonly defer?: Defer
}

export interface ApiServer {
  /** The whole pipeline. Never throws: errors are responses. */
  handle(request: ApiRequest): Promise<ApiResponse>
  /** How components in this process call the API as `user`. */
  transport(user: UserInfo): Transport
  /** Tells /readyz that the server is going; watches go on until close(). */
  drain(): void
  /** Ends every watch. Requests of components in this process are refused from then on, like those to a closed port. */
  close(): Promise<void>
}

const defaults: ServerSettings = {
  serviceCidrs: ['10.96.0.0/16'],
  nodePorts: { from: 30000, to: 32767 },
  advertiseAddress: '127.0.0.1',
  port: 6443,
  sharedStore: false,
  anonymousAuth: true,
  frontProxies: undefined,
  maxRequestsInflight: 600,
}

/** A decoded object for which nobody has asked in one to two times this long is forgotten; its bytes stay. */
const agingMs = 30_000

/** Starts the server: loads what every request needs and writes the objects that must always exist. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { clock, random, identity, nodes, encryption } = options
  const store =
    encryption === undefined
      ? options.store
      : encryptedStore(options.store, transformersByKey(encryption, options.kinds, random))
  const log = options.log ?? silentLog
  const feed = new Feed(store, clock, log)
  const resources = new ResourceRegistry(store, feed, options.defer ?? queueMicrotask)
  for (const kind of options.kinds) resources.add(kind)
  const settings: ServerSettings = { ...defaults, ...options.settings }
  const readiness: Readiness = { started: false, stopping: false }
  const { issuer } = identity.tokens
  const tokens = bearerTokens(
    [
      staticTokens(options.tokens ?? new Map(), issuer),
      bootstrapTokens(() => server),
      serviceAccountTokens(() => server),
    ],
    issuer,
  )
  const rbac = rbacAuthorizer(() => server)
  const server: ServerContext = {
    store,
    feed,
    resources,
    clock,
    random,
    log,
    identity,
    nodes,
    outgoing: options.outgoing ?? noOutgoing,
    admission: options.admission ?? admissionPlugins,
    authorizer: unionAuthorizer(options.authorizers ?? authorizersOf(rbac, () => server)),
    rbac: options.authorizers === undefined ? rbac : undefined,
    reviewToken: (token, audiences) => tokens.review(token, audiences),
    options: settings,
    readiness,
    backends: new Backends(() => resources.touch()),
    hotLists: new HotLists(),
    usage: new UsageWindows(clock, nodes),
    metrics: new Metrics(),
    audit: options.audit,
    components: options.components ?? new Set(),
    flowControl: new FlowControl(clock, settings.maxRequestsInflight),
    ownMetrics: options.metrics ?? (() => ''),
    clientFor: (user) => createClient(directTransport((request) => handle(pipeline, request), user)),
    advice: options.advice ?? (() => undefined),
  }
  const pipeline: Pipeline = {
    server,
    authenticators: [
      frontProxies(trustedFrontProxies(identity, settings)?.allowedNames ?? []),
      clientCertificates,
      tokens,
    ],
    paths: answerPath,
  }
  const answer = (request: ApiRequest) => handle(pipeline, request)
  let closed = false
  const aging = every(clock, agingMs, () => resources.age())
  const whileOpen = (request: ApiRequest) => {
    if (closed) throw new TransportError('the API server is closed')
    return answer(request)
  }
  const api: ApiServer = {
    handle: answer,
    transport: (user) => directTransport(whileOpen, user),
    drain() {
      readiness.stopping = true
    },
    async close() {
      readiness.stopping = true
      closed = true
      aging.cancel()
      await Promise.all(extensions.map((extension) => extension.stop()))
      for (const { collection } of resources.storageKinds()) collection.close()
      feed.close()
    },
  }
  const own = createClient(directTransport(answer, apiserver), { userAgent: 'kube-apiserver' })
  const extensions = extensionsOf(server, own)
  await Promise.all([bootstrap(server), ...extensions.map((extension) => extension.start())])
  readiness.started = true
  return api
}
