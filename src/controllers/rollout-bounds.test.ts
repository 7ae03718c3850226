// Random histories of rollouts never break their bounds and end as asked. A seed that fails becomes a test: add it to
// `knownSeeds`. `node scripts/seeds.mjs` plays as many as are wanted.
import { expect, test } from 'vitest'
import { rolloutHistory } from './testing/rollout-history.ts'

const knownSeeds: readonly number[] = [79, 293]
const fresh = [1, 2, 3, 4, 5, 6]

test.each([...knownSeeds, ...fresh])(
  'seed %i never breaks the bounds and ends as asked',
  async (seed) => {
    const { story, missing, violations } = await rolloutHistory(seed)
    expect({ missing, violations }, story).toEqual({ missing: undefined, violations: [] })
  },
  120_000,
)
