import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode } from './decode.ts'
import { kindSchema, listMeta } from './meta.ts'
import { listSchema } from './meta-schemas.ts'
import {
  decodeMessage,
  encodeList,
  encodeMessage,
  encodeProtobuf,
  encodeWatchFrame,
  envelope,
  openEnvelope,
  ProtobufError,
} from './protobuf.ts'
import { fromBase64, Reader, toBase64, Writer } from './protobuf-wire.ts'
import {
  any,
  array,
  boolean,
  bytes,
  double,
  int32,
  int64,
  intOrString,
  type Json,
  map,
  object,
  optional,
  quantity,
  required,
  string,
  struct,
  time,
} from './schema.ts'
import { arbitraryOf, onTheWire } from './testing/arbitrary.ts'

const hexOf = (data: Uint8Array) => Buffer.from(data).toString('hex')
const inner = object('x.v1.Inner', { name: required(1, string()), size: optional(2, quantity()) })
const schema = kindSchema('x.v1.Thing', {
  spec: struct(
    2,
    object('x.v1.Spec', {
      text: optional(1, string()),
      pointer: optional(2, string(), { pointer: true }),
      small: optional(3, int32()),
      big: optional(4, int64()),
      ratio: optional(5, double()),
      yes: optional(6, boolean()),
      data: optional(7, bytes()),
      at: optional(8, time()),
      port: optional(9, intOrString()),
      list: optional(10, array(inner)),
      labels: optional(11, map(string())),
      limits: optional(12, map(quantity())),
      raw: optional(13, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
      verbs: optional(14, array(string(), { wrapped: true })),
      numbers: optional(15, array(int32())),
      exec: optional(1, inner, { within: [20] }),
      deep: optional(2, string(), { within: [20, 3] }),
      extra: optional(21, map(array(string(), { wrapped: true }))),
    }),
  ),
})

describe('protobuf', () => {
  it('writes known bytes', () => {
    const spec = { text: 'hi', small: -1, yes: true, port: 80, exec: { name: 'x' }, deep: 'd' }
    // spec(2) { 20:{3:{2:"d"} 1:{1:"x"}} 9:{1:0 2:80 3:""} 6:1 3:-1 1:"hi" }, metadata(1) { 1:"n" }: written backwards
    expect(hexOf(encodeMessage(schema, { metadata: { name: 'n' }, spec }))).toBe(
      '1226' +
        'a2010a' +
        '1a03120164' +
        '0a030a0178' +
        '4a06080010501a00' +
        '3001' +
        '18ffffffffffffffffff01' +
        '0a026869' +
        '0a030a016e',
    )
    expect(hexOf(envelope('v1', 'Pod', Uint8Array.of(1, 2)))).toBe(
      '6b387300' + '0a09' + '0a027631' + '1203506f64' + '12020102' + '1a00' + '2200',
    )
    expect(hexOf(encodeWatchFrame('ADDED', Uint8Array.of(9)))).toBe('0000000c' + '0a054144444544' + '1203' + '0a0109')
  })
  it('reads what it wrote, for any object', () => {
    fc.assert(
      fc.property(arbitraryOf(schema), (value) => {
        const canonical = decode(schema, value).value
        const bytes = encodeProtobuf(schema, { ...(canonical as object), apiVersion: 'x/v1', kind: 'Thing' })
        const opened = openEnvelope(bytes)
        expect(opened).toMatchObject({ apiVersion: 'x/v1', kind: 'Thing' })
        const again = decode(schema, decodeMessage(schema, opened.raw)).value
        expect(again).toEqual(onTheWire(schema, canonical as Json))
      }),
      { numRuns: 300 },
    )
  })
  it('keeps an empty string only where it means something', () => {
    const read = decodeMessage(
      schema,
      encodeMessage(schema, { spec: { text: '', pointer: '', list: [{ name: '' }], small: 0, yes: false } }),
    )
    expect(read).toEqual({ spec: { pointer: '', list: [{ name: '' }], small: 0, yes: false } })
  })
  it('drops the empty time and reads packed numbers', () => {
    expect(decodeMessage(schema, Uint8Array.from([0x12, 0x02, 0x42, 0x00]))).toEqual({ spec: {} })
    expect(decodeMessage(schema, Uint8Array.from([0x12, 0x04, 0x7a, 0x02, 0x01, 0x02]))).toEqual({
      spec: { numbers: [1, 2] },
    })
  })
  it('joins a list from the messages of its items', () => {
    const items = [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }]
    const list = encodeList(
      listMeta,
      { resourceVersion: '7' },
      items.map((item) => encodeMessage(schema, item)),
      'x/v1',
      'ThingList',
    )
    const { kind, raw } = openEnvelope(list)
    expect(kind).toBe('ThingList')
    expect(decodeMessage(listSchema(schema), raw)).toEqual({ metadata: { resourceVersion: '7' }, items })
  })
  it('refuses nonsense without crashing', () => {
    expect(() => openEnvelope(new TextEncoder().encode('{}'))).toThrow(
      'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]',
    )
    const good = encodeMessage(schema, {
      metadata: { name: 'n' },
      spec: { text: 'hello', labels: { a: 'b' }, at: '2026-01-01T00:00:00Z' },
    })
    for (let cut = 1; cut < good.length; cut++) {
      try {
        decodeMessage(schema, good.subarray(0, cut))
      } catch (error) {
        expect(error).toBeInstanceOf(ProtobufError)
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        try {
          decodeMessage(schema, noise)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtobufError)
        }
      }),
      { numRuns: 3000 },
    )
  })
  it('writes numbers of every size', () => {
    for (const n of [
      0,
      1,
      127,
      128,
      300,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      Number.MAX_SAFE_INTEGER,
      -1,
      -(2 ** 31),
      Number.MIN_SAFE_INTEGER,
    ]) {
      const writer = new Writer()
      writer.varint(n)
      expect(new Reader(writer.bytes()).signed()).toBe(n)
    }
    const long = new Writer()
    for (let i = 0; i < 1000; i++) long.string(`é${i}`)
    expect(new TextDecoder().decode(long.bytes()).startsWith('é999é998')).toBe(true)
    expect(fromBase64(toBase64(Uint8Array.of(0, 255, 7)))).toEqual(Uint8Array.of(0, 255, 7))
  })
})
