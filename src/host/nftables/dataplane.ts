// The Dataplane on nftables: one table of ours in family inet. A packet meets a constant number of lookups whatever the
// number of services, and a change is one transaction that names what changed and nothing else: the kernel takes it whole
// or not at all. Small ones go to an nft that waits for them, the others to one of their own, whose memory goes with it.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createTurns } from '../../client/turns.ts'
import type { Dataplane, DataplaneState, Endpoint, PolicyRule, ServiceRule } from '../../ports/dataplane.ts'
import type { Log } from '../../ports/log.ts'
import type { LinkAddresses } from '../link-addresses.ts'
import { listeningPorts, listeningScript } from '../listening-ports.ts'
import type { Shell } from '../shell.ts'
import { canonicalRanges } from './cidrs.ts'
import { type PolicyTexts, policyTexts } from './policies.ts'
import { nftSession } from './session.ts'
import { type ServiceText, serviceText } from './services.ts'
import { skeleton } from './table.ts'

export interface NftablesOptions {
  /** Table name; unique to this cluster on the machine, letters, digits and underscores. */
  readonly table: string
  readonly log: Log
  /** Starts nft and conntrack without stopping our event loop. */
  readonly shell: Shell
  /** Puts announced addresses where the link's neighbours find them; without it they are announced by somebody else. */
  readonly links?: LinkAddresses
  /** Runs commands inside this network namespace (`ip netns`), for several nodes on one machine. */
  readonly netns?: string
}

/** What the kernel holds. */
interface Held {
  readonly services: ReadonlyMap<string, ServiceText>
  /** What `policies` is the text of. */
  readonly policyRules: readonly PolicyRule[]
  readonly policies: PolicyTexts
  readonly sets: ReadonlyMap<string, readonly string[]>
}
const nothing: Held = {
  services: new Map(),
  policyRules: [],
  policies: { chains: new Map(), sets: new Map() },
  sets: new Map(),
}
interface Flow {
  readonly rule: ServiceRule
  readonly endpoint: Endpoint
}

const sameLines = (a: readonly string[], b: readonly string[]) =>
  a === b || (a.length === b.length && a.every((l, i) => l === b[i]))
/** A change of more characters gets an nft of its own. */
const maxSessionChange = 32_768
/** Elements that one command carries: long lines cost memory, short ones time. */
const perCommand = 5000

/** The lines of one transaction, in an order that never refers to what is not there: declare, fill, map, drop. */
class Transaction {
  private readonly table: string
  private readonly declare: string[] = []
  private readonly fill: string[] = []
  private readonly removed = new Map<string, string[]>()
  private readonly added = new Map<string, string[]>()
  private readonly drop: string[] = []
  constructor(table: string) {
    this.table = table
  }
  set(name: string, body: string): void {
    this.declare.push(`add set inet ${this.table} ${name} { ${body} }`)
  }
  /** Fills a new chain, or one that is there anew. */
  chain(name: string, lines: readonly string[], isNew: boolean): void {
    if (isNew) this.declare.push(`add chain inet ${this.table} ${name}`)
    else this.fill.push(`flush chain inet ${this.table} ${name}`)
    for (const line of lines) this.fill.push(`add rule inet ${this.table} ${name} ${line}`)
  }
  flush(set: string): void {
    this.fill.push(`flush set inet ${this.table} ${set}`)
  }
  add(set: string, element: string): void {
    push(this.added, set, element)
  }
  remove(set: string, element: string): void {
    push(this.removed, set, element)
  }
  /** Chains that may lead to each other: emptied before the first goes. */
  dropChains(names: readonly string[]): void {
    for (const name of names) this.drop.unshift(`flush chain inet ${this.table} ${name}`)
    for (const name of names) this.drop.push(`delete chain inet ${this.table} ${name}`)
  }
  dropSet(name: string): void {
    this.drop.push(`delete set inet ${this.table} ${name}`)
  }
  get lines(): readonly string[] {
    const commands = (verb: string, elements: ReadonlyMap<string, readonly string[]>) =>
      [...elements].flatMap(([set, list]) =>
        Array.from({ length: Math.ceil(list.length / perCommand) }, (_, i) => {
          const part = list.slice(i * perCommand, (i + 1) * perCommand)
          return `${verb} element inet ${this.table} ${set} { ${part.join(', ')} }`
        }),
      )
    return [
      ...this.declare,
      ...this.fill,
      ...commands('delete', this.removed),
      ...commands('add', this.added),
      ...this.drop,
    ]
  }
}
function push(into: Map<string, string[]>, key: string, value: string): void {
  const list = into.get(key)
  if (list === undefined) into.set(key, [value])
  else list.push(value)
}

const noElements: ReadonlyMap<string, string> = new Map()

