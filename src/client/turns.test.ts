import { expect, it } from 'vitest'
import { createTurns } from './turns.ts'

it('steps run one after the other, also after one that failed, and each caller has its own answer', async () => {
  const seen: string[] = []
  const inTurn = createTurns()
  const step = (name: string, fails = false) =>
    inTurn(async () => {
      seen.push(`${name} begins`)
      await Promise.resolve()
      seen.push(`${name} ends`)
      if (fails) throw new Error(name)
      return name
    })
  expect(await Promise.allSettled([step('a'), step('b', true), step('c')])).toMatchObject([
    { value: 'a' },
    { reason: new Error('b') },
    { value: 'c' },
  ])
  expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})
