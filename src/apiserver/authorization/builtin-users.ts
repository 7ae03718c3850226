// The cluster's own components, and what everybody may ask: health, version, discovery.
import type { Authorizer } from './authorizer.ts'

const components =
  /^system:(kube-scheduler|kube-controller-manager|kube-proxy|apiserver|node:|serviceaccount:kube-system:)/
const publicPaths = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/'])
const discoveryPath = /^\/(api|apis|openapi|openid)(\/|$)|^\/\.well-known\//

export const builtinUsers: Authorizer = {
  name: 'Components',
  authorize({ user, isResource, path, verb }) {
    if (components.test(user.name)) return { decision: 'allow', reason: '' }
    if (!isResource && verb === 'get') {
      if (publicPaths.has(path)) return { decision: 'allow', reason: '' }
      if (discoveryPath.test(path) && user.groups.includes('system:authenticated'))
        return { decision: 'allow', reason: '' }
    }
    return { decision: 'no-opinion', reason: '' }
  },
}
