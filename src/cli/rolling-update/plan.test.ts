// Every step of every rolling update, whatever pods do in between: never fewer ready pods than promised, never more pods than
// allowed, and it comes to its end.
import { expect, test } from 'vitest'
import { seededRandom } from '../../client/testing/fixtures.ts'
import { keptAvailable, mostPods, planStep, type Rollout, type Step } from './plan.ts'

const rollout = (old: [number, number], next: [number, number], desired = 3, original = 3): Rollout => ({
  old: { name: 'old', replicas: old[0], ready: old[1] },
  new: { name: 'new', replicas: next[0], ready: next[1] },
  desired,
  original,
})

test.each<[string, Rollout, Step]>([
  ['begins with one more pod', rollout([3, 3], [0, 0]), { type: 'scaleUp', to: 1 }],
  ['waits for it', rollout([3, 3], [1, 0]), { type: 'wait' }],
  ['takes an old one away for it', rollout([3, 3], [1, 1]), { type: 'scaleDown', to: 2 }],
  ['takes old pods that are not ready away at once', rollout([3, 1], [1, 0]), { type: 'scaleDown', to: 2 }],
  ['waits for the last', rollout([0, 0], [3, 2]), { type: 'wait' }],
  ['is done', rollout([0, 0], [3, 3]), { type: 'done' }],
  ['goes to fewer', rollout([3, 3], [1, 1], 1, 3), { type: 'scaleDown', to: 0 }],
  ['comes from none', rollout([0, 0], [0, 0], 2, 0), { type: 'scaleUp', to: 2 }],
])('%s', (_name, state, step) => {
  expect(planStep(state)).toEqual(step)
})

test('1,000 random updates keep their bounds and end', () => {
  for (let seed = 1; seed <= 1000; seed++) {
    const random = seededRandom(seed)
    const below = (limit: number) => Math.floor(random.float() * limit)
    const original = below(7)
    const desired = below(7)
    const bounds = { desired, original }
    let [old, oldReady, next, nextReady] = [original, original, 0, 0]
    let step: Step = { type: 'wait' }
    for (let turn = 0; turn < 200 && step.type !== 'done'; turn++) {
      step = planStep(rollout([old, oldReady], [next, nextReady], desired, original))
      if (step.type === 'scaleUp') next = step.to
      else if (step.type === 'scaleDown') {
        old = step.to
        oldReady = Math.min(oldReady, old)
      } else if (step.type === 'wait') nextReady = Math.min(next, nextReady + below(2))
      expect(old + next, `seed ${seed}`).toBeLessThanOrEqual(mostPods(bounds))
      expect(oldReady + nextReady, `seed ${seed}`).toBeGreaterThanOrEqual(keptAvailable(bounds))
    }
    expect({ seed, step, old, next }).toEqual({ seed, step: { type: 'done' }, old: 0, next: desired })
  }
})
