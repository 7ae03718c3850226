// API priority and fairness: every request from outside gets a seat of its priority level before it is authorized, or
// waits for one in a queue of its flow. Rebuilt whenever the objects change; levels keep their queues over a rebuild.
// Seats are dealt out anew when somebody waits, and given back while nobody does: an idle server has no timer running.
// (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/, KEP-1040)
import type { FlowSchema, PriorityLevelConfiguration } from '../../api/flowcontrol/flow-control.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { ApiResponse, Headers, UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'
import { longSubresources } from '../long-running.ts'
import { classify, type CompiledSchema, compileSchemas, flowOf } from './classify.ts'
import { boundsOf, planLimits, type SeatBounds } from './limits.ts'
import { PriorityLevel, type Seat } from './priority-level.ts'

/** Between two plans of who borrows from whom. */
const replanMs = 10_000
/** The first plan after a calm is made sooner. */
const firstPlanMs = 100
const objectsPerSeat = 100
const maxListSeats = 10

interface Level {
  readonly uid: string
  readonly queue: PriorityLevel
  readonly exempt: boolean
  bounds: SeatBounds
  smooth: number
}
interface Flow extends CompiledSchema {
  readonly level: Level
  dispatched: number
  /** An answer's headers with our own, by the answer's. */
  readonly headers: WeakMap<Headers, Headers>
}
/** A request's seat, and whose it is. */
export interface Ticket {
  readonly flow: Flow
  /** Undefined for exempt requests. */
  readonly seat: Seat | undefined
}

export class FlowControl {
  private readonly clock: Clock
  private readonly serverSeats: number
  private readonly levels = new Map<string, Level>()
  private flows: readonly Flow[] = []
  private timer: Timer | undefined
  private plannedAtMs = Number.NEGATIVE_INFINITY

  /** `serverSeats` is how many requests the server works on at once. */
  constructor(clock: Clock, serverSeats: number) {
    this.clock = clock
    this.serverSeats = serverSeats
  }

  /** Takes over what the objects say now. */
  configure(schemas: readonly FlowSchema[], configurations: readonly PriorityLevelConfiguration[]): void {
    const bounds = boundsOf(configurations, this.serverSeats)
    const gone = new Set(this.levels.keys())
    configurations.forEach((configuration, i) => {
      const { name, uid } = configuration.metadata
      gone.delete(name)
      const known = this.levels.get(name)
      const queue = known?.queue ?? new PriorityLevel(name, this.clock, () => this.plan())
      const { type, limited } = configuration.spec
      const queuing = limited?.limitResponse.type === 'Queue' ? limited.limitResponse.queuing : undefined
      queue.configure(
        queuing === undefined
          ? undefined
          : {
              queues: queuing.queues ?? 64,
              handSize: queuing.handSize ?? 8,
              queueLengthLimit: queuing.queueLengthLimit ?? 50,
            },
      )
      const level: Level = {
        uid,
        queue,
        exempt: type === 'Exempt',
        bounds: bounds[i] ?? { nominal: 0, min: 0, max: 0 },
        smooth: known?.smooth ?? 0,
      }
      this.levels.set(name, level)
      queue.setLimit(Math.max(1, level.bounds.nominal))
    })
    for (const name of gone) {
      this.levels.get(name)?.queue.close()
      this.levels.delete(name)
    }
    const before = new Map(this.flows.map((flow) => [flow.schema.metadata.name, flow.dispatched]))
    this.flows = compileSchemas(schemas).flatMap((compiled) => {
      const level = this.levels.get(compiled.schema.spec.priorityLevelConfiguration.name)
      const dispatched = before.get(compiled.schema.metadata.name) ?? 0
      return level === undefined ? [] : [{ ...compiled, level, dispatched, headers: new WeakMap() }]
    })
    this.plannedAtMs = Number.NEGATIVE_INFINITY
  }

  /** A seat for a request, at once where there is one. Undefined for requests that are not counted (long-running ones,
   * and all before the objects are there). Rejects with TooManyRequests. */
  enter(server: ServerContext, user: UserInfo, info: RequestInfo): Ticket | Promise<Ticket> | undefined {
    if (info.verb === 'proxy' || longSubresources.has(info.subresource)) return undefined
    const flow = classify(this.flows, user, info)
    if (flow === undefined) return undefined
    const { level } = flow
    flow.dispatched++
    if (level.exempt) return { flow, seat: undefined }
    const seat = level.queue.enter(flowOf(flow, user, info), widthOf(server, info))
    return seat instanceof Promise ? seat.then((given) => ({ flow, seat: given })) : { flow, seat }
  }

  /** Levels by name, for metrics. */
  *report() {
    for (const [name, { queue, bounds, exempt }] of this.levels) {
      yield { name, nominal: bounds.nominal, exempt, refused: queue.refused, ...queue.seats }
    }
  }
  get dispatched(): readonly { readonly schema: string; readonly level: string; readonly count: number }[] {
    return this.flows.map(({ schema, level, dispatched }) => ({
      schema: schema.metadata.name,
      level: level.queue.name,
      count: dispatched,
    }))
  }

  close(): void {
    this.timer?.cancel()
    this.timer = undefined
    for (const { queue } of this.levels.values()) queue.close()
  }

  /** Somebody waits: seats are dealt out anew, soon after a calm and every ten seconds while it lasts. */
  private plan(): void {
    if (this.timer !== undefined) return
    const wait = Math.max(firstPlanMs, this.plannedAtMs + replanMs - this.clock.monotonic())
    this.timer = this.clock.after(wait, () => {
      this.timer = undefined
      this.replan()
    })
  }
  private replan(): void {
    this.plannedAtMs = this.clock.monotonic()
    const levels = [...this.levels.values()].filter((level) => !level.exempt)
    const demands = levels.map((level) => {
      const high = level.queue.takeHighDemand()
      level.smooth = Math.max(high, (level.smooth + high) / 2)
      return { ...level.bounds, high, smooth: level.smooth }
    })
    const wanting = demands.some(({ high, nominal }) => high > nominal)
    const limits = wanting ? planLimits(demands, this.serverSeats) : demands.map(({ nominal }) => Math.max(1, nominal))
    levels.forEach((level, i) => level.queue.setLimit(limits[i] ?? 1))
    if (wanting) this.plan()
  }
}

/** Seats that a request takes up: long lists are work for several. */
function widthOf(server: ServerContext, { verb, group, version, resource, query }: RequestInfo): number {
  if (verb !== 'list') return 1
  const size = server.resources.get(group, version, resource)?.storage.collection.size ?? 0
  if (size <= objectsPerSeat) return 1
  const limit = query.size === 0 ? 0 : Number(query.get('limit') ?? 0)
  const objects = limit > 0 ? Math.min(limit, size) : size
  return Math.max(1, Math.min(maxListSeats, Math.ceil(objects / objectsPerSeat)))
}

/** Says in the answer where the request was counted. Most answers share one set of headers: so do these. */
export function withFlowHeaders(response: ApiResponse, { flow }: Ticket): ApiResponse {
  let headers = flow.headers.get(response.headers)
  if (headers === undefined) {
    headers = {
      ...response.headers,
      'x-kubernetes-pf-flowschema-uid': flow.schema.metadata.uid,
      'x-kubernetes-pf-prioritylevel-uid': flow.level.uid,
    }
    flow.headers.set(response.headers, headers)
  }
  if (response.kind !== 'bytes' || response.rest !== undefined) return { ...response, headers }
  return { kind: 'bytes', status: response.status, headers, body: response.body }
}
