import { expect, it } from 'vitest'
import { bodyKinds } from '../../apiserver/subresources/body-kinds.ts'
import { builtinKinds } from '../kinds.ts'
import { describeApi } from '../machinery/openapi.ts'
import { openApiV3, openApiV3Names } from '../machinery/openapi-v3.ts'
import { descriptionOf, textKey, texts } from './all.ts'

interface Definition {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Property>>
}
interface Property {
  readonly description?: string
  readonly allOf?: readonly { readonly $ref: string }[]
}
/** What kubectl explain prints of a field: its own text, then that of its type. */
const textsOf = ({ description, allOf = [] }: Property): (string | undefined)[] =>
  [description, ...allOf.map(({ $ref }) => definitions.get($ref.split('/').at(-1) ?? '')?.description)].filter(
    (text) => text !== undefined,
  )
const api = describeApi(builtinKinds as unknown as readonly never[], bodyKinds, descriptionOf)
const definitions = new Map<string, Definition>()
for (const name of openApiV3Names(api)) {
  const document = openApiV3(api, name, 'v1') as unknown as { components: { schemas: Record<string, Definition> } }
  for (const [definition, schema] of Object.entries(document.components.schemas)) definitions.set(definition, schema)
}

it('describes types and fields that there are', () => {
  const known = new Map<string, Set<string>>()
  for (const [name, { properties = {} }] of definitions) {
    const key = textKey(name)
    if (key !== undefined) known.set(key, new Set([...(known.get(key) ?? []), '', ...Object.keys(properties)]))
  }
  const strays = Object.entries(texts).flatMap(([key, fields]) =>
    Object.keys(fields)
      .filter((field) => known.get(key)?.has(field) !== true)
      .map((field) => `${key} ${field}`),
  )
  expect(strays).toEqual([])
})
it('describes every field of the kinds of every day, down to their spec and status', () => {
  const legacy =
    /^(aws|azure|gce|ceph|cinder|fc$|flex|flocker|gitRepo|gluster|photon|portworx|quobyte|rbd|scaleIO|storageos|vsphere|shardInfo)/
  const silent: string[] = []
  for (const key of Object.keys(texts)) {
    for (const [name, { description, properties = {} }] of definitions) {
      if (textKey(name) !== key || !/\.v[12]\./.test(name)) continue
      if (description === undefined) silent.push(name)
      for (const [field, schema] of Object.entries(properties))
        if (textsOf(schema).length === 0 && !legacy.test(field)) silent.push(`${name} ${field}`)
    }
  }
  expect(silent).toEqual([])
})
it('says nothing twice', () => {
  const doubled = [...definitions].flatMap(([name, { properties = {} }]) =>
    Object.entries(properties)
      .filter(([, property]) => new Set(textsOf(property)).size < textsOf(property).length)
      .map(([field]) => `${name} ${field}`),
  )
  expect(doubled).toEqual([])
})
it('leaves custom resources to their authors', () => {
  expect(descriptionOf('com.example.stable.v1.CronTab', '')).toBeUndefined()
  expect(descriptionOf('io.k8s.api.core.v1.Pod', 'constructor')).toBeUndefined()
  expect(descriptionOf('io.k8s.api.apps.v1beta1.Deployment', 'spec')).toBe(
    descriptionOf('io.k8s.api.apps.v1.Deployment', 'spec'),
  )
})
