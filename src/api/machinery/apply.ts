// Server-side apply (KEP-555): who owns which field. An applied configuration is merged into the live object; it takes
// away what the same manager claimed before and no longer does; it conflicts where it changes what others own. Every other
// write is tracked as well, so that appliers learn of it.
import { perSchema } from './compile.ts'
import { decode } from './decode.ts'
import { ApiError } from './errors.ts'
import {
  emptySet,
  type FieldSet,
  inOrder,
  intersect,
  isEmptySet,
  parseFieldSet,
  printPaths,
  sameSet,
  share,
  subtract,
  subtractAll,
  unite,
} from './field-set.ts'
import { type Changes, compareFields, fieldsOf, FieldWalkError, mergeFields, withoutFields } from './field-walk.ts'
import { freeze } from './freeze.ts'
import type { ManagedFieldsEntry } from './meta.ts'
import type { Json, JsonObject, ObjectSchema, Schema } from './schema.ts'
import { formatTime } from './time.ts'

export interface Writer {
  /** The field manager's name (?fieldManager= or the start of the user agent). */
  readonly manager: string
  readonly apiVersion: string
  readonly nowMs: number
  /** status, scale ...; absent for the resource itself. */
  readonly subresource?: string
  /** Fields that a write through this door cannot change, such as status: never owned by it. */
  readonly ignored?: FieldSet
}
export interface Applier extends Writer {
  readonly force: boolean
}

interface Manager {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly subresource: string
  readonly time: string | undefined
  readonly set: FieldSet
  /** The entry that says just this, where there is one. */
  readonly entry?: ManagedFieldsEntry
}

/** Metadata that nobody owns, for it is the server's own. */
const nobodys = [
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
  'managedFields',
  'name',
  'namespace',
  'resourceVersion',
  'selfLink',
  'uid',
]
/** An object as far as its fields can be owned. */
function ownable(object: JsonObject): JsonObject {
  const { apiVersion: _, kind: __, metadata, ...rest } = object
  const kept: Record<string, Json> = {}
  const members = asObject(metadata)
  for (const name in members) {
    const value = members[name]
    if (value !== undefined && !nobodys.includes(name)) kept[name] = value
  }
  return { metadata: kept, ...rest }
}
/** `set` without what the writer ignores; asked about a shared set again, the same answer. */
function allowed(set: FieldSet, { ignored }: Writer): FieldSet {
  if (ignored === undefined) return set
  let known = allowedOf.get(ignored)
  if (known === undefined) allowedOf.set(ignored, (known = new WeakMap()))
  let answer = known.get(set)
  if (answer === undefined) known.set(set, (answer = share(subtractAll(set, ignored))))
  return answer
}
const allowedOf = new WeakMap<FieldSet, WeakMap<FieldSet, FieldSet>>()

/** The object that applying `config` to `live` makes, managedFields included. `config` comes from decodeSparse.
 * Throws ApiError: Conflict where it would change others' fields without force, BadRequest on lists with double keys. */
export function applyConfiguration(
  schema: ObjectSchema,
  live: JsonObject | undefined,
  config: JsonObject,
  applier: Applier,
): JsonObject {
  try {
    return apply(schema, live, config, applier)
  } catch (error) {
    if (error instanceof FieldWalkError) throw new ApiError('BadRequest', error.message)
    throw error
  }
}
function apply(schema: ObjectSchema, live: JsonObject | undefined, config: JsonObject, applier: Applier): JsonObject {
  const place = { schema }
  const before = withoutManagedFields(live ?? {})
  const managers = readManagers(metadataOf(live).managedFields)
  const mine = (entry: Manager) => sameIdentity(entry, identity(applier, 'Apply'))
  const last = managers.find(mine)
  const claims = fieldsOf(place, ownable(config)) ?? emptySet
  // metadata is no claim of its own where nothing is said in it
  const claimed = allowed(subtract(claims, { 'f:metadata': {} }), applier)
  const others = managers.filter((entry) => !mine(entry))
  const merged = mergeFields(place, before, config) as JsonObject
  const kept = others.reduce((set, entry) => unite(set, entry.set), claimed)
  const gone = last === undefined ? emptySet : abandoned(last.set, kept)
  const next = (isEmptySet(gone) ? merged : (withoutFields(place, merged, gone) ?? {})) as JsonObject
  const changes = compareFields(place, ownable(before), ownable(next))
  const conflicts = findConflicts(others, changes)
  if (conflicts.length > 0 && !applier.force && !forgiven(schema, before, conflicts, applier)) {
    throw applyConflict(conflicts)
  }
  const left = others.map((entry) => yieldFields(entry, changes))
  const entry: Manager = {
    ...identity(applier, 'Apply'),
    apiVersion: applier.apiVersion,
    set: claimed,
    time:
      last !== undefined && sameSet(last.set, claimed) && isUnchanged(changes) ? last.time : formatTime(applier.nowMs),
  }
  return withManagers(rememberLastApplied(next, config, applier), [...left, entry])
}

