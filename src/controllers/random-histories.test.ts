// Random histories against every workload controller over a wire that loses requests and answers and breaks watches. What
// must never happen is watched at every change; in the end the cluster is as it was asked to be. A seed that fails becomes
// a test: add it to `knownSeeds`. COX_SEEDS says how many to try.
import { describe, expect, it } from 'vitest'
import { daemonSets } from '../api/apps/daemon-set.ts'
import { deployments } from '../api/apps/deployment.ts'
import { replicaSets } from '../api/apps/replica-set.ts'
import { statefulSets } from '../api/apps/stateful-set.ts'
import { jobs } from '../api/batch/job.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { replicationControllers } from '../api/core/replication-controller.ts'
import { isReason } from '../api/machinery/errors.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { formatTime } from '../api/machinery/time.ts'
import { seededRandom } from '../client/testing/fixtures.ts'
import type { Random } from '../ports/random.ts'
import { type Transport, TransportError, type TransportResponse } from '../ports/transport.ts'
import { daemonSetController } from './daemon-set.ts'
import { deploymentController } from './deployment.ts'
import { isPodTerminal } from './framework/pods.ts'
import { garbageCollector } from './garbage-collector.ts'
import { jobController } from './job.ts'
import { isTracked } from './job-pods.ts'
import { replicaSetController } from './replica-set.ts'
import { replicationControllerController } from './replication-controller.ts'
import { statefulSetController } from './stateful-set.ts'
import { type TestCluster, testCluster } from './testing/cluster.ts'

/** 147: two loops that undid each other's work at full speed while one of them was blind. */
const knownSeeds: readonly number[] = [147]
const count = Number(process.env['COX_SEEDS'] ?? 6)
const first = Number(process.env['COX_FIRST_SEED'] ?? 1)

const controllers = [
  deploymentController,
  replicaSetController,
  replicationControllerController,
  statefulSetController,
  daemonSetController,
  jobController,
  garbageCollector,
]
const nodes = 3

/** Loses requests before they arrive and answers after they were worked, and cuts watches, while `bad` is true. */
function flakyWire(random: Random) {
  const state = { bad: false }
  async function* cut(objects: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    for await (const event of objects) {
      yield event
      if (state.bad && random.float() < 0.02) throw new TransportError('the watch broke')
    }
  }
  const wire = (inner: Transport): Transport => ({
    async send(request): Promise<TransportResponse> {
      if (state.bad && random.float() < 0.05) throw new TransportError('the request was lost')
      const response = await inner.send(request)
      if (state.bad && request.method !== 'GET' && random.float() < 0.05)
        throw new TransportError('the answer was lost')
      const { stream } = response
      if (stream?.kind !== 'objects') return response
      return { ...response, stream: { kind: 'objects', objects: cut(stream.objects) } }
    },
  })
  return { state, wire }
}

const template = (app: string, image: string, restartPolicy?: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'c', image }], ...(restartPolicy ? { restartPolicy } : {}) },
})
type Workload = 'deployment' | 'replicaset' | 'rc' | 'statefulset' | 'daemonset' | 'job'
const kinds: Readonly<Record<Workload, Kind<never>>> = {
  deployment: deployments,
  replicaset: replicaSets,
  rc: replicationControllers,
  statefulset: statefulSets,
  daemonset: daemonSets,
  job: jobs,
} as unknown as Readonly<Record<Workload, Kind<never>>>
const workloads = Object.keys(kinds) as readonly Workload[]
interface Wish {
  readonly workload: Workload
  replicas: number
  image: string
}

