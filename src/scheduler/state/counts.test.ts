// Counts that are kept by increments must equal counts that are taken from scratch, whatever happened before.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Pod } from '../../api/core/pod.ts'
import { asking, bench, nodeOf, podOf } from '../testing/plugins.ts'

const zoneKey = 'topology.kubernetes.io/zone'
const apps = ['a', 'b', 'c'] as const
const selecting = (app: string) => ({ labelSelector: { matchLabels: { app } } })

/** Pods with every kind of wish about their neighbours. */
const wishes: readonly Pod['spec'][] = (
  [
    {},
    {
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: zoneKey, whenUnsatisfiable: 'DoNotSchedule', ...selecting('a') },
      ],
    },
    {
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule', ...selecting('b') },
        {
          maxSkew: 2,
          topologyKey: zoneKey,
          whenUnsatisfiable: 'ScheduleAnyway',
          nodeTaintsPolicy: 'Honor',
          ...selecting('b'),
        },
      ],
      nodeSelector: { disk: 'ssd' },
    },
    {
      affinity: {
        podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: zoneKey, ...selecting('a') }] },
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 7, podAffinityTerm: { topologyKey: zoneKey, ...selecting('c') } },
          ],
        },
      },
    },
    {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: 'kubernetes.io/hostname', ...selecting('b') },
            { topologyKey: zoneKey, namespaceSelector: { matchLabels: { team: 'x' } }, ...selecting('c') },
          ],
        },
      },
    },
  ] as unknown as readonly Pod['spec'][]
).map((spec) => ({ ...asking({ cpu: '100m' }), ...spec, schedulerName: 'default-scheduler' }) as Pod['spec'])

const pod = fc.record({
  app: fc.constantFrom(...apps),
  wish: fc.nat(wishes.length - 1),
  namespace: fc.constantFrom('default', 'other'),
  terminating: fc.boolean(),
})
const step = fc.oneof(
  fc.record({ type: fc.constant('add' as const), pod, node: fc.nat(5) }),
  fc.record({ type: fc.constant('remove' as const), at: fc.nat(40) }),
  fc.record({
    type: fc.constant('node' as const),
    node: fc.nat(5),
    zone: fc.constantFrom('z1', 'z2', 'z3', undefined),
    disk: fc.constantFrom('ssd', 'hdd'),
    tainted: fc.boolean(),
  }),
  fc.record({ type: fc.constant('drop' as const), node: fc.nat(5) }),
  fc.record({ type: fc.constant('ask' as const), pod }),
  fc.record({
    type: fc.constant('team' as const),
    name: fc.constantFrom('default', 'other'),
    team: fc.constantFrom('x', 'y'),
  }),
)

test('after any history, every filter and score answers as on a fresh copy', () => {
  let serial = 0
  const make = (of: { app: string; wish: number; namespace: string; terminating: boolean }): Pod =>
    podOf(`p${++serial}`, {
      metadata: {
        namespace: of.namespace,
        labels: { app: of.app },
        ...(of.terminating ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      },
      spec: wishes[of.wish] as never,
    })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const b = bench([])
      const placed: string[] = []
      const ask = (asked: Pod) => {
        const fresh = bench([])
        copyInto(b, fresh)
        const plugins = ['InterPodAffinity', 'PodTopologySpread', 'NodeResourcesFit']
        expect(b.refusals(asked)).toEqual(fresh.refusals(asked))
        for (const plugin of plugins) expect(b.scores(asked, plugin)).toEqual(fresh.scores(asked, plugin))
      }
      for (const s of steps)
        switch (s.type) {
          case 'add': {
            const made = make(s.pod)
            placed.push(made.metadata.uid)
            b.put(made, `n${s.node}`)
            break
          }
          case 'remove':
            b.state.removePod(placed[s.at % Math.max(1, placed.length)] ?? '')
            break
          case 'node':
            b.state.setNode(
              nodeOf(`n${s.node}`, {
                metadata: { labels: { disk: s.disk, ...(s.zone === undefined ? {} : { [zoneKey]: s.zone }) } },
                spec: s.tainted ? { taints: [{ key: 'k', effect: 'NoSchedule' }] } : {},
              }),
            )
            break
          case 'drop':
            b.state.removeNode(`n${s.node}`)
            break
          case 'team':
            b.state.setNamespace(s.name, { team: s.team })
            break
          case 'ask':
            ask(make(s.pod))
        }
      for (let wish = 0; wish < wishes.length; wish++)
        ask(make({ app: 'b', wish, namespace: 'default', terminating: false }))
    }),
    { numRuns: 50 },
  )
})
/** Everything again, from the objects alone. */
function copyInto(from: ReturnType<typeof bench>, to: ReturnType<typeof bench>): void {
  for (const name of ['default', 'other']) to.state.setNamespace(name, from.state.namespaceLabels(name))
  for (const { node } of from.state.order) if (node !== undefined) to.state.setNode(node)
  for (const info of from.state.allPods()) to.state.addPod(info, from.state.nodeOf(info.uid)?.name ?? '')
}

test('a trial leaves no trace', () => {
  const b = bench([nodeOf('n1'), nodeOf('n2')])
  for (const [i, wish] of wishes.entries())
    b.put(podOf(`p${i}`, { metadata: { labels: { app: apps[i % 3] ?? 'a' } }, spec: wish as never }), `n${(i % 2) + 1}`)
  const asked = podOf('asked', { metadata: { labels: { app: 'b' } }, spec: wishes[4] as never })
  const before = b.refusals(asked)
  const cycle = b.cycle(asked)
  b.run.preFilter(cycle)
  for (const node of b.state.order) {
    const pods = [...node.pods.values()]
    for (const info of pods) b.run.tryRemove(cycle, info)
    b.run.filter(cycle, node)
    for (const info of pods) b.run.tryAdd(cycle, info, node)
  }
  expect(b.refusals(asked)).toEqual(before)
})
