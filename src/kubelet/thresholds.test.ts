import { describe, expect, it } from 'vitest'
import { assess, nothingPassed, type Passed, thresholdsOf } from './thresholds.ts'

const thresholds = thresholdsOf({
  evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%', 'pid.available': '5%' },
  evictionSoft: { 'memory.available': '300Mi' },
  evictionSoftGraceMs: { 'memory.available': 90_000 },
  evictionMaxPodGraceSeconds: 60,
  evictionMinimumReclaim: { 'memory.available': '50Mi', 'nodefs.available': '1Gi' },
})
const mi = 2 ** 20
const memory = (mebibytes: number) => ({ 'memory.available': { available: mebibytes * mi, capacity: 2 ** 33 } })
const disk = (gibibytes: number) => ({
  'nodefs.available': { available: gibibytes * 2 ** 30, capacity: 100 * 2 ** 30 },
})

/** What is due at each step: "signal grace". */
function run(steps: readonly (readonly [nowMs: number, observed: object])[]): string[] {
  let passed: Passed = nothingPassed
  return steps.map(([nowMs, observed]) => {
    const assessed = assess(thresholds, observed, passed, nowMs)
    passed = assessed.passed
    return assessed.due.map((d) => `${d.signal} ${d.podGraceSeconds}`).join()
  })
}

describe('a node runs short', () => {
  it.each([
    ['of nothing', [[0, { ...memory(400), ...disk(50) }]], ['']],
    ['of memory: at once', [[0, memory(99)]], ['memory.available 1']],
    [
      'of memory, softly: after its grace',
      [
        [0, memory(250)],
        [80_000, memory(250)],
        [90_000, memory(250)],
      ],
      ['', '', 'memory.available 60'],
    ],
    [
      'softly, with a breath in between',
      [
        [0, memory(250)],
        [80_000, memory(350)],
        [90_000, memory(250)],
        [170_000, memory(250)],
      ],
      ['', '', '', ''],
    ],
    [
      'until enough is reclaimed',
      [
        [0, disk(9)],
        [10_000, disk(10.5)],
        [20_000, disk(11)],
        [30_000, disk(10.5)],
      ],
      ['nodefs.available 1', 'nodefs.available 1', '', ''],
    ],
    ['of two things: memory first', [[0, { ...disk(1), ...memory(50) }]], ['memory.available 1,nodefs.available 1']],
  ] as const)('%s', (_, steps, expected) => {
    expect(run(steps)).toEqual(expected)
  })
  it('and shows it before pods have to go', () => {
    const { short, due } = assess(thresholds, memory(250), nothingPassed, 0)
    expect(short).toEqual([
      { signal: 'memory.available', resource: 'memory', threshold: 300 * mi, available: 250 * mi },
    ])
    expect(due).toEqual([])
  })
})
