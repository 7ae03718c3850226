import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { PolicyRule } from '../../../api/rbac/rbac.ts'
import { defaultPolicy } from './manifests.ts'
import { rule } from './policy.ts'

const facts = process.env.KUBERNETES_FACTS
if (facts === undefined && process.env.CI === 'true') throw new Error('KUBERNETES_FACTS must be set in CI')

it('reads a line', () => {
  expect(rule('read @ pods')).toEqual({ verbs: ['get', 'list', 'watch'], apiGroups: [''], resources: ['pods'] })
  expect(rule('get update @ leases @ coordination.k8s.io [a b]')).toEqual({
    verbs: ['get', 'update'],
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: ['a', 'b'],
  })
  expect(rule('get @ /api /api/*')).toEqual({ verbs: ['get'], nonResourceURLs: ['/api', '/api/*'] })
})

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly rules?: readonly PolicyRule[] | null
  readonly subjects?: readonly object[]
}
/** Order does not matter in rules and subjects. */
const sorted = (list: readonly string[] | undefined) => (list === undefined ? {} : { list: [...list].sort() })
const normal = (object: Manifest) => ({
  ...object,
  rules: (object.rules ?? [])
    .map((r) =>
      JSON.stringify([
        sorted(r.verbs),
        sorted(r.apiGroups),
        sorted(r.resources),
        sorted(r.resourceNames),
        sorted(r.nonResourceURLs),
      ]),
    )
    .sort(),
  subjects: (object.subjects ?? [])
    .map((s) => JSON.stringify(Object.entries(s).sort(([a], [b]) => (a < b ? -1 : 1))))
    .sort(),
})
const keyOf = (o: Manifest) => `${o.kind} ${o.metadata.namespace ?? ''}/${o.metadata.name}`

describe.skipIf(facts === undefined)('upstream facts (KUBERNETES_FACTS)', () => {
  it('is the default policy of upstream', () => {
    const files = ['cluster', 'controller', 'namespace'].flatMap((n) => [`${n}-roles`, `${n}-role-bindings`])
    const theirs = files.flatMap(
      (file) => (parse(readFileSync(join(facts ?? '', 'rbac', `${file}.yaml`), 'utf8')) as { items: Manifest[] }).items,
    )
    const byKey = (list: readonly Manifest[]) => Object.fromEntries(list.map((o) => [keyOf(o), normal(o)] as const))
    const ours = defaultPolicy().map(({ object }) => object as unknown as Manifest)
    expect(byKey(ours)).toEqual(byKey(theirs))
  })
})
