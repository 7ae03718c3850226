// The words in which the default policy is written down: one line a rule, "verbs @ resources" for the core group,
// "verbs @ resources @ groups" for others, with names in square brackets where a rule is for some objects only.
import type { PolicyRule } from '../../../api/rbac/rbac.ts'

export interface DefaultRole {
  readonly name: string
  readonly rules: readonly PolicyRule[]
  readonly labels?: Readonly<Record<string, string>>
  /** The label by which other roles flow into this one. */
  readonly gathers?: string
}
export interface DefaultBinding {
  readonly name: string
  readonly role: string
  readonly subjects: readonly string[]
}

/** Short words for the verbs that mostly come together. */
const words: Readonly<Record<string, readonly string[]>> = {
  read: ['get', 'list', 'watch'],
  follow: ['list', 'watch'],
  write: ['create', 'delete', 'deletecollection', 'patch', 'update'],
  change: ['patch', 'update'],
  all: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
}
/** The core group in a list of groups. */
const core = 'core'

/** One rule from a line such as "read follow @ pods services/status @ core apps [name]". */
export function rule(line: string): PolicyRule {
  const [verbPart = '', resourcePart = '', groupPart = core] = line.split('@').map((part) => part.trim())
  const names = /\[(.*)\]/.exec(line)?.[1]?.split(' ')
  const list = (text: string) =>
    text
      .replace(/\[.*\]/, '')
      .trim()
      .split(/ +/)
      .filter((word) => word !== '')
  const verbs = [...new Set(list(verbPart).flatMap((word) => words[word] ?? [word]))].sort()
  const resources = list(resourcePart)
  if (resources.every((resource) => resource.startsWith('/'))) return { verbs, nonResourceURLs: resources }
  const groups = list(groupPart).map((group) => (group === core ? '' : group))
  return {
    verbs,
    apiGroups: groups.length === 0 ? [''] : groups,
    resources,
    ...(names === undefined ? {} : { resourceNames: names }),
  }
}
export const role = (name: string, ...lines: readonly string[]): DefaultRole => ({ name, rules: lines.map(rule) })

/** Writing events, in both of their groups. */
export const events = 'create change @ events @ core events.k8s.io'
