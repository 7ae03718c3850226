// Compares what the kinds say with recorded answers of the upstream API server: one readable line per difference.
import type { GroupVersionKind } from '../openapi-schema.ts'
import { solid } from '../compile.ts'
import type { Field, Json, JsonObject, ObjectSchema, Schema } from '../schema.ts'

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const show = (value: Json | undefined): string => (value === undefined ? 'nothing' : JSON.stringify(value))

/** What only words, alpha features and CBOR make different is not compared. */
function relevant(value: Json): Json {
  if (Array.isArray(value)) {
    return (value as readonly Json[])
      .filter((item) => typeof item !== 'string' || !item.includes('cbor'))
      .filter((item) => !isObject(item) || item.name !== 'shardSelector')
      .map(relevant)
  }
  if (!isObject(value)) return value
  const { allOf } = value
  // v3 wraps a reference only where something stands beside it, if only a description
  if (Array.isArray(allOf) && Object.keys(value).every((key) => key === 'allOf' || words.includes(key))) {
    return relevant((allOf as readonly Json[])[0] ?? {})
  }
  const out: Record<string, Json> = {}
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined && !key.includes('cbor') && !words.includes(key)) out[key] = relevant(member)
  }
  return out
}
const words = ['description', 'enum', 'externalDocs']

/** Differences of two JSON values, lists of strings compared as sets. */
export function differences(at: string, ours: Json | undefined, theirs: Json | undefined): string[] {
  if (isObject(ours) && isObject(theirs)) {
    return [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].flatMap((key) =>
      differences(`${at} ${key}`, ours[key], theirs[key]),
    )
  }
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    const sorted = (list: readonly Json[]) => (list.every((item) => typeof item === 'string') ? [...list].sort() : list)
    const [left, right] = [sorted(ours as readonly Json[]), sorted(theirs as readonly Json[])]
    if (left.length === right.length && left.some(isObject)) {
      return left.flatMap((item, i) => differences(`${at}[${i}]`, item, right[i]))
    }
    return show(left) === show(right) ? [] : [`${at}: ours ${show(left)}, upstream ${show(right)}`]
  }
  return show(ours) === show(theirs) ? [] : [`${at}: ours ${show(ours)}, upstream ${show(theirs)}`]
}

const gvkKey = 'x-kubernetes-group-version-kind'
/** Definitions by name: those that both sides have; kinds of DeleteOptions and WatchEvent only as far as they are ours. */
export function compareDefinitions(at: string, ours: JsonObject, theirs: JsonObject): string[] {
  return Object.entries(ours).flatMap(([name, definition]) => {
    const other = theirs[name]
    if (!isObject(definition) || !isObject(other)) return []
    const { [gvkKey]: ourKinds, ...body } = definition
    const { [gvkKey]: theirKinds, ...otherBody } = other
    const unknown = asKinds(ourKinds).filter((kind) => !asKinds(theirKinds).some((known) => sameKind(kind, known)))
    const builtIn = unknown.filter(({ kind }) => kind !== 'DeleteOptions' && kind !== 'WatchEvent')
    const missing = asKinds(ourKinds).length === 0 && asKinds(theirKinds).length > 0
    return [
      ...differences(`${at} ${name}`, relevant(body), relevant(otherBody)),
      ...(builtIn.length > 0 || missing
        ? [`${at} ${name} kinds: ours ${show(ourKinds)}, upstream ${show(theirKinds)}`]
        : []),
    ]
  })
}
const asKinds = (value: Json | undefined): GroupVersionKind[] =>
  Array.isArray(value) ? (value as unknown as GroupVersionKind[]) : []
const sameKind = (a: GroupVersionKind, b: GroupVersionKind): boolean =>
  a.group === b.group && a.version === b.version && a.kind === b.kind

