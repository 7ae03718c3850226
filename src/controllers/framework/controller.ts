// What a controller is: a name and a start. Everything it may touch comes in through the context.
import type { Kind } from '../../api/machinery/kind.ts'
import type { Client } from '../../client/client.ts'
import { createEventRecorder, type EventRecorder } from '../../client/event-recorder.ts'
import type { InformerFactory } from '../../client/informer.ts'
import type { Clock } from '../../ports/clock.ts'
import type { CertificateAuthority, TokenSigner } from '../../ports/identity.ts'
import type { Log } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'

/** Figures that a cluster may set; the defaults are upstream's. */
export interface ControllerSettings {
  /** The cluster's authority: published as kube-root-ca.crt in every namespace, and signer of certificate requests. */
  readonly ca?: CertificateAuthority
  /** Signs the tokens of Secrets of type service-account-token. */
  readonly tokens?: TokenSigner
  /** A node whose Lease and status are older than this is not healthy. Default 50 s. */
  readonly nodeMonitorGraceMs?: number
  /** How often node health is looked at. Default 5 s. */
  readonly nodeMonitorPeriodMs?: number
  /** Nodes lose their pods at this rate per second while a zone is healthy. Default 0.1. */
  readonly nodeEvictionRate?: number
  /** The rate in a zone that is partly down and large. Default 0.01. */
  readonly secondaryNodeEvictionRate?: number
  /** Terminated pods that are kept before the oldest are removed. Default 12500. */
  readonly terminatedPodThreshold?: number
  /** Pod address ranges, one per IP family; nodes get slices of them. Default: none are handed out. */
  readonly clusterCidrs?: readonly string[]
  /** Prefix length of a node's slice. Default 24 (IPv4), 64 (IPv6). */
  readonly nodeMaskSizes?: readonly number[]
  /** Addresses for Services of type LoadBalancer: CIDRs, or "first-last". Default: the nodes' own addresses. */
  readonly loadBalancerPool?: readonly string[]
  /** TCP ports of the nodes that no load balancer may take, besides 22 and 10250. */
  readonly reservedPorts?: readonly number[]
  /** Where the nodes answer DNS; they become the kube-dns Service. Default: there is none. */
  readonly clusterDnsAddresses?: readonly string[]
}
export interface ControllerContext {
  readonly client: Client
  readonly informers: InformerFactory
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly settings?: ControllerSettings
}
export interface RunningController {
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>
}
export interface Controller {
  /** As upstream calls it: deployment-controller, namespace-controller ... */
  readonly name: string
  /** A kind that is not served everywhere: without it the controller does not run. */
  readonly needs?: Pick<Kind, 'group' | 'version' | 'plural'>
  start(context: ControllerContext): RunningController
}

/** The controllers that have something to do where these kinds are served. */
export const controllersFor = (kinds: readonly Kind[], controllers: readonly Controller[]): readonly Controller[] =>
  controllers.filter(({ needs }) => needs === undefined || kinds.some((kind) => serves(kind, needs)))
const serves = (kind: Kind, { group, version, plural }: NonNullable<Controller['needs']>): boolean =>
  kind.plural === plural && kind.group === group && kind.version === version

/** Starts the listed controllers; stop ends all of them. */
export function startControllers(controllers: readonly Controller[], context: ControllerContext): RunningController {
  const running = controllers.map((controller) =>
    controller.start({ ...context, log: context.log.child({ controller: controller.name }) }),
  )
  return {
    async stop() {
      await Promise.all(running.map((controller) => controller.stop()))
    },
  }
}

/** A recorder whose events name `component` as their source. */
export const recorderFor = (context: ControllerContext, component: string): EventRecorder =>
  createEventRecorder({ client: context.client, clock: context.clock, log: context.log, component })
