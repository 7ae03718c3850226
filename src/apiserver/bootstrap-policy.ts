// Keeps the default RBAC policy: creates what is missing, and adds to the default roles and bindings what a newer version
// has, unless their autoupdate annotation says no. What an administrator added stays.
import type { PolicyRule, Subject } from '../api/rbac/rbac.ts'
import { rbacGroup } from '../api/rbac/rbac.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { uncovered } from './authorization/covers.ts'
import { addedPolicy, autoUpdate, defaultPolicy, type PolicyManifest } from './authorization/policy/manifests.ts'
import type { ServerContext } from './context.ts'

/** Sends a request as the server itself. */
export type Send = (method: 'POST' | 'PATCH', path: string, object: object, contentType?: string) => Promise<void>

export async function bootstrapPolicy(server: ServerContext, send: Send): Promise<void> {
  const policy = [...defaultPolicy(), ...addedPolicy()]
  const wanted = policy.filter(({ plural }) => server.resources.storage(rbacGroup, plural) !== undefined)
  const plurals = [...new Set(wanted.map(({ plural }) => plural))]
  await Promise.all(plurals.map((plural) => server.resources.required(rbacGroup, plural).collection.ready()))
  await Promise.all(wanted.map((manifest) => settle(server, send, manifest)))
}

async function settle(server: ServerContext, send: Send, manifest: PolicyManifest): Promise<void> {
  const { plural, namespace, object } = manifest
  const { collection } = server.resources.required(rbacGroup, plural)
  const base = `/apis/${rbacGroup}/v1/${namespace === '' ? '' : `namespaces/${namespace}/`}${plural}`
  const entry = collection.find(namespace, object.metadata.name)
  if (entry === undefined) return send('POST', base, object)
  const addition = missingFrom(collection.object(entry), object)
  if (addition === undefined) return
  await send('PATCH', `${base}/${object.metadata.name}`, addition, 'application/merge-patch+json')
}

/** A merge patch that adds what a stored object lacks; undefined where it lacks nothing or must not be touched. */
function missingFrom(stored: KubeObject, wanted: PolicyManifest['object']): object | undefined {
  if (stored.metadata.annotations?.[autoUpdate] !== 'true') return undefined
  const { rules, subjects } = stored as unknown as { rules?: readonly PolicyRule[]; subjects?: readonly Subject[] }
  const wantedRules = (wanted['rules'] ?? []) as readonly PolicyRule[]
  const wantedSubjects = (wanted['subjects'] ?? []) as readonly Subject[]
  const newRules = uncovered(rules ?? [], wantedRules)
  const newSubjects = wantedSubjects.filter(
    (s) => !(subjects ?? []).some((k) => k.kind === s.kind && k.name === s.name && k.namespace === s.namespace),
  )
  if (newRules.length === 0 && newSubjects.length === 0) return undefined
  return {
    ...(newRules.length === 0 ? {} : { rules: [...(rules ?? []), ...newRules] }),
    ...(newSubjects.length === 0 ? {} : { subjects: [...(subjects ?? []), ...newSubjects] }),
  }
}
