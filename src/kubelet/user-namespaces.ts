// Id ranges of pods with hostUsers: false (KEP-127). Each such pod gets 65,536 ids of its own, chosen by its UID so that
// a restarted kubelet chooses the same ones.
import type { Pod } from './types.ts'
import type { UserNamespace } from './security.ts'

const length = 65_536
const slots = 65_000 - 2

export function userNamespaceOf(pod: Pod): UserNamespace | undefined {
  if (pod.spec.hostUsers !== false) return undefined
  let hash = 0x811c9dc5
  for (const char of pod.metadata.uid) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0
  // The first slot holds the node's own ids.
  const hostId = (1 + (hash % slots)) * length
  const mapping = { hostId, containerId: 0, length }
  return { mode: 'pod', uids: [mapping], gids: [mapping] }
}