function changeService(t: Transaction, old: ServiceText | undefined, next: ServiceText | undefined): void {
  if (old === next) return
  for (const [name, body] of next?.sets ?? []) if (!old?.sets.has(name)) t.set(name, body)
  for (const [name, lines] of next?.chains ?? []) {
    const before = old?.chains.get(name)
    if (before === undefined || !sameLines(before, lines)) t.chain(name, lines, before === undefined)
  }
  for (const map of new Set([...(old?.elements.keys() ?? []), ...(next?.elements.keys() ?? [])])) {
    const before = old?.elements.get(map) ?? noElements
    const after = next?.elements.get(map) ?? noElements
    for (const [key, value] of before) if (after.get(key) !== value) t.remove(map, `${key} : ${value}`)
    for (const [key, value] of after) if (before.get(key) !== value) t.add(map, `${key} : ${value}`)
  }
  t.dropChains([...(old?.chains.keys() ?? [])].filter((name) => !next?.chains.has(name)))
  for (const name of old?.sets.keys() ?? []) if (!next?.sets.has(name)) t.dropSet(name)
}

/** UDP flows that lead to endpoints which the service has no more. */
function vanishedFlows(old: ServiceText, next: ServiceText | undefined): Flow[] {
  if (old.rule.protocol !== 'UDP' || old === next) return []
  const endpointsOf = (rule: ServiceRule | undefined) => [
    ...(rule?.internalEndpoints ?? []),
    ...(rule?.externalEndpoints ?? []),
  ]
  const kept = new Set(endpointsOf(next?.rule).map((e) => e.ip))
  const gone = new Map(endpointsOf(old.rule).flatMap((e) => (kept.has(e.ip) ? [] : [[e.ip, e]])))
  return [...gone.values()].map((endpoint) => ({ rule: old.rule, endpoint }))
}

function changeMembers(
  t: Transaction,
  name: string,
  old: readonly string[],
  next: readonly string[],
  interval: boolean,
): void {
  if (sameLines(old, next)) return
  if (interval) {
    if (old.length > 0) t.flush(name)
    for (const member of next) t.add(name, member)
    return
  }
  const before = new Set(old)
  const after = new Set(next)
  for (const member of before) if (!after.has(member)) t.remove(name, member)
  for (const member of after) if (!before.has(member)) t.add(name, member)
}

function changePolicies(t: Transaction, old: PolicyTexts, next: PolicyTexts): void {
  if (old === next) return
  for (const [name, { body, members, interval }] of next.sets) {
    const before = old.sets.get(name)
    if (before === undefined) t.set(name, body)
    changeMembers(t, name, before?.members ?? [], members, interval)
  }
  for (const [key, { name, lines, map, podIP }] of next.chains) {
    const before = old.chains.get(key)
    if (before !== undefined && sameLines(before.lines, lines)) continue
    t.chain(name, lines, before === undefined)
    if (before === undefined) t.add(map, `${podIP} : goto ${name}`)
  }
  for (const [key, { name, map, podIP }] of old.chains)
    if (!next.chains.has(key)) {
      t.remove(map, `${podIP} : goto ${name}`)
      t.dropChains([name])
    }
  for (const name of old.sets.keys()) if (!next.sets.has(name)) t.dropSet(name)
}

/** Addresses of a rule's endpoints on this node; looked for once, because most rules of a state were in the last one. */
const localsOf = new WeakMap<ServiceRule, readonly string[]>()
function localAddresses(rule: ServiceRule): readonly string[] {
  let found = localsOf.get(rule)
  if (found === undefined) {
    const all = [...rule.internalEndpoints, ...rule.externalEndpoints]
    found = [...new Set(all.filter(({ local }) => local).map(({ ip }) => ip))]
    localsOf.set(rule, found)
  }
  return found
}

function plainSets(state: DataplaneState): Map<string, readonly string[]> {
  const out = new Map<string, readonly string[]>()
  const split = (name: string, values: readonly string[]) => {
    for (const f of [4, 6] as const) out.set(`${name}${f}`, canonicalRanges(values, f).toSorted())
  }
  split('pods', state.podCidrs)
  split('clusters', state.serviceCidrs)
  split('own', state.ownAddresses)
  split('portaddresses', state.nodePortAddresses)
  const local = new Set<string>()
  for (const rule of state.services) for (const ip of localAddresses(rule)) local.add(ip)
  const pairs = [...local].sort()
  for (const f of [4, 6] as const)
    out.set(
      `hairpin${f}`,
      pairs.filter((ip) => ip.includes(':') === (f === 6)).map((ip) => `${ip} . ${ip}`),
    )
  return out
}

