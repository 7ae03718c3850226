import { describe, expect, test } from 'vitest'
import {
  bool,
  bytes,
  decode,
  double,
  encode,
  int,
  ints,
  list,
  message,
  nested,
  ProtobufError,
  string,
  stringMap,
  strings,
  uint,
} from './protobuf.ts'

const inner = message({ name: string(1), value: int(2) })
const all = message({
  text: string(1),
  number: int(2),
  flag: bool(3),
  blob: bytes(4),
  names: strings(5),
  labels: stringMap(7),
  one: nested(8, inner),
  many: list(9, inner),
  numbers: ints(10),
  big: uint(2000),
  share: double(12),
})

describe('protobuf', () => {
  test('what was encoded is decoded', () => {
    const value = {
      text: 'grüße',
      number: -1,
      flag: true,
      blob: new Uint8Array([0, 255]),
      names: ['a', '', 'c'],
      labels: { app: 'web', empty: '' },
      one: { name: 'n', value: 7 },
      many: [
        { name: '', value: 0 },
        { name: 'x', value: -1_000_000 },
      ],
      numbers: [1, 300, -5],
      big: 9_007_199_254_740_991,
      share: 0.25,
    }
    expect(decode(all, encode(all, value))).toEqual(value)
  })
  test('absent fields read as zero, messages as undefined', () => {
    expect(decode(all, new Uint8Array())).toEqual({
      text: '',
      number: 0,
      flag: false,
      blob: new Uint8Array(),
      names: [],
      labels: {},
      one: undefined,
      many: [],
      numbers: [],
      big: 0,
      share: 0,
    })
  })
  test('the bytes are the ones of the specification', () => {
    expect([...encode(message({ a: int(1) }), { a: 150 })]).toEqual([0x08, 0x96, 0x01])
    expect([...encode(message({ b: string(2) }), { b: 'testing' })]).toEqual([
      0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67,
    ])
  })
  test('nanoseconds since 1970 keep their milliseconds', () => {
    const ns = Number(1_763_693_000_123_456_789n)
    expect(Math.round(decode(all, encode(all, { number: ns })).number / 1e6)).toBe(Math.round(ns / 1e6))
  })
  test('unknown fields are skipped and packed numbers are read', () => {
    const future = message({ text: string(1), later: string(99), fixed: double(98), count: uint(97) })
    expect(decode(all, encode(future, { text: 'now', later: 'then', fixed: 1, count: 9 })).text).toBe('now')
    expect(decode(message({ n: ints(6) }), Uint8Array.from([0x32, 0x06, 3, 0x8e, 2, 0x9e, 0xa7, 5])).n).toEqual([
      3, 270, 86942,
    ])
  })
  test.each([[[0x0a, 5, 65]], [[0x08]], [[0x0b]], [[0x10, ...Array<number>(10).fill(255), 1]]])(
    'broken bytes %j are refused',
    (content) => {
      expect(() => decode(all, Uint8Array.from(content))).toThrow(ProtobufError)
    },
  )
})
