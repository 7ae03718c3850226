// A wall clock that is wrong: it is set hours forth and back, again and again, while pods start, run, crash, are deleted.
// Nothing is restarted or run twice for it, nobody believes a node to be dead, and no wait grows with the error.
import { describe, expect, test } from 'vitest'
import { deployments } from '../../src/api/apps/deployment.ts'
import { nodes } from '../../src/api/core/node.ts'
import { pods } from '../../src/api/core/pod.ts'
import { seededRandom } from '../../src/sim/seeded-random.ts'
import { startSimCluster } from '../../src/sim/sim-cluster.ts'
import { create, deployment, isReady, podOf, podsOf, runs } from './harness.ts'

const hourMs = 3_600_000
const probe = { httpGet: { path: '/', port: 80 }, initialDelaySeconds: 5, periodSeconds: 5, failureThreshold: 1 }
const probed = { ...runs, readinessProbe: probe, livenessProbe: probe }
const once = (name: string, image: string) => ({
  metadata: { name },
  spec: { restartPolicy: 'Never', containers: [{ name: 'main', image }] },
})

describe('a wall clock that is set forth and back', () => {
  test.each([1, 2, 3])('seed %d: pods live on, and new ones are started as ever', async (seed) => {
    const cluster = await startSimCluster({ seed, nodes: 2 })
    const { clock, world } = cluster.sim
    const random = seededRandom(seed)
    const runsOf = new Map<string, number[]>()
    /** `afterMs`: how long a container needs before it answers, as most do. */
    const noting = (name: string, code: number, afterMs: number) => () => {
      runsOf.set(name, [...(runsOf.get(name) ?? []), clock.monotonic()])
      return { exit: { afterMs, code } }
    }
    world.image('slow:1', () => ({ http: (_, uptimeMs) => (uptimeMs < 4_000 ? undefined : { status: 200 }) }))
    world.image('crash:1', noting('crash', 1, 100))
    let unready = 0
    const watching = cluster.informers.informer(nodes).handle({
      update: ({ status }) => {
        if (!status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')) unready++
      },
    })
    await create(cluster, deployments, deployment('web', 4, {}, { containers: [{ ...probed, image: 'slow:1' }] }))
    await create(cluster, pods, {
      metadata: { name: 'crash' },
      spec: { containers: [{ name: 'main', image: 'crash:1' }] },
    })
    await cluster.until(async () => (await podsOf(cluster, 'app=web')).every(isReady))
    const before = (await podsOf(cluster, 'app=web')).map((pod) => pod.metadata.uid)
    for (let round = 0; round < 8; round++) {
      const [well, bad] = [`well-${round}`, `bad-${round}`]
      world.image(`${well}:1`, noting(well, 0, 2_000))
      world.image(`${bad}:1`, noting(bad, 1, 2_000))
      await create(cluster, pods, once(well, `${well}:1`))
      await create(cluster, pods, once(bad, `${bad}:1`))
      // Nowhere to go: the scheduler tries again and again.
      await create(cluster, pods, {
        metadata: { name: `late-${round}` },
        spec: { nodeSelector: { round: String(round) }, containers: [probed] },
      })
      await cluster.advance(random.below(5_000))
      clock.shift(Math.round((random.float() * 2 - 1) * 12 * hourMs))
      const shiftedMs = clock.monotonic()
      await cluster.run(
        cluster.client
          .resource(nodes)
          .patch('node-1', undefined, 'merge', { metadata: { labels: { round: String(round) } } }),
      )
      await cluster.until(async () => (await podOf(cluster, well)).status.phase === 'Succeeded', 60_000)
      await cluster.until(async () => (await podOf(cluster, bad)).status.phase === 'Failed', 60_000)
      await cluster.until(async () => isReady(await podOf(cluster, `late-${round}`)), 60_000)
      for (const name of [well, bad, `late-${round}`])
        await cluster.run(cluster.client.resource(pods).delete(name, 'default'))
      await cluster.until(async () => (await podsOf(cluster)).length === 5, 60_000)
      expect(clock.monotonic() - shiftedMs).toBeLessThan(90_000)
    }
    // Five minutes are the longest pause of a crash loop.
    await cluster.advance(400_000)
    const web = await podsOf(cluster, 'app=web')
    expect(web.map((pod) => pod.metadata.uid)).toEqual(before)
    expect(web.map((pod) => [isReady(pod), pod.status.containerStatuses?.[0]?.restartCount])).toEqual(
      web.map(() => [true, 0]),
    )
    expect(unready).toBe(0)
    for (const [name, times] of runsOf) if (name !== 'crash') expect([name, times.length]).toEqual([name, 1])
    const crashes = runsOf.get('crash') ?? []
    const pauses = crashes.slice(1).map((at, i) => at - (crashes[i] ?? 0))
    expect(Math.max(...pauses)).toBeLessThan(302_000)
    expect(clock.monotonic() - (crashes.at(-1) ?? 0)).toBeLessThan(302_000)
    watching()
    await cluster.checkers.verify()
    await cluster.stop()
  })
})
