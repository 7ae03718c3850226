// Whether some rules grant everything that others grant: nobody may give away more than they have.
import type { PolicyRule } from '../../api/rbac/rbac.ts'

/** One verb on one resource (and name) or one URL. */
function* atoms(rule: PolicyRule): Iterable<PolicyRule> {
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [url] }
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const base = { verbs: [verb], apiGroups: [group], resources: [resource] }
        const names = rule.resourceNames ?? []
        if (names.length === 0) yield base
        for (const name of names) yield { ...base, resourceNames: [name] }
      }
    }
  }
}

/** The parts of `wanted` that `owned` does not grant. */
export function uncovered(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap((rule) => [...atoms(rule)]).filter((atom) => !owned.some((rule) => coversAtom(rule, atom)))
}

function coversAtom(rule: PolicyRule, atom: PolicyRule): boolean {
  const all = (owned: readonly string[] | undefined, wanted: readonly string[] | undefined) =>
    (wanted ?? []).every((value) => (owned ?? []).includes('*') || (owned ?? []).includes(value))
  if (!all(rule.verbs, atom.verbs)) return false
  if (atom.nonResourceURLs !== undefined) {
    return atom.nonResourceURLs.every((url) =>
      (rule.nonResourceURLs ?? []).some(
        (owned) => owned === '*' || owned === url || (owned.endsWith('*') && url.startsWith(owned.slice(0, -1))),
      ),
    )
  }
  if (!all(rule.apiGroups, atom.apiGroups)) return false
  const resources = (atom.resources ?? []).every((resource) => {
    const owned = rule.resources ?? []
    const slash = resource.indexOf('/')
    return (
      owned.includes('*') || owned.includes(resource) || (slash >= 0 && owned.includes(`*${resource.slice(slash)}`))
    )
  })
  if (!resources) return false
  const names = rule.resourceNames ?? []
  return names.length === 0 || ((atom.resourceNames ?? []).length > 0 && all(names, atom.resourceNames))
}

/** Rules as upstream prints them in a refusal. */
export const printRule = (rule: PolicyRule): string => {
  const list = (values: readonly string[]) => `[${values.map((v) => JSON.stringify(v)).join(' ')}]`
  const parts = [
    rule.nonResourceURLs === undefined ? '' : `NonResourceURLs:${list(rule.nonResourceURLs)}`,
    rule.apiGroups === undefined ? '' : `APIGroups:${list(rule.apiGroups)}`,
    rule.resources === undefined ? '' : `Resources:${list(rule.resources)}`,
    rule.resourceNames === undefined ? '' : `ResourceNames:${list(rule.resourceNames)}`,
    `Verbs:${list(rule.verbs)}`,
  ]
  return `{${parts.filter((part) => part !== '').join(', ')}}`
}
