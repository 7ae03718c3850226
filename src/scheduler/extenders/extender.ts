// A webhook that takes part in scheduling: it filters nodes, scores them, agrees to victims of preemption, or binds pods
// (https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/#Extender). What is sent and answered are Go's names of
// the fields of extender/v1, and as Go does, answers are read whatever the case of their names.
import type { Node } from '../../api/core/node.ts'
import type { Clock } from '../../ports/clock.ts'
import { type Outgoing, OutgoingError, type OutgoingTarget, readWhole } from '../../ports/outgoing.ts'
import type { Victims } from '../plugins/preemption-choice.ts'
import type { ResourceNames } from '../state/amounts.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

export interface ExtenderSettings {
  readonly urlPrefix: string
  /** Each verb is appended to the prefix; what is absent is not asked. */
  readonly filterVerb?: string
  readonly prioritizeVerb?: string
  readonly preemptVerb?: string
  readonly bindVerb?: string
  /** Its scores, 0 to 10, count this many times as much as those of plugins. */
  readonly weight?: number
  /** Default 5 s. */
  readonly timeoutMs?: number
  /** It knows the nodes: only their names are sent. */
  readonly nodeCacheCapable?: boolean
  /** Only pods that ask for one of these are sent; all where there are none. */
  readonly managedResources?: readonly string[]
  /** Where it cannot be asked, scheduling goes on without it. */
  readonly ignorable?: boolean
  readonly tls?: Pick<OutgoingTarget, 'insecure' | 'serverName' | 'caPem' | 'client'>
}
export interface ExtenderDependencies {
  readonly outgoing: Outgoing
  readonly clock: Clock
  readonly resources: ResourceNames
  /** Ends calls under way. */
  readonly signal: AbortSignal
}

/** Nodes that it refuses, by name, with its words. */
export type Refused = ReadonlyMap<string, { readonly message: string; readonly hopeless: boolean }>
/** An answer that cannot be used, or none. */
export class ExtenderError extends Error {}

const defaultTimeoutMs = 5000
const maxAnswerBytes = 64 * 1024 * 1024
/** Scores of extenders go to 10, those of plugins to 100. */
const scoreScale = 10

type Fields = ReadonlyMap<string, unknown>
const fieldsOf = (value: unknown): Fields =>
  new Map(
    typeof value === 'object' && value !== null
      ? Object.entries(value).map(([name, v]) => [name.toLowerCase(), v])
      : [],
  )
const entriesOf = (value: unknown): [string, unknown][] =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : []
const listOf = (value: unknown): readonly unknown[] | undefined => (Array.isArray(value) ? value : undefined)
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

export class Extender {
  readonly name: string
  readonly ignorable: boolean
  readonly filters: boolean
  readonly prioritizes: boolean
  readonly preempts: boolean
  readonly binds: boolean
  private readonly settings: ExtenderSettings
  private readonly needs: ExtenderDependencies
  private readonly managed: ReadonlySet<number>
  private readonly base: URL

  constructor(settings: ExtenderSettings, needs: ExtenderDependencies) {
    this.name = settings.urlPrefix
    this.settings = settings
    this.needs = needs
    this.base = new URL(settings.urlPrefix)
    this.ignorable = settings.ignorable === true
    this.filters = Boolean(settings.filterVerb)
    this.prioritizes = Boolean(settings.prioritizeVerb)
    this.preempts = Boolean(settings.preemptVerb)
    this.binds = Boolean(settings.bindVerb)
    this.managed = new Set((settings.managedResources ?? []).map((name) => needs.resources.idOf(name)))
  }

  isInterestedIn({ pod, requests }: PodInfo): boolean {
    if (this.managed.size === 0 || requests.ids.some((id) => this.managed.has(id))) return true
    const { resources } = this.needs
    return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(({ resources: asked }) =>
      [...Object.keys(asked?.requests ?? {}), ...Object.keys(asked?.limits ?? {})].some((name) =>
        this.managed.has(resources.idOf(name)),
      ),
    )
  }

  /** The nodes that it lets pass, in their order, and why not the others. Throws ExtenderError. */
  async filter(
    pod: PodInfo,
    nodes: readonly NodeInfo[],
  ): Promise<{ readonly passed: readonly NodeInfo[]; readonly refused: Refused }> {
    const answer = await this.call(this.settings.filterVerb, this.args(pod, nodes))
    const error = textOf(answer.get('error'))
    if (error !== '') throw new ExtenderError(error)
    const refused = new Map<string, { readonly message: string; readonly hopeless: boolean }>()
    for (const [field, hopeless] of [
      ['failednodes', false],
      ['failedandunresolvablenodes', true],
    ] as const)
      for (const [name, message] of entriesOf(answer.get(field)))
        refused.set(name, { message: textOf(message), hopeless })
    const names = listOf(this.settings.nodeCacheCapable === true ? answer.get('nodenames') : undefined)?.map(textOf)
    const items = listOf(fieldsOf(answer.get('nodes')).get('items')) as readonly Pick<Node, 'metadata'>[] | undefined
    const kept = names ?? items?.map(({ metadata }) => metadata.name)
    if (kept === undefined) return { passed: [], refused }
    const sent = new Set(nodes.map(({ name }) => name))
    const stranger = kept.find((name) => !sent.has(name))
    if (stranger !== undefined)
      throw new ExtenderError(
        `extender "${this.name}" claims a filtered node "${stranger}" which is not found in the input node list`,
      )
    const passed = new Set(kept)
    return { passed: nodes.filter(({ name }) => passed.has(name) && !refused.has(name)), refused }
  }

