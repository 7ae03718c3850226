// Random histories of scaling and rolling out on a cluster whose pods take their time or never become ready, with API servers
// that are restarted. At every change of a pod the bounds are looked at: not too few available, not too many there, ordinals
// in order.
import { daemonSets } from '../../api/apps/daemon-set.ts'
import { deployments } from '../../api/apps/deployment.ts'
import { replicaSets } from '../../api/apps/replica-set.ts'
import { statefulSets } from '../../api/apps/stateful-set.ts'
import { jobs } from '../../api/batch/job.ts'
import { type Pod, pods } from '../../api/core/pod.ts'
import { replicationControllers } from '../../api/core/replication-controller.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { formatTime } from '../../api/machinery/time.ts'
import { seededRandom } from '../../client/testing/fixtures.ts'
import { daemonSetController } from '../daemon-set.ts'
import { deploymentController } from '../deployment.ts'
import { isPodTerminal } from '../framework/pods.ts'
import { garbageCollector } from '../garbage-collector.ts'
import { jobController } from '../job.ts'
import { replicaSetController } from '../replica-set.ts'
import { replicationControllerController } from '../replication-controller.ts'
import { statefulSetController } from '../stateful-set.ts'
import { type TestCluster, testCluster } from './cluster.ts'

const nodes = 4
const controllers = [
  deploymentController,
  replicaSetController,
  replicationControllerController,
  statefulSetController,
  daemonSetController,
  jobController,
  garbageCollector,
]

type Workload = 'deployment' | 'replicaset' | 'rc' | 'statefulset' | 'daemonset' | 'job'
const kinds = {
  deployment: deployments,
  replicaset: replicaSets,
  rc: replicationControllers,
  statefulset: statefulSets,
  daemonset: daemonSets,
  job: jobs,
} as unknown as Readonly<Record<Workload, Kind>>
const workloads = Object.keys(kinds) as readonly Workload[]
/** Images whose pods never become ready. */
const badImage = 'bad'
/** What was asked for counts for so long after it was changed: controllers see it a little later. */
const lagMs = 2000

interface Wish {
  readonly workload: Workload
  image: string
  readonly maxSurge: number
  readonly maxUnavailable: number
  /** Wished numbers of pods, the last is in force; `untilMs` is when it was replaced. */
  readonly replicas: { readonly count: number; untilMs: number }[]
}
const wishedOf = ({ replicas }: Wish, nowMs: number): number[] =>
  replicas.filter(({ untilMs }) => untilMs > nowMs - lagMs).map((one) => one.count)
const latest = ({ replicas }: Wish): number => replicas.at(-1)?.count ?? 0

const isReady = (pod: Pod) =>
  pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
const isActive = (pod: Pod) => !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined
const ordinalOf = (pod: Pod) => Number(/-(\d+)$/.exec(pod.metadata.name)?.[1] ?? Number.NaN)

/** Looks at every change of a pod and notes what must not be. */
class Bounds {
  readonly violations: string[] = []
  /** What was deleted by hand may be missing for a while. */
  readonly excusedUntilMs = new Map<string, number>()
  private readonly cluster: TestCluster
  private readonly wishes: ReadonlyMap<string, Wish>
  private readonly mine = new Map<string, Map<string, Pod>>()
  constructor(cluster: TestCluster, wishes: ReadonlyMap<string, Wish>) {
    this.cluster = cluster
    this.wishes = wishes
    const podCache = cluster.informers.informer(pods)
    podCache.handle({
      add: (pod) => this.changed(pod, undefined),
      update: (pod, old) => this.changed(pod, old),
      delete: (pod) => this.changed(undefined, pod),
    })
  }
  private say(text: string): void {
    this.violations.push(`${this.cluster.clock.monotonic()} ${text}`)
  }
  private changed(pod: Pod | undefined, old: Pod | undefined): void {
    const app = (pod ?? old)?.metadata.labels?.['app'] ?? ''
    const all = this.mine.get(app) ?? new Map<string, Pod>()
    this.mine.set(app, all)
    const availableBefore = [...all.values()].filter((one) => isActive(one) && isReady(one)).length
    const uid = (pod ?? old)?.metadata.uid ?? ''
    if (pod === undefined) all.delete(uid)
    else all.set(uid, pod)
    const wish = this.wishes.get(app)
    if (wish === undefined) return
    const active = [...all.values()].filter(isActive)
    const available = active.filter(isReady).length
    if (pod !== undefined && old === undefined) this.created(app, wish, pod, active)
    if (available < availableBefore) this.dropped(app, wish, available)
  }
  private created(app: string, wish: Wish, pod: Pod, active: readonly Pod[]): void {
    const most = Math.max(...wishedOf(wish, this.cluster.clock.monotonic()))
    const limit = wish.workload === 'daemonset' ? nodes : most + (wish.workload === 'deployment' ? wish.maxSurge : 0)
    // A StatefulSet that waits for a pod below brings it back before it takes those above away: its ordinals say enough.
    if (wish.workload !== 'statefulset' && active.length > limit)
      this.say(`${app}: ${active.length} pods, ${limit} at most`)
    if (wish.workload !== 'statefulset') return
    const ordinals = active.map(ordinalOf)
    if (new Set(ordinals).size !== ordinals.length) this.say(`${app}: an ordinal twice among ${ordinals.join()}`)
    if (ordinalOf(pod) >= most) this.say(`${app}: ordinal ${ordinalOf(pod)} of ${most}`)
    const before = active.filter((one) => ordinalOf(one) < ordinalOf(pod))
    if ((before.length < ordinalOf(pod) || !before.every(isReady)) && !this.excused(app))
      this.say(`${app}: ordinal ${ordinalOf(pod)} before those below it`)
  }
  private excused(app: string): boolean {
    return (this.excusedUntilMs.get(app) ?? 0) > this.cluster.clock.monotonic()
  }
  private dropped(app: string, wish: Wish, available: number): void {
    if (this.excused(app) || wish.workload === 'job') return
    const least = wish.workload === 'daemonset' ? nodes : Math.min(...wishedOf(wish, this.cluster.clock.monotonic()))
    const bound = least - wish.maxUnavailable
    if (available < bound) this.say(`${app}: ${available} available, ${bound} at least`)
  }
}

