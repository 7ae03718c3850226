import { describe, expect, it } from 'vitest'
import { type FieldSet, inOrder } from './field-set.ts'

describe('inOrder', () => {
  const mixed = {
    'f:spec': { 'k:{"name":"b"}': { 'f:image': {}, '.': {}, 'f:args': {} }, 'f:z': {}, '.': {}, 'v:"x"': {} },
    'f:metadata': {},
  } as unknown as FieldSet
  it('sorts every level, as a reader that knows nothing of sets would write it', () => {
    expect(JSON.stringify(inOrder(mixed))).toBe(
      '{"f:metadata":{},"f:spec":{".":{},"f:z":{},"k:{\\"name\\":\\"b\\"}":{".":{},"f:args":{},"f:image":{}},"v:\\"x\\"":{}}}',
    )
  })
  it('answers what is in order as it is', () => {
    const sorted = inOrder(mixed)
    expect(inOrder(sorted)).toBe(sorted)
    const plain = { 'f:a': { '.': {}, 'f:b': {} } } as unknown as FieldSet
    expect(inOrder(plain)).toBe(plain)
  })
})