  /** What each node's score grows by, on the scale of weighted plugins. Throws ExtenderError. */
  async prioritize(pod: PodInfo, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>> {
    const answer = await this.post(this.settings.prioritizeVerb, this.args(pod, nodes))
    const scores = new Map<string, number>()
    for (const entry of listOf(answer) ?? []) {
      const one = fieldsOf(entry)
      scores.set(textOf(one.get('host')), Number(one.get('score') ?? 0) * (this.settings.weight ?? 1) * scoreScale)
    }
    return scores
  }

  /** Of what would have to leave each node, what it agrees to. Throws ExtenderError. */
  async preempt(pod: PodInfo, candidates: readonly Victims[]): Promise<readonly Victims[]> {
    const { nodeCacheCapable, preemptVerb } = this.settings
    const full = candidates.map(({ nodeName, pods, violations }) => [
      nodeName,
      { Pods: pods.map((one) => one.pod), NumPDBViolations: violations },
    ])
    const meta = candidates.map(({ nodeName, pods, violations }) => [
      nodeName,
      { Pods: pods.map(({ uid }) => ({ UID: uid })), NumPDBViolations: violations },
    ])
    const answer = await this.call(preemptVerb, {
      Pod: pod.pod,
      NodeNameToVictims: nodeCacheCapable === true ? null : Object.fromEntries(full),
      NodeNameToMetaVictims: nodeCacheCapable === true ? Object.fromEntries(meta) : null,
    })
    return entriesOf(answer.get('nodenametometavictims')).map(([nodeName, value]) => {
      const victims = fieldsOf(value)
      const offered = candidates.find((one) => one.nodeName === nodeName)
      const wanted = new Set((listOf(victims.get('pods')) ?? []).map((one) => textOf(fieldsOf(one).get('uid'))))
      const pods = offered?.pods.filter(({ uid }) => wanted.has(uid)) ?? []
      if (offered === undefined || pods.length !== wanted.size)
        throw new ExtenderError(
          `extender: ${this.name} claims to preempt pods on node "${nodeName}" that were not offered`,
        )
      return { nodeName, pods, violations: Number(victims.get('numpdbviolations') ?? 0) }
    })
  }

  /** Makes it bind the pod. Throws ExtenderError. */
  async bind({ name, namespace, uid }: PodInfo, nodeName: string): Promise<void> {
    const answer = await this.call(this.settings.bindVerb, {
      PodName: name,
      PodNamespace: namespace,
      PodUID: uid,
      Node: nodeName,
    })
    const error = textOf(answer.get('error'))
    if (error !== '') throw new ExtenderError(error)
  }

  private args(pod: PodInfo, nodes: readonly NodeInfo[]): unknown {
    return this.settings.nodeCacheCapable === true
      ? { Pod: pod.pod, Nodes: null, NodeNames: nodes.map(({ name }) => name) }
      : { Pod: pod.pod, Nodes: { metadata: {}, items: nodes.map(({ node }) => node) }, NodeNames: null }
  }
  private async call(verb: string | undefined, body: unknown): Promise<Fields> {
    return fieldsOf(await this.post(verb, body))
  }
  /** Boundary: whatever goes wrong on the way is an ExtenderError. */
  private async post(verb: string | undefined, body: unknown): Promise<unknown> {
    const { outgoing, clock, signal } = this.needs
    const { protocol, hostname, port } = this.base
    const path = `${this.base.pathname.replace(/\/+$/, '')}/${(verb ?? '').replace(/^\/+/, '')}`
    const url = `${this.base.origin}${path}`
    const expiry = new AbortController()
    const { timeoutMs = defaultTimeoutMs } = this.settings
    const timer = clock.after(timeoutMs, () => expiry.abort())
    const scheme = protocol === 'https:' ? 'https' : 'http'
    try {
      const response = await outgoing.send(
        {
          scheme,
          host: hostname.replace(/^\[|\]$/g, ''),
          port: port === '' ? (scheme === 'https' ? 443 : 80) : Number(port),
          ...(scheme === 'https' ? this.settings.tls : {}),
        },
        {
          method: 'POST',
          path,
          headers: { 'content-type': 'application/json', accept: 'application/json' },
          body: new TextEncoder().encode(JSON.stringify(body)),
          signal: AbortSignal.any([signal, expiry.signal]),
        },
      )
      const bytes = await readWhole(response.body, maxAnswerBytes)
      if (response.status !== 200)
        throw new ExtenderError(`failed ${verb} with extender at URL ${url}, code ${response.status}`)
      return JSON.parse(new TextDecoder().decode(bytes)) as unknown
    } catch (error) {
      if (error instanceof ExtenderError) throw error
      if (expiry.signal.aborted)
        throw new ExtenderError(`Post "${url}": context deadline exceeded (no answer within ${timeoutMs} ms)`)
      if (error instanceof OutgoingError) throw new ExtenderError(`Post "${url}": ${error.message}`)
      if (error instanceof SyntaxError) throw new ExtenderError(`${url}: the answer is not JSON: ${error.message}`)
      throw error
    } finally {
      timer.cancel()
    }
  }
}
