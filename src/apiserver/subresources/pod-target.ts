// Which container of a pod a request for its log, exec or attach means, and which node it runs on.
import type { Pod } from '../../api/core/pod.ts'
import { badRequest } from '../../api/machinery/errors.ts'
import type { NodeApi, PodAddress } from '../../ports/node-api.ts'
import type { ResourceRequest } from '../context.ts'
import { currentEntry } from '../handlers/get.ts'

const defaultContainer = 'kubectl.kubernetes.io/default-container'

/** The pod of the request. Throws NotFound. */
export async function podOf(call: ResourceRequest): Promise<Pod> {
  const entry = await currentEntry(call)
  return call.resource.storage.collection.object(entry) as unknown as Pod
}

/** The container that the request names or means. Throws BadRequest. */
export function containerOf(pod: Pod, asked: string): string {
  const { name } = pod.metadata
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec
  if (asked === '') {
    const chosen = pod.metadata.annotations?.[defaultContainer]
    if (chosen !== undefined && containers.some((c) => c.name === chosen)) return chosen
    const [only, ...others] = containers
    if (only !== undefined && others.length === 0 && initContainers.length === 0 && ephemeralContainers.length === 0) {
      return only.name
    }
    if (only !== undefined && others.length === 0 && ephemeralContainers.length === 0) return only.name
    const names = (list: readonly { readonly name: string }[]) => list.map((c) => c.name).join(' ')
    let text = `a container name must be specified for pod ${name}, choose one of: [${names(containers)}]`
    if (initContainers.length > 0) text += ` or one of the init containers: [${names(initContainers)}]`
    if (ephemeralContainers.length > 0) text += ` or one of the ephemeral containers: [${names(ephemeralContainers)}]`
    throw badRequest(text)
  }
  if (![...containers, ...initContainers, ...ephemeralContainers].some((c) => c.name === asked)) {
    throw badRequest(`container ${asked} is not valid for pod ${name}`)
  }
  return asked
}

/** The node that the pod runs on. Throws BadRequest where there is none yet. */
export async function nodeOf(call: ResourceRequest, pod: Pod): Promise<NodeApi> {
  mustBePlaced(pod)
  return call.server.nodes.connect(pod.spec.nodeName ?? '')
}
/** Throws BadRequest for a pod that is on no node. */
export function mustBePlaced(pod: Pod): void {
  if ((pod.spec.nodeName ?? '') === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`)
}
export const addressOf = (pod: Pod, container: string): PodAddress => ({
  namespace: pod.metadata.namespace ?? '',
  pod: pod.metadata.name,
  container,
})
