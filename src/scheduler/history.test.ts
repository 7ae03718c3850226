// Whatever happens to pods and nodes: no node is ever overfull, no wish is broken at the moment of placing, and in the end
// no pod waits that would fit. The last is what queueing hints could get wrong: a pod that no event wakes.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodes } from '../api/core/node.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { priorityClasses } from '../api/scheduling/priority-class.ts'
import { ApiError } from '../api/machinery/errors.ts'
import type { Draft } from '../api/machinery/schema.ts'
import type { Input } from '../client/client.ts'
import { requesting, type SchedulerCluster, schedulerCluster } from './testing/cluster.ts'

const zoneKey = 'topology.kubernetes.io/zone'
const labelSelector = { matchLabels: { app: 'a' } }
type PodChange = (pod: Draft<Input<Pod>>) => void
const spec =
  (more: object): PodChange =>
  (pod) =>
    void Object.assign(pod.spec, more)
const hostPort: PodChange = (pod) => {
  const [container] = pod.spec.containers
  if (container !== undefined) container.ports = [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }]
}
const wishes: readonly PodChange[] = [
  () => {},
  spec({ nodeSelector: { disk: 'ssd' } }),
  spec({ tolerations: [{ key: 'k', operator: 'Exists' }] }),
  spec({
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: zoneKey, whenUnsatisfiable: 'DoNotSchedule', labelSelector },
    ],
  }),
  spec({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector }],
      },
    },
  }),
  spec({
    affinity: {
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: zoneKey, labelSelector }] },
    },
  }),
  hostPort,
  hostPort,
]

const step = fc.oneof(
  fc.record({
    type: fc.constant('pod' as const),
    wish: fc.nat(wishes.length - 1),
    app: fc.constantFrom('a', 'b'),
    cpu: fc.constantFrom('500m', '1', '2', '3'),
    priority: fc.constantFrom('', '', '', 'high'),
  }),
  fc.record({ type: fc.constant('delete' as const), at: fc.nat(30) }),
  fc.record({ type: fc.constant('relabel' as const), at: fc.nat(30), app: fc.constantFrom('a', 'b') }),
  fc.record({ type: fc.constant('finish' as const), at: fc.nat(30) }),
  fc.record({
    type: fc.constant('node' as const),
    node: fc.nat(3),
    zone: fc.constantFrom('z1', 'z2', undefined),
    disk: fc.constantFrom('ssd', 'hdd'),
    tainted: fc.boolean(),
    cordoned: fc.boolean(),
    cpu: fc.constantFrom('2', '4'),
  }),
  fc.record({ type: fc.constant('drop' as const), node: fc.nat(3) }),
  fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(0, 500, 3000) }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

class History {
  private readonly c: SchedulerCluster
  private serial = 0
  private readonly names: string[] = []
  constructor(c: SchedulerCluster) {
    this.c = c
  }
  async play(s: Step): Promise<void> {
    const { c } = this
    switch (s.type) {
      case 'pod': {
        const name = `p${++this.serial}`
        this.names.push(name)
        await c.pod(name, (pod) => {
          requesting({ cpu: s.cpu })(pod)
          pod.metadata.labels = { app: s.app }
          pod.spec.terminationGracePeriodSeconds = 0
          if (s.priority !== '') pod.spec.priorityClassName = s.priority
          wishes[s.wish]?.(pod)
        })
        return
      }
      case 'delete':
        return this.onPod(s.at, (name) => c.client.resource(pods).delete(name, 'default', { gracePeriodSeconds: 0 }))
      case 'relabel':
        return this.onPod(s.at, (name) =>
          c.client.resource(pods).patch(name, 'default', 'merge', { metadata: { labels: { app: s.app } } }),
        )
      case 'finish':
        return this.onPod(s.at, async (name) => {
          const pod = await c.get(name)
          if (pod.spec.nodeName)
            await c.client.resource(pods).updateStatus({ ...pod, status: { ...pod.status, phase: 'Succeeded' } })
        })
      case 'node':
        return this.setNode(s)
      case 'drop':
        return this.existing(() => c.client.resource(nodes).delete(`n${s.node}`))
      case 'wait':
        return c.advance(s.ms)
    }
  }
  private async setNode(s: Step & { readonly type: 'node' }): Promise<void> {
    const resource = this.c.client.resource(nodes)
    const name = `n${s.node}`
    if ((await resource.find(name)) === undefined) await this.c.node(name)
    const node = await resource.get(name)
    const labels = {
      'kubernetes.io/hostname': name,
      disk: s.disk,
      ...(s.zone === undefined ? {} : { [zoneKey]: s.zone }),
    }
    const updated = await resource.update({
      ...node,
      metadata: { ...node.metadata, labels },
      spec: {
        ...(s.cordoned ? { unschedulable: true } : {}),
        taints: s.tainted ? [{ key: 'k', effect: 'NoSchedule' }] : [],
      },
    })
    await resource.updateStatus({
      ...updated,
      status: { ...updated.status, allocatable: { cpu: s.cpu, memory: '8Gi', pods: '5' } },
    })
  }
  private async onPod(at: number, act: (name: string) => Promise<unknown>): Promise<void> {
    const name = this.names[at % Math.max(1, this.names.length)]
    if (name !== undefined) await this.existing(() => act(name))
  }
  private async existing(act: () => Promise<unknown>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof ApiError) || error.reason !== 'NotFound') throw error
    }
  }
}

/** Every placement must have been right when it was made; the node may have changed afterwards. */
async function watchPlacements(c: SchedulerCluster, problems: string[]): Promise<() => void> {
  const informer = c.informers.informer(pods)
  await informer.synced
  const boundTo = new Map<string, string>()
  const look = (pod: Pod) => {
    const { nodeName } = pod.spec
    if (!nodeName) return
    const before = boundTo.get(pod.metadata.uid)
    if (before !== undefined && before !== nodeName) problems.push(`${pod.metadata.name} moved`)
    boundTo.set(pod.metadata.uid, nodeName)
  }
  return informer.handle({ add: look, update: look })
}

test('no pod waits that would fit', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const c = await schedulerCluster()
      try {
        await c.client.resource(priorityClasses).create({ metadata: { name: 'high' }, value: 1000 })
        const problems: string[] = []
        const unwatch = await watchPlacements(c, problems)
        const history = new History(c)
        for (const s of steps) await history.play(s)
        // longer than any back-off, shorter than the flush that would hide a missed event
        await c.advance(15_000)
        await c.advance(15_000)
        unwatch()
        const { items } = await c.client.resource(pods).list({ namespace: 'default' })
        const waiting = items.filter((pod) => !pod.spec.nodeName)
        const forgotten = waiting
          .map((pod) => ({ pod: pod.metadata.name, fits: c.scheduler.explain(pod)?.fits }))
          .filter(({ fits }) => fits === undefined || fits.length > 0)
        expect(forgotten).toEqual([])
        expect(problems).toEqual([])
        expect(c.scheduler.figures().failed).toBe(0)
        expect(c.log.records.filter(({ level }) => level === 'error')).toEqual([])
      } finally {
        await c.stop()
      }
    }),
    { numRuns: Number(process.env['SCHED_RUNS'] ?? 25) },
  )
})