class History {
  readonly wishes = new Map<string, Wish>()
  readonly lines: string[] = []
  private readonly cluster: TestCluster
  private readonly random: Random
  constructor(cluster: TestCluster, random: Random) {
    this.cluster = cluster
    this.random = random
  }
  private below(limit: number): number {
    return Math.floor(this.random.float() * limit)
  }
  private resource(workload: Workload) {
    return this.cluster.client.resource(kinds[workload] as unknown as Kind<KubeObject>)
  }
  async step(): Promise<void> {
    const workload = workloads[this.below(workloads.length)] ?? 'deployment'
    const name = `${workload}-${this.below(2)}`
    const wish = this.wishes.get(name)
    const action = this.below(6)
    const line = wish === undefined ? await this.create(workload, name) : await this.change(name, wish, action)
    this.lines.push(`${this.cluster.clock.monotonic()} ${line}`)
  }
  private async create(workload: Workload, name: string): Promise<string> {
    const left = await this.resource(workload).find(name, 'default')
    if (left !== undefined) return `wait for the end of ${name}`
    const replicas = this.below(5)
    const image = 'i:1'
    const selector = workload === 'rc' ? { app: name } : { matchLabels: { app: name } }
    const spec =
      workload === 'job'
        ? { completions: replicas + 1, parallelism: 2, backoffLimit: 1000, template: template(name, image, 'Never') }
        : {
            ...(workload === 'daemonset' ? {} : { replicas }),
            ...(workload === 'statefulset' ? { serviceName: name } : {}),
            selector,
            template: template(name, image),
          }
    await this.resource(workload).create({ metadata: { name, namespace: 'default' }, spec } as never)
    this.wishes.set(name, { workload, replicas, image })
    return `create ${name} ${replicas}`
  }
  private async change(name: string, wish: Wish, action: number): Promise<string> {
    const { workload } = wish
    if (action === 0) {
      this.wishes.delete(name)
      await this.resource(workload).delete(name, 'default', {
        propagationPolicy: this.below(2) === 0 ? 'Background' : 'Foreground',
      })
      return `delete ${name}`
    }
    if (action === 1) return this.killPod()
    if (workload === 'job') return 'nothing'
    if (action < 4 && workload !== 'daemonset') {
      wish.replicas = this.below(6)
      await this.resource(workload).patch(name, 'default', 'merge', { spec: { replicas: wish.replicas } })
      return `scale ${name} to ${wish.replicas}`
    }
    if (workload === 'replicaset' || workload === 'rc') return 'nothing'
    wish.image = `i:${1 + this.below(4)}`
    const containers = [{ name: 'c', image: wish.image }]
    await this.resource(workload).patch(name, 'default', 'strategic', { spec: { template: { spec: { containers } } } })
    return `image of ${name} ${wish.image}`
  }
  private async killPod(): Promise<string> {
    const all = await this.cluster.all(pods, 'default')
    const pod = all[this.below(Math.max(1, all.length))]
    if (pod === undefined) return 'nothing'
    try {
      if (this.below(2) === 0) await this.cluster.client.resource(pods).delete(pod.metadata.name, 'default')
      else if (!isPodTerminal(pod))
        await this.cluster.client.resource(pods).updateStatus({ ...pod, status: { ...pod.status, phase: 'Failed' } })
    } catch (error) {
      if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict') && !isReason(error, 'Invalid')) throw error
    }
    return `kill ${pod.metadata.name}`
  }

  /** What is not yet as it shall be. */
  async missing(): Promise<string | undefined> {
    const all = await this.cluster.all(pods, 'default')
    const going = all.find((pod) => pod.metadata.deletionTimestamp !== undefined)
    if (going !== undefined) return `${going.metadata.name} is still there`
    for (const [name, wish] of this.wishes) {
      const mine = all.filter((pod) => pod.metadata.labels?.['app'] === name)
      const fault = wish.workload === 'job' ? await this.jobFault(name, wish, mine) : this.fault(name, wish, mine)
      if (fault !== undefined) return fault
    }
    const stray = all.find((pod) => !this.wishes.has(pod.metadata.labels?.['app'] ?? ''))
    return stray === undefined ? undefined : `${stray.metadata.name} has no owner`
  }
  private fault(name: string, { workload, replicas, image }: Wish, mine: readonly Pod[]): string | undefined {
    const running = mine.filter((pod) => !isPodTerminal(pod))
    const wanted = workload === 'daemonset' ? nodes : replicas
    const updates = workload !== 'replicaset' && workload !== 'rc'
    const good = running.filter((pod) => !updates || pod.spec.containers[0]?.image === image)
    return running.length === wanted && good.length === wanted
      ? undefined
      : `${name}: ${running.length} pods run, ${good.length} as wished, of ${wanted}`
  }
  private async jobFault(name: string, wish: Wish, mine: readonly Pod[]): Promise<string | undefined> {
    const job = await this.cluster.client.resource(jobs).get(name, 'default')
    const complete = job.status.conditions?.some((c) => c.type === 'Complete' && c.status === 'True') ?? false
    if (!complete) return `${name} is not complete`
    if ((job.status.succeeded ?? 0) < wish.replicas + 1) return `${name} counted ${job.status.succeeded}`
    const tracked = mine.find(isTracked)
    return tracked === undefined ? undefined : `${tracked.metadata.name} still has its finalizer`
  }
}

