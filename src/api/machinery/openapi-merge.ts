// OpenAPI v2 of several servers in one document: the paths that are the other server's to answer, with the definitions that
// they lead to. A definition whose name means something else here gets another name.
import { equal } from './equal.ts'
import { ownMember } from './freeze.ts'
import type { Json, JsonObject } from './schema.ts'

const prefix = '#/definitions/'
const membersOf = (document: JsonObject, key: string): JsonObject => (document[key] ?? {}) as JsonObject

/** `own` with everything of `other` below a path. */
export function mergeOpenApiV2(own: JsonObject, other: JsonObject, below: string): JsonObject {
  const definitions: Record<string, Json | undefined> = { ...membersOf(own, 'definitions') }
  const theirs = membersOf(other, 'definitions')
  const taken = Object.entries(membersOf(other, 'paths')).filter(([path]) => path.startsWith(below))
  const names = new Map<string, string>()
  for (const name of reachable(
    taken.map(([, item]) => item as Json),
    theirs,
  )) {
    names.set(name, freeName(name, theirs[name] as Json, definitions))
  }
  for (const [name, as] of names) definitions[as] = renamed(theirs[name] as Json, names)
  const paths: Record<string, Json | undefined> = { ...membersOf(own, 'paths') }
  for (const [path, item] of taken) paths[path] = renamed(item as Json, names)
  return { ...own, paths, definitions }
}

function freeName(name: string, definition: Json, used: JsonObject): string {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name : `${name}_v${i}`
    const there = ownMember(used, candidate)
    if (there === undefined || equal(there, definition)) return candidate
  }
}

/** Names of the definitions that a value leads to. */
function reachable(roots: readonly Json[], definitions: JsonObject): Set<string> {
  const found = new Set<string>()
  const pending: Json[] = [...roots]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next !== 'object' || next === null) continue
    for (const [key, value] of Object.entries(next)) {
      if (key === '$ref' && typeof value === 'string' && value.startsWith(prefix)) {
        const name = value.slice(prefix.length)
        const definition = ownMember(definitions, name)
        if (definition === undefined || found.has(name)) continue
        found.add(name)
        pending.push(definition)
      } else if (value !== undefined) pending.push(value as Json)
    }
  }
  return found
}

function renamed(value: Json, names: ReadonlyMap<string, string>): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => renamed(item, names))
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, member]) => {
      if (key === '$ref' && typeof member === 'string' && member.startsWith(prefix)) {
        const name = member.slice(prefix.length)
        return [key, `${prefix}${names.get(name) ?? name}`]
      }
      return [key, renamed(member as Json, names)]
    }),
  )
}
