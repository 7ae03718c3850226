import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode } from './decode.ts'
import { apiGroupList, apiResourceList, discoveryOf } from './discovery.ts'
import type { Kind } from './kind.ts'
import { deleteOptions, status } from './meta.ts'
import {
  apiGroupListSchema,
  apiResourceListSchema,
  apiVersionsSchema,
  partialObjectMetadataList,
  watchEventSchema,
} from './meta-schemas.ts'
import { describeApi } from './openapi.ts'
import { bodyKinds } from '../../apiserver/subresources/body-kinds.ts'
import { builtinKinds } from '../kinds.ts'
import { previewKinds } from '../runtime-config.ts'
import { openApiV2 } from './openapi-v2.ts'
import { openApiV3, openApiV3Names } from './openapi-v3.ts'
import { decodeMessage, encodeMessage } from './protobuf.ts'
import type { Json, JsonObject } from './schema.ts'
import { arbitraryOf, onTheWire } from './testing/arbitrary.ts'
import { compareDefinitions, comparePaths, compareProtobuf, differences, protobufName } from './testing/facts.ts'
import { protobufOracle } from './testing/protobuf-oracle.ts'

const facts = process.env.KUBERNETES_FACTS
if (facts === undefined && process.env.CI === 'true') throw new Error('KUBERNETES_FACTS must be set in CI')
const read = (file: string) => JSON.parse(readFileSync(join(facts ?? '', file), 'utf8')) as JsonObject
const member = (value: JsonObject, key: string) => (value[key] ?? {}) as JsonObject
const report = (lines: readonly string[]) => lines.join('\n')

describe.skipIf(facts === undefined)('upstream facts (KUBERNETES_FACTS)', () => {
  const kinds = [...builtinKinds, ...previewKinds] as unknown as readonly Kind<never>[]
  const api = describeApi(kinds, bodyKinds, () => undefined)

  it('has the same resources, subresources, verbs and names', () => {
    const discovery = discoveryOf(kinds)
    const lines = apiGroupList(discovery)
      .groups.flatMap((group) => group.versions.map((version) => ({ group: group.name, version: version.version })))
      .concat([{ group: '', version: 'v1' }])
      .flatMap(({ group, version }) => {
        const file = group === '' ? `discovery/api__${version}.json` : `discovery/apis__${group}__${version}.json`
        if (!existsSync(join(facts ?? '', file))) return []
        const ours = JSON.parse(JSON.stringify(apiResourceList(discovery, { group, version }))) as JsonObject
        const byName = (document: JsonObject) =>
          Object.fromEntries(((document.resources ?? []) as unknown as JsonObject[]).map((r) => [r.name, r] as const))
        const [served, upstream] = [byName(ours), byName(read(file))]
        // versions that upstream has dropped are ours alone
        for (const { group: g, version: v, plural, older } of api.resources) {
          if (g !== group || v !== version || older === undefined || upstream[plural] !== undefined) continue
          for (const name of Object.keys(served)) if (name.split('/')[0] === plural) delete served[name]
        }
        return differences(`${group}/${version}`, served, upstream)
      })
    expect(report(lines)).toBe('')
  })
  it('has the same OpenAPI v2 definitions', () => {
    const ours = openApiV2(api, 'unversioned')
    expect(
      report(compareDefinitions('v2', member(ours, 'definitions'), member(read('openapi-v2.json'), 'definitions'))),
    ).toBe('')
  })
  it('has the same OpenAPI v2 paths', () => {
    const roots = new Set(api.resources.map((r) => `${r.group === '' ? '/api' : `/apis/${r.group}`}/${r.version}`))
    const resources = new Set(api.resources.map((r) => `${r.group}/${r.version}/${r.plural}`))
    const isOurs = (path: string) => {
      const match = /^(\/api|\/apis\/[^/]+)\/([^/]+)(?:\/watch)?(?:\/namespaces\/\{namespace\})?\/([^/]+)/.exec(path)
      if (match === null) return false
      const group = match[1] === '/api' ? '' : (match[1]?.slice('/apis/'.length) ?? '')
      return roots.has(`${match[1]}/${match[2]}`) && resources.has(`${group}/${match[2]}/${match[3]}`)
    }
    expect(report(comparePaths('v2', openApiV2(api, 'unversioned'), read('openapi-v2.json'), isOurs))).toBe('')
  })
  it('has the same OpenAPI v3 documents', () => {
    const lines = openApiV3Names(api).flatMap((name) => {
      const file = `openapi-v3/${name.replaceAll('/', '__')}_openapi.json`
      if (!existsSync(join(facts ?? '', file))) return []
      const ours = openApiV3(api, name, 'unversioned') ?? {}
      const theirs = read(file)
      const schemas = (document: JsonObject) => member(member(document, 'components'), 'schemas')
      return [
        ...compareDefinitions(name, schemas(ours), schemas(theirs)),
        ...comparePaths(name, ours, theirs, () => false),
      ]
    })
    expect(report([...new Set(lines.map((line) => line.replace(/^\S+ io\./, 'io.')))])).toBe('')
  })
  it('has the same protobuf field numbers and types', () => {
    const roots = [
      ...api.resources.map((r) => r.schema),
      ...api.kinds.map((k) => k.schema),
      deleteOptions,
      status,
      apiGroupListSchema,
      apiResourceListSchema,
      apiVersionsSchema,
      partialObjectMetadataList,
      watchEventSchema,
    ]
    const lines = compareProtobuf(
      roots,
      read('protobuf-fields.json') as unknown as Parameters<typeof compareProtobuf>[1],
    )
    expect(report(lines)).toBe('')
  })
  it('writes protobuf that upstream reads, and reads what upstream writes', () => {
    const recorded = read('protobuf-fields.json') as unknown as Parameters<typeof compareProtobuf>[1]
    const roundTrip = protobufOracle(recorded)
    for (const { schema } of api.resources) {
      const message = protobufName(schema.name)
      if (recorded[message] === undefined) continue
      for (const value of fc.sample(arbitraryOf(schema), { seed: 7, numRuns: 20 })) {
        const sent = decode(schema, value).value
        const received = decodeMessage(schema, roundTrip(message, encodeMessage(schema, sent)))
        expect(decode(schema, received).value, message).toEqual(onTheWire(schema, sent as Json))
      }
    }
  })
})
