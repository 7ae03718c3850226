// Plugins without a cluster: a state, a profile over it and pods and nodes by the handful, for tables of decisions.
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { Client } from '../../client/client.ts'
import { type Informer, type InformerFactory, keyOf } from '../../client/informer.ts'
import { seededRandom } from '../../client/testing/fixtures.ts'
import { manualClock } from '../../client/testing/manual-clock.ts'
import { silentLog } from '../../ports/log.ts'
import { type Cycle, type Handle, newCycle } from '../framework.ts'
import { FrameworkRun } from '../framework-run.ts'
import { defaultPlugins } from '../plugins/all.ts'
import { buildProfile, type SchedulerProfile } from '../profiles.ts'
import { Nominator } from '../queue/nominator.ts'
import { ClusterState } from '../state/cluster-state.ts'

/** Deeply partial: what a test does not say is left out. */
export type Some<T> = T extends readonly (infer U)[]
  ? readonly Some<U>[]
  : T extends object
    ? { readonly [K in keyof T]?: Some<T[K]> | undefined }
    : T

let sequence = 0
export function podOf(name: string, pod: Some<Pod> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    ...pod,
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${++sequence}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...pod.metadata,
    },
    spec: { schedulerName: 'default-scheduler', containers: [{ name: 'c' }], ...pod.spec },
    status: { ...pod.status },
  } as unknown as Pod
}
export function nodeOf(name: string, node: Some<Node> = {}): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      uid: name,
      resourceVersion: '1',
      ...node.metadata,
      name,
      labels: { 'kubernetes.io/hostname': name, ...node.metadata?.labels },
    },
    spec: { ...node.spec },
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110' }, ...node.status },
  } as unknown as Node
}
/** A container that asks for this much. */
export const asking = (...requests: readonly Record<string, string>[]): Some<Pod>['spec'] => ({
  containers: requests.map((some, i) => ({ name: `c${i}`, resources: { requests: some } })),
})

/** Informers that know just these objects. */
export function staticInformers(objects: readonly KubeObject[]): InformerFactory {
  const factory = {
    informer<T extends KubeObject>(kind: Kind<T>): Informer<T> {
      const known = objects.filter((object) => object.kind === kind.kind) as unknown as T[]
      const informer = {
        kind,
        hasSynced: true,
        synced: Promise.resolve(),
        size: known.length,
        list: () => known,
        byKey: (key: string) => known.find((object) => keyOf(object) === key),
        get: (name: string, namespace?: string) =>
          known.find(
            (o) => o.metadata.name === name && (namespace === undefined || o.metadata.namespace === namespace),
          ),
        index: (by: (object: T) => readonly string[]) => ({
          get: (value: string) => known.filter((object) => by(object).includes(value)),
          has: (value: string) => known.some((object) => by(object).includes(value)),
          values: () => known.flatMap((object) => by(object)),
        }),
        handle: () => () => {},
      }
      return informer as unknown as Informer<T>
    },
    synced: () => Promise.resolve(),
    stop: () => {},
  }
  return factory as InformerFactory
}

export interface Bench {
  readonly state: ClusterState
  readonly run: FrameworkRun
  readonly nominator: Nominator
  readonly handle: Handle
  /** Puts a pod on a node. */
  put(pod: Pod, node: string): void
  cycle(pod: Pod): Cycle
  /** Reasons by node, [] for a node that fits; the PreFilter refusal under ''. */
  refusals(pod: Pod): Record<string, readonly string[]>
  /** Normalized scores of one plugin over the nodes that fit; undefined where it has no say. */
  scores(pod: Pod, plugin: string): Record<string, number> | undefined
  place(pod: Pod): string | undefined
}

export function bench(
  nodes: readonly Node[],
  options: { readonly profile?: Partial<SchedulerProfile>; readonly objects?: readonly KubeObject[] } = {},
): Bench {
  const state = new ClusterState()
  const nominator = new Nominator()
  const random = seededRandom(3)
  for (const node of nodes) state.setNode(node)
  const handle: Handle = {
    schedulerName: 'default-scheduler',
    client: { resource: () => ({}) } as unknown as Client,
    informers: staticInformers(options.objects ?? []),
    clock: manualClock(),
    random,
    log: silentLog,
    events: { event: () => {}, flush: () => Promise.resolve(), stop: () => {} },
    state,
    nominator,
    extenders: [],
    waitingPods: () => [],
    runFilters: (cycle, node) => run.filterWithNominated(cycle, node),
    tryRemove: (cycle, pod) => run.tryRemove(cycle, pod),
    tryAdd: (cycle, pod, node) => run.tryAdd(cycle, pod, node),
    wake: () => {},
    activate: () => {},
    ungate: () => {},
  }
  const points = buildProfile({ schedulerName: 'default-scheduler', ...options.profile }, defaultPlugins, [], handle)
  const run = new FrameworkRun({ points, state, nominator, random, percentageOfNodesToScore: 100 })
  const cycle = (pod: Pod) => newCycle(state.parse(pod), state)
  return {
    state,
    run,
    nominator,
    handle,
    cycle,
    put(pod, node) {
      state.addPod(state.parse({ ...pod, spec: { ...pod.spec, nodeName: node } }), node)
    },
    refusals(pod) {
      const attempt = cycle(pod)
      const prepared = run.preFilter(attempt)
      if ('refused' in prepared) return { '': prepared.refused.rejection.reasons }
      const reasons: Record<string, readonly string[]> = {}
      for (const node of state.order)
        reasons[node.name] = run.filterAll(attempt, node).flatMap(({ rejection }) => rejection.reasons)
      return reasons
    },
    scores(pod, plugin) {
      const attempt = cycle(pod)
      if ('refused' in run.preFilter(attempt)) return undefined
      const fitting = state.order.filter((node) => run.filter(attempt, node) === undefined)
      const scoring = run.scorers(attempt, fitting).find((s) => s.plugin.name === plugin)
      if (scoring === undefined) return undefined
      const scores = [...run.scoresOf(scoring, attempt, fitting)]
      return Object.fromEntries(fitting.map((node, i) => [node.name, scores[i] ?? 0]))
    },
    place: (pod) => run.place(cycle(pod)).node?.name,
  }
}
