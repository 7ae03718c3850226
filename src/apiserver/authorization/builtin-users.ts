// Parts of this program that do in one process what upstream spreads over a service account for each controller: they are
// trusted as a whole.
import type { Authorizer } from './authorizer.ts'

const components = new Set(['system:kube-controller-manager', 'system:apiserver'])
/** The node's network part also serves DNS, ingress and network policies, which need to read more than a proxy does. */
const networkReader = 'system:kube-proxy'
const reads = new Set(['get', 'list', 'watch'])

export const builtinUsers: Authorizer = {
  name: 'Components',
  authorize({ user, verb }) {
    if (components.has(user.name)) return { decision: 'allow', reason: '' }
    if (user.name === networkReader && reads.has(verb)) return { decision: 'allow', reason: '' }
    return { decision: 'no-opinion', reason: '' }
  },
}