/** managedFields after an ordinary write of `next` over `live`; `next` is complete and defaulted. */
export function trackUpdate(
  schema: ObjectSchema,
  live: JsonObject | undefined,
  next: JsonObject,
  writer: Writer,
): readonly ManagedFieldsEntry[] {
  const given = metadataOf(next).managedFields
  const managers = isReset(given) ? [] : readManagers(given ?? metadataOf(live).managedFields)
  const changes = compareFields({ schema }, live === undefined ? emptyFields(schema) : ownable(live), ownable(next))
  const me = identity(writer, 'Update')
  const mine = managers.find((entry) => sameIdentity(entry, me))
  const left = managers.filter((entry) => entry !== mine).map((entry) => yieldFields(entry, changes))
  const touched = allowed(share(unite(changes.added, changes.modified)), writer)
  const set = unite(mine === undefined ? emptySet : subtractAll(mine.set, changes.removed), touched)
  const entry: Manager =
    mine !== undefined && sameSet(mine.set, set) ? mine : { ...me, set, time: formatTime(writer.nowMs) }
  return writeManagers(capped([...left, entry]))
}

/** A manager loses what another write changed or removed: by force, or because an update asks nobody. */
function yieldFields(entry: Manager, changes: Changes): Manager {
  const set = subtractAll(subtract(entry.set, unite(changes.added, changes.modified)), changes.removed)
  if (sameSet(set, entry.set)) return entry
  const { entry: _, ...rest } = entry
  return { ...rest, set }
}
const isUnchanged = (changes: Changes): boolean =>
  isEmptySet(changes.added) && isEmptySet(changes.modified) && isEmptySet(changes.removed)

/** Members of `last` that neither are in `kept` nor have anything of it below them. */
function abandoned(last: FieldSet, kept: FieldSet): FieldSet {
  const visit = (node: FieldSet, holders: FieldSet | undefined): FieldSet | undefined => {
    if (holders === undefined) return isMemberNode(node) ? {} : trim(node)
    const children = Object.entries(node).flatMap(([element, child]): [string, FieldSet][] => {
      if (element === '.' || child === undefined) return []
      const inner = visit(child, Object.hasOwn(holders, element) ? holders[element] : undefined)
      return inner === undefined ? [] : [[element, inner]]
    })
    return children.length === 0 ? undefined : Object.fromEntries(children)
  }
  const trim = (node: FieldSet): FieldSet | undefined => visit(node, emptySet)
  return visit(last, kept) ?? emptySet
}
const isMemberNode = (node: FieldSet): boolean => isEmptySet(node) || node['.'] !== undefined

