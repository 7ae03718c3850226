import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
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
import { type ApiDescription, describeApi, type NamedKind } from './openapi.ts'
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

/** Every Kind that a module of src/api exports. */
async function exportedKinds(): Promise<{ kinds: Kind<never>[]; others: NamedKind[] }> {
  const root = join(import.meta.dirname, '..')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('machinery'))
    .sort()
  const kinds = new Map<string, Kind<never>>()
  const others = new Map<string, NamedKind>()
  for (const file of files) {
    const module = (await import(join(root, file))) as Record<string, unknown>
    for (const value of Object.values(module)) {
      if (typeof value !== 'object' || value === null || !('schema' in value) || !('kind' in value)) continue
      const kind = value as Kind<never>
      if ('storagePrefix' in value) kinds.set(`${kind.group}/${kind.plural}`, kind)
      else if ('version' in value) others.set(`${kind.group}/${kind.kind}`, value as NamedKind)
    }
  }
  return { kinds: [...kinds.values()], others: [...others.values()] }
}

describe.skipIf(facts === undefined)('upstream facts (KUBERNETES_FACTS)', () => {
  let kinds: Kind<never>[]
  let api: ApiDescription
  beforeAll(async () => {
    const found = await exportedKinds()
    kinds = found.kinds
    api = describeApi(found.kinds, found.others)
  })

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
        return differences(`${group}/${version}`, byName(ours), byName(read(file)))
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