class History {
  readonly wishes = new Map<string, Wish>()
  readonly lines: string[] = []
  private readonly cluster: TestCluster
  private readonly below: (limit: number) => number
  readonly bounds: Bounds
  constructor(cluster: TestCluster, below: (limit: number) => number) {
    this.cluster = cluster
    this.below = below
    this.bounds = new Bounds(cluster, this.wishes)
  }
  private resource(workload: Workload) {
    return this.cluster.client.resource(kinds[workload])
  }
  async step(): Promise<void> {
    const workload = workloads[this.below(workloads.length)] ?? 'deployment'
    const wish = this.wishes.get(workload)
    const line = wish === undefined ? await this.create(workload) : await this.change(workload, wish)
    this.lines.push(`${this.cluster.clock.monotonic()} ${line}`)
  }
  private async create(workload: Workload): Promise<string> {
    const replicas = 1 + this.below(5)
    const maxSurge = this.below(3)
    const maxUnavailable = maxSurge === 0 ? 1 + this.below(2) : this.below(3)
    const rolling = workload === 'deployment'
    const wish: Wish = {
      workload,
      image: 'good-1',
      maxSurge: rolling ? maxSurge : 0,
      maxUnavailable: rolling ? maxUnavailable : workload === 'replicaset' || workload === 'rc' ? 0 : 1,
      replicas: [{ count: workload === 'job' ? 2 : replicas, untilMs: Number.POSITIVE_INFINITY }],
    }
    this.wishes.set(workload, wish)
    const template = {
      metadata: { labels: { app: workload } },
      spec: {
        containers: [{ name: 'c', image: wish.image }],
        ...(workload === 'job' ? { restartPolicy: 'Never' } : {}),
      },
    }
    const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } }
    const specs: Readonly<Record<Workload, object>> = {
      deployment: { replicas, strategy },
      replicaset: { replicas },
      rc: { replicas },
      statefulset: { replicas, serviceName: 's' },
      daemonset: {},
      job: { completions: replicas, parallelism: 2, backoffLimit: 1000 },
    }
    const labels = { app: workload }
    const selector = workload === 'job' ? {} : { selector: workload === 'rc' ? labels : { matchLabels: labels } }
    const spec = { ...specs[workload], ...selector, template }
    await this.resource(workload).create({ metadata: { name: workload, namespace: 'default' }, spec } as never)
    return `create ${workload} ${replicas} surge ${wish.maxSurge} unavailable ${wish.maxUnavailable}`
  }
  private async change(workload: Workload, wish: Wish): Promise<string> {
    const action = this.below(8)
    if (action === 0) return this.killPod()
    if (action === 1) {
      await this.cluster.restartServer()
      return 'the API server is restarted'
    }
    if (workload === 'job') return 'nothing'
    if (action < 5 && workload !== 'daemonset') {
      const to = this.below(6)
      const last = wish.replicas.at(-1)
      if (last !== undefined) last.untilMs = this.cluster.clock.monotonic()
      wish.replicas.push({ count: to, untilMs: Number.POSITIVE_INFINITY })
      await this.resource(workload).patch(workload, 'default', 'merge', { spec: { replicas: to } })
      return `scale ${workload} to ${to}`
    }
    if (workload === 'replicaset' || workload === 'rc') return 'nothing'
    wish.image = this.below(3) === 0 ? `${badImage}-${this.below(2)}` : `good-${this.below(4)}`
    await this.image(workload, wish.image)
    return `image of ${workload} ${wish.image}`
  }
  private async image(workload: Workload, image: string): Promise<void> {
    const containers = [{ name: 'c', image }]
    await this.resource(workload).patch(workload, 'default', 'strategic', {
      spec: { template: { spec: { containers } } },
    })
  }
  private async killPod(): Promise<string> {
    const all = (await this.cluster.all(pods, 'default')).filter((pod) => pod.metadata.deletionTimestamp === undefined)
    const pod = all[this.below(Math.max(1, all.length))]
    if (pod === undefined) return 'nothing'
    this.bounds.excusedUntilMs.set(pod.metadata.labels?.['app'] ?? '', this.cluster.clock.monotonic() + 120_000)
    await this.cluster.client.resource(pods).delete(pod.metadata.name, 'default')
    return `kill ${pod.metadata.name}`
  }
  /** Every image is one that works; a StatefulSet's broken pods are taken away by hand, as its documentation says. */
  async mend(): Promise<void> {
    for (const [name, wish] of this.wishes) {
      if (!wish.image.startsWith(badImage)) continue
      wish.image = 'good-9'
      await this.image(wish.workload, wish.image)
      this.lines.push(`mend ${name}`)
    }
  }
  /** Also again: a controller that has not seen the new template yet makes the pod from the old one. */
  async removeBroken(): Promise<void> {
    for (const pod of await this.cluster.all(pods, 'default'))
      if (
        pod.metadata.labels?.['app'] === 'statefulset' &&
        pod.spec.containers[0]?.image?.startsWith(badImage) === true
      ) {
        this.bounds.excusedUntilMs.set('statefulset', Number.POSITIVE_INFINITY)
        await this.cluster.client.resource(pods).delete(pod.metadata.name, 'default')
      }
  }
  /** What is not yet as it shall be. */
  async missing(): Promise<string | undefined> {
    const all = await this.cluster.all(pods, 'default')
    for (const [name, wish] of this.wishes) {
      const mine = all.filter((pod) => pod.metadata.labels?.['app'] === name)
      if (wish.workload === 'job') {
        const job = (await this.resource('job').get(name, 'default')) as KubeObject & {
          status: { conditions?: { type: string }[] }
        }
        if (job.status.conditions?.some(({ type }) => type === 'Complete') !== true) return `${name} is not complete`
        continue
      }
      const wanted = wish.workload === 'daemonset' ? nodes : latest(wish)
      const updates = wish.workload !== 'replicaset' && wish.workload !== 'rc'
      const good = mine.filter((pod) => isReady(pod) && (!updates || pod.spec.containers[0]?.image === wish.image))
      if (mine.length !== wanted || good.length !== wanted)
        return `${name}: ${mine.length} pods, ${good.length} as wished, of ${wanted}`
    }
    return undefined
  }
}