/** Replaces $ref to shared parameters of a v2 document by what they stand for, sorted by name. */
export function resolvedParameters(document: JsonObject): (item: Json) => Json {
  const shared = isObject(document.parameters) ? document.parameters : {}
  const one = (parameter: Json): Json => {
    const reference = isObject(parameter) ? parameter.$ref : undefined
    return typeof reference === 'string' ? (shared[reference.replace('#/parameters/', '')] ?? parameter) : parameter
  }
  const nameOf = (parameter: Json): string =>
    isObject(parameter) ? `${show(parameter.name)}${show(parameter.in)}` : ''
  const all = (value: Json): Json => {
    if (!isObject(value)) return value
    const out: Record<string, Json> = {}
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined) continue
      out[key] =
        key === 'parameters' && Array.isArray(member)
          ? (member as readonly Json[]).map(one).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
          : all(member)
    }
    return out
  }
  return all
}
/** Paths of both sides; upstream's paths that we lack count where their root is one of ours. */
export function comparePaths(
  at: string,
  ours: JsonObject,
  theirs: JsonObject,
  isOurs: (path: string) => boolean,
): string[] {
  const paths = (document: JsonObject): JsonObject => (isObject(document.paths) ? document.paths : {})
  const [left, right] = [resolvedParameters(ours)(paths(ours)), resolvedParameters(theirs)(paths(theirs))]
  if (!isObject(left) || !isObject(right)) return [`${at}: no paths`]
  const names = new Set([...Object.keys(left), ...Object.keys(right).filter(isOurs)])
  return [...names].flatMap((path) => {
    const [mine, other] = [left[path], right[path]]
    if (other === undefined) return []
    if (mine === undefined) return [`${at} ${path}: missing`]
    return differences(`${at} ${path}`, relevant(mine), relevant(other))
  })
}

type ProtobufFacts = Readonly<Record<string, Readonly<Record<string, readonly [number, string]>>>>
/** Field numbers and wire types of every schema that can be reached from `roots`. */
export function compareProtobuf(roots: readonly ObjectSchema[], facts: ProtobufFacts): string[] {
  const seen = new Map<ObjectSchema, Set<string>>()
  const pending = roots.map((schema) => [schema, protobufName(schema.name)] as const)
  const found: string[] = []
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [schema, name] = next
    const message = facts[name]
    const names = seen.get(schema) ?? new Set()
    if (message === undefined || names.has(name)) continue
    seen.set(schema, names.add(name))
    const lines = compareMessage(schema, name, message, facts, (inner, type) => pending.push([inner, type]))
    // a schema shared with an older version need not know what only that one had
    found.push(...(name === protobufName(schema.name) ? lines : lines.filter((line) => !line.endsWith(': missing'))))
  }
  return found
}
/** k8s.io.api.core.v1.Pod for io.k8s.api.core.v1.Pod. */
export const protobufName = (definition: string): string =>
  definition
    .replace(/^io\./, '')
    .replace(/^k8s\.(?!io\.)/, 'k8s.io.')
    .replace('apiextensions-apiserver', 'apiextensions_apiserver')
    .replace('kube-aggregator', 'kube_aggregator')

