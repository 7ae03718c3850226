// What every step of a request can reach: the server's parts, and the request as far as it is understood.

import type { Backends } from './aggregation/backends.ts'
import type { Clock } from '../ports/clock.ts'
import type { Identity } from '../ports/identity.ts'
import type { Log } from '../ports/log.ts'
import type { NodeDialer } from '../ports/node-api.ts'
import type { Outgoing } from '../ports/outgoing.ts'
import type { Random } from '../ports/random.ts'
import type { Store } from '../store/store.ts'
import type { Client } from '../client/client.ts'
import type { SchedulingAdvice } from '../why/scheduling-advice.ts'
import type { AdmissionPlugin } from './admission/admission.ts'
import type { Auditing } from './audit/audit.ts'
import type { Authenticator } from './authentication/authenticator.ts'
import type { CheckedToken } from './authentication/bearer-tokens.ts'
import type { Authorizer } from './authorization/authorizer.ts'
import type { RbacAuthorizer } from './authorization/rbac.ts'
import type { FlowControl } from './flowcontrol/flow-control.ts'
import type { Metrics } from './metrics.ts'
import type { ApiRequest, ApiResponse, UserInfo } from './request.ts'
import type { RequestInfo } from './request-info.ts'
import type { UsageWindows } from './resource-metrics/usage-windows.ts'
import type { ResourceRegistry, ServedResource } from './resources.ts'
import type { HotLists } from './responders/hot-lists.ts'
import type { Feed } from './storage/feed.ts'

export interface ServerContext {
  readonly store: Store
  readonly feed: Feed
  readonly resources: ResourceRegistry
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly identity: Identity
  readonly nodes: NodeDialer
  /** Calls to webhooks, aggregated servers and proxied targets. */
  readonly outgoing: Outgoing
  readonly admission: readonly AdmissionPlugin[]
  readonly authorizer: Authorizer
  /** Undefined where another authorizer list was given. */
  readonly rbac: RbacAuthorizer | undefined
  /** Checks a bearer token for some audience, for TokenReview. */
  readonly reviewToken: (token: string, audiences: readonly string[]) => Promise<CheckedToken | undefined>
  /** Group versions that other servers answer. */
  readonly backends: Backends
  readonly hotLists: HotLists
  /** What nodes and their pods use. */
  readonly usage: UsageWindows
  readonly metrics: Metrics
  /** This server as a client sees it, with the rights of `user`. */
  readonly clientFor: (user: UserInfo) => Client
  /** The scheduler of this process; undefined where another member schedules. */
  readonly advice: () => SchedulingAdvice | undefined
  /** Parts of the control plane that run in this process. */
  readonly components: ReadonlySet<Component>
  readonly flowControl: FlowControl
  /** Undefined: nothing is audited. */
  readonly audit: Auditing | undefined
  /** More metrics in the same text, of whoever runs the server (its process). */
  readonly ownMetrics: () => string
  readonly options: ServerSettings
  readonly readiness: Readiness
}
export type Component = 'scheduler' | 'controller-manager'

/** Changed as the server starts and stops. */
export interface Readiness {
  started: boolean
  stopping: boolean
}
export interface ServerSettings {
  /** CIDRs of Service cluster IPs, the first is the primary family. */
  readonly serviceCidrs: readonly string[]
  readonly nodePorts: { readonly from: number; readonly to: number }
  /** How the API is reached from outside: address and port of the serving socket. */
  readonly advertiseAddress: string
  readonly port: number
  /** Other servers may write to the same store. */
  readonly sharedStore: boolean
  /** False: a request without credentials is refused (401). */
  readonly anonymousAuth: boolean
  /** Proxies in front of this server that may tell who asks, besides this cluster's own. */
  readonly frontProxies: FrontProxies | undefined
  /** Requests that are worked on at once, all priority levels together. */
  readonly maxRequestsInflight: number
}

export interface FrontProxies {
  /** Authorities of their certificates, PEM. */
  readonly caPem: string
  /** Common names of those that are believed; empty: all. */
  readonly allowedNames: readonly string[]
}

/** A request for an object or a collection of objects, past authorization. */
export interface ResourceRequest {
  readonly server: ServerContext
  readonly request: ApiRequest
  readonly info: RequestInfo
  readonly user: UserInfo
  readonly resource: ServedResource
  /** Collected Warning headers. */
  readonly warnings: string[]
  readonly dryRun: boolean
}

export interface Pipeline {
  readonly server: ServerContext
  readonly authenticators: readonly Authenticator[]
  /** Requests that are for no object: health, discovery, OpenAPI, metrics. Undefined for unknown paths. */
  readonly paths: (
    server: ServerContext,
    request: ApiRequest,
    info: RequestInfo,
    user: UserInfo,
  ) => Promise<ApiResponse | undefined>
}