interface Conflict {
  readonly manager: Manager
  readonly set: FieldSet
}
function findConflicts(others: readonly Manager[], changes: Changes): Conflict[] {
  const changed = unite(changes.added, changes.modified)
  return others.flatMap((manager) => {
    const set = intersect(manager.set, changed)
    return isEmptySet(set) ? [] : [{ manager, set }]
  })
}
function applyConflict(conflicts: readonly Conflict[]): ApiError {
  const all = conflicts
    .flatMap(({ manager, set }) => printPaths(set).map((path) => ({ manager: printManager(manager), path })))
    .sort((a, b) => (a.manager < b.manager ? -1 : a.manager > b.manager ? 1 : 0))
  const [first] = all
  const groups = [...new Set(all.map(({ manager }) => manager))].map((manager) =>
    [`conflicts with ${manager}:`, ...all.filter((one) => one.manager === manager).map(({ path }) => `- ${path}`)].join(
      '\n',
    ),
  )
  const message =
    all.length === 1 && first !== undefined
      ? `Apply failed with 1 conflict: conflict with ${first.manager}: ${first.path}`
      : `Apply failed with ${all.length} conflicts: ${groups.join('\n')}`
  return new ApiError('Conflict', message, {
    causes: all.map(({ manager, path }) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${manager}`,
      field: path,
    })),
  })
}
function printManager({ manager, subresource, operation, apiVersion }: Manager): string {
  const name =
    subresource === ''
      ? JSON.stringify(manager)
      : `${JSON.stringify(manager)} with subresource ${JSON.stringify(subresource)}`
  return operation === 'Update' ? `${name} using ${apiVersion}` : name
}

const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration'
const annotationsOf = (object: JsonObject): JsonObject => asObject(metadataOf(object).annotations)
const asObject = (value: unknown): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {}
/** kubectl may take over what kubectl applied on the client's side before: it recorded that in an annotation. */
function forgiven(schema: ObjectSchema, live: JsonObject, conflicts: readonly Conflict[], applier: Applier): boolean {
  const text = annotationsOf(live)[lastAppliedAnnotation]
  if (applier.manager !== 'kubectl' || typeof text !== 'string') return false
  let recorded: Json
  try {
    recorded = JSON.parse(text) as Json
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
  const place = { schema }
  const claimed = fieldsOf(place, ownable(asObject(recorded))) ?? emptySet
  // only what still is as it was applied
  const differing = compareFields(place, ownable(asObject(recorded)), ownable(live))
  const allowed = subtractAll(subtractAll(claimed, differing.modified), differing.removed)
  return conflicts.every(({ set }) => isEmptySet(subtract(set, allowed)))
}
/** Keeps the annotation true while kubectl changes over, so that it can go back to the client's side. */
function rememberLastApplied(next: JsonObject, config: JsonObject, applier: Applier): JsonObject {
  if (applier.manager !== 'kubectl' || annotationsOf(next)[lastAppliedAnnotation] === undefined) return next
  const { [lastAppliedAnnotation]: _, ...annotations } = annotationsOf(config)
  const recorded = { ...config, metadata: { ...asObject(config.metadata), annotations } }
  const text = `${JSON.stringify(recorded)}\n`
  if (text.length > 256 * 1024) return next
  const metadata = asObject(next.metadata)
  return {
    ...next,
    metadata: { ...metadata, annotations: { ...annotationsOf(next), [lastAppliedAnnotation]: text } },
  }
}

const metadataOf = (object: JsonObject | undefined): { managedFields?: unknown; annotations?: unknown } =>
  asObject(object?.metadata)
function withoutManagedFields(object: JsonObject): JsonObject {
  const metadata = asObject(object.metadata)
  if (metadata.managedFields === undefined) return object
  const { managedFields: _, ...rest } = metadata
  return { ...object, metadata: rest }
}
/** What an object is before it is: what is always there. */
const emptyFields = perSchema((schema: Schema): JsonObject => freeze(ownable(decode<JsonObject>(schema, {}).value)))

const identity = (writer: Writer, operation: Manager['operation']): Manager => ({
  manager: writer.manager,
  operation,
  apiVersion: writer.apiVersion,
  subresource: writer.subresource ?? '',
  time: undefined,
  set: emptySet,
})
/** An applier stays the same one when it changes versions; an updater does not. */
const sameIdentity = (a: Manager, b: Manager): boolean =>
  a.manager === b.manager &&
  a.operation === b.operation &&
  a.subresource === b.subresource &&
  (a.operation === 'Apply' || a.apiVersion === b.apiVersion)

/** A client clears ownership with an empty list, or with a list of one empty entry. */
const isReset = (given: unknown): boolean =>
  Array.isArray(given) && given.every((entry) => Object.keys(asObject(entry)).length === 0)
function readManagers(given: unknown): Manager[] {
  if (!Array.isArray(given)) return []
  return (given as readonly ManagedFieldsEntry[]).flatMap((entry): Manager[] => {
    const set = trusted.has(entry) ? (entry.fieldsV1 as unknown as FieldSet) : parseFieldSet(entry.fieldsV1)
    if (set === undefined || (entry.operation !== 'Apply' && entry.operation !== 'Update')) return []
    return [
      {
        manager: entry.manager ?? '',
        operation: entry.operation,
        apiVersion: entry.apiVersion ?? '',
        subresource: entry.subresource ?? '',
        time: entry.time,
        set,
        ...(trusted.has(entry) ? { entry } : {}),
      },
    ]
  })
}
/** Entries that were made here need no second reading. */
const trusted = new WeakSet<ManagedFieldsEntry>()
const byAge = (a: Manager, b: Manager): number => {
  const compare = (x: string, y: string) => (x < y ? -1 : x > y ? 1 : 0)
  return (
    compare(a.operation, b.operation) ||
    compare(a.time ?? '', b.time ?? '') ||
    compare(a.manager, b.manager) ||
    compare(a.apiVersion, b.apiVersion) ||
    compare(a.subresource, b.subresource)
  )
}
function writeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  return managers
    .filter(({ set }) => !isEmptySet(set))
    .sort(byAge)
    .map((manager) => manager.entry ?? entryOf(manager))
}
/** The entry of a manager. Of a client that makes many alike objects in one second, they all have the same one. */
function entryOf({ manager, operation, apiVersion, time, set, subresource }: Manager): ManagedFieldsEntry {
  const fields = sorted(set)
  const last = lastEntries.get(fields)
  if (
    last !== undefined &&
    last.time === time &&
    last.manager === manager &&
    last.operation === operation &&
    last.apiVersion === apiVersion &&
    (last.subresource ?? '') === subresource
  )
    return last
  const entry: ManagedFieldsEntry = Object.freeze({
    manager,
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: fields as unknown as Json,
    ...(subresource === '' ? {} : { subresource }),
  })
  trusted.add(entry)
  lastEntries.set(fields, entry)
  return entry
}
const lastEntries = new WeakMap<FieldSet, ManagedFieldsEntry>()
/** The set with its elements in order, shared. One that was read from the store is shared first: it is then a known one. */
function sorted(set: FieldSet): FieldSet {
  const one = share(set)
  const known = sortedSets.get(one)
  if (known !== undefined) return known
  const made = share(inOrder(one))
  sortedSets.set(one, made)
  return made
}
const sortedSets = new WeakMap<FieldSet, FieldSet>()
function withManagers(object: JsonObject, managers: readonly Manager[]): JsonObject {
  const entries = writeManagers(managers)
  const metadata = asObject(object.metadata)
  return {
    ...object,
    metadata: { ...metadata, ...(entries.length === 0 ? {} : { managedFields: entries as unknown as Json }) },
  }
}

const maxUpdaters = 10
/** Old updates are put together under one name, so that the list stays short. */
function capped(managers: readonly Manager[]): Manager[] {
  const updaters = managers.filter(({ operation, set }) => operation === 'Update' && !isEmptySet(set)).sort(byAge)
  const excess = updaters.length - maxUpdaters
  if (excess <= 0) return [...managers]
  // one more goes, to make room for the bucket
  const ancient = updaters.filter(({ manager }) => manager !== 'ancient-changes').slice(0, excess + 1)
  const gathered = new Map<string, Manager>()
  for (const entry of [...updaters.filter(({ manager }) => manager === 'ancient-changes'), ...ancient]) {
    const known = gathered.get(entry.apiVersion)
    const { entry: _, ...rest } = entry
    gathered.set(entry.apiVersion, {
      ...rest,
      manager: 'ancient-changes',
      subresource: '',
      set: known === undefined ? entry.set : unite(known.set, entry.set),
    })
  }
  const rest = managers.filter((entry) => !ancient.includes(entry) && entry.manager !== 'ancient-changes')
  return [...rest, ...gathered.values()]
}