function compareMessage(
  schema: ObjectSchema,
  owner: string,
  message: ProtobufFacts[string],
  facts: ProtobufFacts,
  visit: (inner: ObjectSchema, type: string) => void,
): string[] {
  const known = new Set<string>()
  const lines = Object.entries(schema.fields).flatMap(([name, field]) => {
    if ((name === 'apiVersion' || name === 'kind') && field.tag === 0) return []
    const found = findField(owner, message, field, name, facts)
    if (typeof found === 'string') return [`protobuf ${owner} ${name}: ${found}`]
    known.add(found.outer)
    const [tag, type] = found.entry
    const ours = wireType(field.schema)
    const theirs = simplified(type, found.owner, facts)
    // an older version may share the messages of a newer one: what counts is what is in them
    const shared = ours.replace(/k8s.*$/, '') === theirs.replace(/k8s.*$/, '') && /k8s/.test(ours)
    const inner = innermost(field.schema)
    if (shared && inner !== undefined) visit(inner, theirs.replace(/^.*?k8s/, 'k8s'))
    return [
      ...(tag === field.tag ? [] : [`protobuf ${owner} ${name}: ours number ${field.tag}, upstream ${tag}`]),
      ...(ours === theirs || shared ? [] : [`protobuf ${owner} ${name}: ours type ${ours}, upstream ${theirs}`]),
    ]
  })
  const missing = Object.keys(message).filter((name) => !known.has(name.toLowerCase()))
  return [...lines, ...missing.map((name) => `protobuf ${owner} ${name}: missing`)]
}
function innermost(schema: Schema): ObjectSchema | undefined {
  const it = solid(schema)
  if (it.type === 'array') return innermost(it.items)
  if (it.type === 'map') return innermost(it.values)
  return it.type === 'object' ? it : undefined
}
interface Found {
  /** Name of the outermost entry, and the message that holds the field itself. */
  readonly outer: string
  readonly owner: string
  readonly entry: readonly [number, string]
}
/** The message's entry of a field, through the embedded messages around it. Names are compared without case and dashes. */
function findField(
  owner: string,
  message: ProtobufFacts[string],
  field: Field,
  name: string,
  facts: ProtobufFacts,
): Found | string {
  let current = message
  let outer: string | undefined
  let holder = owner
  for (const tag of field.within ?? []) {
    const around = Object.entries(current).find(([, [number]]) => number === tag)
    if (around === undefined) return `no embedded message has number ${tag}`
    outer ??= around[0].toLowerCase()
    holder = qualified(around[1][1], holder)
    current = facts[holder] ?? {}
  }
  const plain = (text: string) => text.replaceAll(/[-$]/g, '').toLowerCase()
  const entry = Object.entries(current).find(([key]) => plain(key) === plain(name))
  if (entry === undefined) return 'upstream has no such field'
  return { outer: outer ?? entry[0].toLowerCase(), owner: holder, entry: entry[1] }
}
const qualified = (type: string, owner: string): string =>
  type.startsWith('.') ? type.slice(1) : `${owner.slice(0, owner.lastIndexOf('.'))}.${type}`

const scalarMessages: Readonly<Record<string, string>> = {
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': 'time',
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': 'time',
  'k8s.io.apimachinery.pkg.apis.meta.v1.Duration': 'duration',
  'k8s.io.apimachinery.pkg.api.resource.Quantity': 'quantity',
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': 'intstr',
  'k8s.io.apimachinery.pkg.runtime.RawExtension': 'any',
  'k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1': 'any',
}
/** Upstream's type in the words of wireType. */
function simplified(type: string, owner: string, facts: ProtobufFacts): string {
  if (type.startsWith('[]')) return `[]${simplified(type.slice(2), owner, facts)}`
  const map = /^map<string, (.*)>$/.exec(type)
  if (map !== null) return `map ${simplified(map[1] ?? '', owner, facts)}`
  if (/^(string|bool|bytes|int32|int64|double)$/.test(type)) return type
  const name = qualified(type, owner)
  if (/\.(JSON|JSONSchemaPropsOr\w+)$/.test(name)) return 'any'
  if (facts[name] !== undefined && Object.keys(facts[name]).length === 0) return 'any'
  const only = Object.entries(facts[name] ?? {})
  if (only.length === 1 && only[0]?.[0] === 'items' && only[0][1][1] === '[]string') return 'wrapped []string'
  return scalarMessages[name] ?? name
}
function wireType(schema: Schema): string {
  const it = solid(schema)
  switch (it.type) {
    case 'string':
      if (it.format === 'byte') return 'bytes'
      if (it.format === 'duration') return 'duration'
      return it.format === 'date-time' || it.format === 'micro-time' ? 'time' : 'string'
    case 'integer':
      return it.format
    case 'number':
      return 'double'
    case 'boolean':
      return 'bool'
    case 'quantity':
      return 'quantity'
    case 'int-or-string':
      return 'intstr'
    case 'any':
      return 'any'
    case 'array':
      return `${it.list?.wrapped === true ? 'wrapped ' : ''}[]${wireType(it.items)}`
    case 'map':
      return `map ${wireType(it.values)}`
    case 'object':
      return protobufName(it.name)
  }
}
