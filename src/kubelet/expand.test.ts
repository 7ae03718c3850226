import { describe, expect, it } from 'vitest'
import { expand } from './expand.ts'

const known: Readonly<Record<string, string>> = { A: 'one', B: '$(A)', EMPTY: '' }
describe('expand', () => {
  it.each([
    ['plain', 'plain'],
    ['$(A)', 'one'],
    ['x$(A)y$(A)', 'xoneyone'],
    ['$(B)', '$(A)'],
    ['$(NOBODY)', '$(NOBODY)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$one'],
    ['$$', '$'],
    ['$', '$'],
    ['$A', '$A'],
    ['a$', 'a$'],
    ['$(A', '$(A'],
    ['$(EMPTY)|', '|'],
    ['$()', '$()'],
  ])('%s becomes %s', (text, expected) => {
    expect(expand(text, (name) => (Object.hasOwn(known, name) ? known[name] : undefined))).toBe(expected)
  })
})
