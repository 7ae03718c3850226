// P10 on real containers: every row of the restart table at once, the state of each seen when its phase is reached.
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { type Kubectl, kubectlCluster } from '../kubectl/cluster.ts'
import { ending, type Outcome, restartTable, type Row } from '../restart-table.ts'
import { able } from '../kubectl/binary.ts'
import { podOf } from './pods.ts'

/** What a container does first; when it is started again it stays. */
const script = (action: string) =>
  `command: [sh, -c, "[ -e /state/$NAME ] && exec sleep 100000; touch /state/$NAME; ${action}"]`
const container: Readonly<Record<Outcome, string>> = {
  success: script('exit 0'),
  failure: script('exit 1'),
  // The shell is PID 1 of the container and reads for ever into one variable.
  oom: `${script('exec tail /dev/zero')}\nresources: {limits: {memory: 16Mi}}`,
  none: 'command: [sleep, "100000"]',
}
const nameOf = ({ policy, containers }: Row) => `${policy}-${containers.join('-')}`.toLowerCase()
const manifest = (row: Row): string =>
  podOf(
    nameOf(row),
    Object.fromEntries(
      row.containers.map((outcome, i) => [
        `c${i}`,
        `${container[outcome]}\nenv: [{name: NAME, value: c${i}}]\nvolumeMounts: [{name: state, mountPath: /state}]`,
      ]),
    ),
    `restartPolicy: ${row.policy}\nvolumes: [{name: state, emptyDir: {}}]`,
  )

describe.runIf(able).concurrent('the restart table', () => {
  let k: Kubectl
  beforeAll(async () => {
    k = await kubectlCluster('restarts')
    await k.apply(restartTable.map(manifest).join('\n---\n'))
  })
  afterAll(() => k?.remove())

  it.for(restartTable)('$policy with $containers: $phase, restarts $restarts', async (row, { expect }) => {
    const statusOf = (pod: Pod, i: number) => pod.status.containerStatuses?.find((s) => s.name === `c${i}`)
    const pod = await k.podIs(
      nameOf(row),
      (seen) =>
        seen.status.phase === row.phase &&
        row.containers.every((outcome, i) => {
          const status = statusOf(seen, i)
          if (status?.restartCount !== row.restarts[i]) return false
          return outcome === 'none' || row.restarts[i] !== 0
            ? status?.state?.running !== undefined
            : status?.state?.terminated !== undefined
        }),
      240_000,
    )
    row.containers.forEach((outcome, i) => {
      if (outcome === 'none') return
      const status = statusOf(pod, i)
      const ended = row.restarts[i] === 0 ? status?.state?.terminated : status?.lastState?.terminated
      expect(ended).toMatchObject(ending[outcome])
    })
  })
})
