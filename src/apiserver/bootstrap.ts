// Objects that exist in every cluster from the first moment: the system namespaces and priority classes. Each is created
// once; what an administrator has made of it since is left alone.
import { ApiError } from '../api/machinery/errors.ts'
import { systemPriorityClasses } from '../api/scheduling/priority-class.ts'
import { known } from './authentication/authenticator.ts'
import type { ServerContext } from './context.ts'
import { dispatchResource } from './dispatch.ts'
import type { UserInfo } from './request.ts'
import { resolveRequestInfo } from './request-info.ts'

const apiserver: UserInfo = Object.freeze(known({ name: 'system:apiserver', groups: ['system:masters'] }))

/** Creates what is missing. */
export async function bootstrap(server: ServerContext): Promise<void> {
  const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease']
  await Promise.all(
    namespaces.map((name) =>
      ensure(server, '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
    ),
  )
  await Promise.all(
    systemPriorityClasses.map(({ name, value, description }) =>
      ensure(server, '/apis/scheduling.k8s.io/v1/priorityclasses', {
        apiVersion: 'scheduling.k8s.io/v1',
        kind: 'PriorityClass',
        metadata: { name },
        value,
        description,
      }),
    ),
  )
}

/** Creates an object through the pipeline's own handlers unless it exists. */
export async function ensure(server: ServerContext, path: string, object: object): Promise<void> {
  const request = { method: 'POST', path, headers: {}, object, user: apiserver, wantsObjects: true } as const
  const info = resolveRequestInfo(request)
  if (server.resources.get(info.group, info.version, info.resource) === undefined) return
  try {
    await dispatchResource(server, request, info, apiserver)
  } catch (error) {
    if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error
  }
}