/** What a history came to; `missing` is what in the end was not as asked. */
export interface Outcome {
  readonly story: string
  readonly missing: string | undefined
  readonly violations: readonly string[]
}

/** Pods become ready after a while, or never, or end at once where they belong to a Job. */
function fates(
  below: (limit: number) => number,
  clock: () => { readonly monotonicMs: number; readonly nowMs: number },
) {
  const readyAt = new Map<string, number>()
  return (pod: Pod) => {
    const { monotonicMs, nowMs } = clock()
    if (pod.spec.restartPolicy === 'Never') {
      const terminated = { exitCode: 0, finishedAt: formatTime(nowMs) }
      const status = {
        name: 'c',
        state: { terminated },
        lastState: {},
        ready: false,
        restartCount: 0,
        image: 'i',
        imageID: '',
      }
      return { phase: 'Succeeded', conditions: [], containerStatuses: [status] }
    }
    if (pod.spec.containers[0]?.image?.startsWith(badImage) === true) return false
    const atMs = readyAt.get(pod.metadata.uid) ?? monotonicMs + 50 + below(3000)
    readyAt.set(pod.metadata.uid, atMs)
    return atMs <= monotonicMs ? true : atMs - monotonicMs
  }
}

/** Plays the history of a seed; the same seed plays the same one. */
export async function rolloutHistory(seed: number): Promise<Outcome> {
  const random = seededRandom(seed)
  const below = (limit: number) => Math.floor(random.float() * limit)
  let cluster: TestCluster | undefined
  const runs = fates(below, () => ({
    monotonicMs: cluster?.clock.monotonic() ?? 0,
    nowMs: cluster?.clock.now() ?? 0,
  }))
  cluster = await testCluster(controllers, { nodes, runs })
  const history = new History(cluster, below)
  for (let step = 0; step < 40; step++) {
    await history.step()
    await cluster.clock.advance(below(5) === 0 ? below(60_000) : below(4000))
  }
  await history.mend()
  let missing: string | undefined
  for (let round = 0; round < 60; round++) {
    await history.removeBroken()
    await cluster.advance(20_000)
    missing = await history.missing()
    if (missing === undefined) break
  }
  await cluster.stop()
  return { story: history.lines.join('\n'), missing, violations: history.bounds.violations }
}