/** A list of peers of more entries is read in a turn of its own, so that a policy of a million stops nothing else. */
const longList = 10_000
async function readLongLists(policies: readonly PolicyRule[]): Promise<void> {
  const long = new Set(
    policies.flatMap(({ allow }) => allow.map(({ peers }) => peers).filter((p) => p.length > longList)),
  )
  for (const peers of long) {
    canonicalRanges(peers, 4)
    canonicalRanges(peers, 6)
    await nextTurn()
  }
}

/** What turns `held` into `state`, and what is held then. */
function plan(table: string, held: Held, state: DataplaneState) {
  const t = new Transaction(table)
  const services = new Map<string, ServiceText>()
  const vanished: Flow[] = []
  for (const rule of state.services) {
    const key = `${rule.family}/${rule.key}`
    const old = held.services.get(key)
    const next = old?.rule === rule ? old : serviceText(rule, old)
    services.set(key, next)
    if (old === next) continue
    changeService(t, old, next)
    if (old !== undefined) vanished.push(...vanishedFlows(old, next))
  }
  for (const [key, old] of held.services)
    if (!services.has(key)) {
      changeService(t, old, undefined)
      vanished.push(...vanishedFlows(old, undefined))
    }
  const policies = state.policies === held.policyRules ? held.policies : policyTexts(state.policies)
  changePolicies(t, held.policies, policies)
  const sets = plainSets(state)
  for (const [name, members] of sets)
    changeMembers(t, name, held.sets.get(name) ?? [], members, !name.startsWith('hairpin'))
  return { lines: t.lines, next: { services, policyRules: state.policies, policies, sets }, vanished }
}

/** Answers a Dataplane; nothing is touched before the first apply. */
export function nftablesDataplane(options: NftablesOptions): Dataplane {
  const { table } = options
  const prefix = options.netns === undefined ? [] : ['ip', 'netns', 'exec', options.netns]
  const tool = (command: readonly string[], input = '') => {
    const [file = '', ...args] = [...prefix, ...command]
    return options.shell.run(file, args, input)
  }
  const nft = (script: string) => tool(['nft', '-f', '-'], script)
  const session = nftSession(prefix)
  /** Undefined while it is in doubt: the next apply begins with an empty table. */
  let held: Held | undefined
  const inTurn = createTurns()

  async function applyOnce(state: DataplaneState): Promise<void> {
    await readLongLists(state.policies)
    const { lines, next, vanished } = plan(table, held ?? nothing, state)
    if (held === undefined || lines.length > 0) await change(lines, next, vanished)
    // Announced when the rules stand, so that no first packet is refused.
    await options.links?.apply(state.announcedAddresses)
  }
  async function change(lines: readonly string[], next: Held, vanished: readonly Flow[]): Promise<void> {
    const isSmall = held !== undefined && lines.reduce((sum, line) => sum + line.length, 0) <= maxSessionChange
    if (!isSmall || (await session.run(lines)) === 'unable')
      await nft(`${held === undefined ? skeleton(table) : ''}${lines.join('\n')}\n`)
    held = next
    session.begin()
    await forgetUdp(vanished)
  }

  /** A UDP flow outlives its endpoint in the connection table: without this it would be sent to nobody for minutes. */
  async function forgetUdp(vanished: readonly Flow[]): Promise<void> {
    for (const { rule, endpoint } of vanished) {
      const destinations = [
        ...(rule.clusterIP === undefined ? [] : [rule.clusterIP]),
        ...rule.externalIPs,
        ...rule.loadBalancerIPs,
      ]
      for (const destination of destinations)
        await conntrackDelete(['--orig-dst', destination, '--reply-src', endpoint.ip])
      if (rule.nodePort !== undefined)
        await conntrackDelete(['--orig-port-dst', String(rule.nodePort), '--reply-src', endpoint.ip])
    }
  }
  async function conntrackDelete(filter: readonly string[]): Promise<void> {
    try {
      await tool(['conntrack', '-D', '-p', 'udp', ...filter])
    } catch (error) {
      // conntrack exits 1 when nothing matched ("0 flow entries have been deleted").
      const message = error instanceof Error ? error.message : String(error)
      if (!message.includes('0 flow entries')) options.log.warn('stale UDP flows were not removed', { error: message })
    }
  }

  return {
    apply: (state) =>
      inTurn(() =>
        applyOnce(state).catch((error: unknown) => {
          // The next apply starts from a table whose content is not in doubt.
          held = undefined
          throw error
        }),
      ),
    clear: () =>
      inTurn(async () => {
        await nft(`table inet ${table} {}\ndelete table inet ${table}\n`)
        held = undefined
        session.end()
        await options.links?.apply([])
      }),
    heldPorts: async () => listeningPorts(await tool(['sh', '-c', listeningScript])),
  }
}