/** Watches what must never be: more pods than any wish so far, or an end of a Job's pod that is counted twice. */
function watchInvariants(cluster: TestCluster): readonly string[] {
  const violations: string[] = []
  const podCache = cluster.informers.informer(pods)
  /** By Job UID: UIDs of pods that were ever seen succeeded. */
  const succeeded = new Map<string, Set<string>>()
  const controllerUid = (pod: Pod) => pod.metadata.ownerReferences?.find((reference) => reference.controller)?.uid ?? ''
  const note = (pod: Pod) => {
    if (pod.status.phase !== 'Succeeded') return
    const uids = succeeded.get(controllerUid(pod)) ?? new Set()
    succeeded.set(controllerUid(pod), uids.add(pod.metadata.uid))
  }
  podCache.handle({
    add(pod) {
      note(pod)
      const own = [...podCache.list()].filter(
        (other) =>
          controllerUid(other) === controllerUid(pod) &&
          !isPodTerminal(other) &&
          other.metadata.deletionTimestamp === undefined,
      )
      // No wish is above 5, and a rollout may have a quarter more.
      if (own.length > 7) violations.push(`${own.length} pods beside ${pod.metadata.name}`)
    },
    update: note,
  })
  cluster.informers.informer(jobs).handle({
    update(job) {
      const seen = succeeded.get(job.metadata.uid)?.size ?? 0
      if ((job.status.succeeded ?? 0) > seen)
        violations.push(`${job.metadata.name} counts ${job.status.succeeded} of ${seen}`)
    },
  })
  return violations
}

describe('random histories', () => {
  const seeds = [...knownSeeds, ...Array.from({ length: count }, (_, i) => first + i)]
  it.each(seeds)('seed %i ends as it was asked to', async (seed) => {
    const random = seededRandom(seed)
    const { state, wire } = flakyWire(random)
    let cluster: TestCluster | undefined
    const runs = (pod: Pod) => {
      if (pod.spec.restartPolicy !== 'Never') return true
      const at = formatTime(cluster?.clock.now() ?? 0)
      const terminated = { exitCode: 0, finishedAt: at }
      return {
        phase: random.float() < 0.2 ? 'Failed' : 'Succeeded',
        conditions: [],
        containerStatuses: [
          { name: 'c', state: { terminated }, lastState: {}, ready: false, restartCount: 0, image: 'i', imageID: '' },
        ],
      }
    }
    cluster = await testCluster(controllers, { nodes, runs, wire })
    const violations = watchInvariants(cluster)
    const history = new History(cluster, random)
    state.bad = true
    for (let step = 0; step < 40; step++) {
      await history.step()
      await cluster.clock.advance(random.float() < 0.2 ? random.float() * 30_000 : random.float() * 50)
    }
    state.bad = false
    let missing: string | undefined
    for (let round = 0; round < 60; round++) {
      await cluster.advance(20_000)
      missing = await history.missing()
      if (missing === undefined) break
    }
    const story = history.lines.join('\n')
    expect(missing, `${story}\n${missing}`).toBeUndefined()
    expect(violations, story).toEqual([])
    const defects = cluster.log.records.filter((record) => record.level === 'error')
    expect(defects, JSON.stringify(defects.slice(0, 3))).toEqual([])
    await cluster.stop()
  })
})
