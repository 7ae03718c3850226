// Mirror pods: how the API sees static pods. One that is missing or out of date is made anew; one without a static pod
// behind it is removed.
import { nodes } from '../api/core/node.ts'
import { pods } from '../api/core/pod.ts'
import { isReason } from '../api/machinery/errors.ts'
import type { KubeletContext } from './context.ts'
import { hashAnnotation, mirrorAnnotation } from './static-pods.ts'
import { namespaceOf, type Pod } from './types.ts'

const retryMs = 5000

/** True when the mirror shows this very static pod and is not being deleted. */
export const mirrors = (mirror: Pod, pod: Pod): boolean =>
  mirror.metadata.deletionTimestamp === undefined &&
  mirror.metadata.annotations?.[mirrorAnnotation] === pod.metadata.annotations?.[hashAnnotation]

export class MirrorPods {
  readonly #context: KubeletContext
  /** Names whose mirror is being made or removed. */
  readonly #busy = new Set<string>()
  constructor(context: KubeletContext) {
    this.#context = context
  }
  /** Boundary: a mirror that cannot be made is tried again; the pod runs without it. `wanted` says whether it still is. */
  make(pod: Pod, wanted: () => boolean): void {
    const { name } = pod.metadata
    const key = `${namespaceOf(pod)}/${name}`
    if (this.#busy.has(key)) return
    this.#busy.add(key)
    this.#create(pod).then(
      () => this.#busy.delete(key),
      (error: unknown) => {
        this.#busy.delete(key)
        if (isReason(error, 'AlreadyExists')) return
        this.#context.log.debug('cannot make a mirror pod yet', { pod: key, error: String(error) })
        this.#context.clock.after(retryMs, () => {
          if (wanted()) this.make(pod, wanted)
        })
      },
    )
  }
  async #create(pod: Pod): Promise<void> {
    const { client, nodeName } = this.#context
    const { name, namespace, labels, annotations } = pod.metadata
    const node = await client.resource(nodes).get(nodeName)
    const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid, controller: true }
    await client.resource(pods).create({
      metadata: {
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labels === undefined ? {} : { labels }),
        annotations: { ...annotations, [mirrorAnnotation]: annotations?.[hashAnnotation] ?? '' },
        ownerReferences: [owner],
      },
      spec: pod.spec,
    })
  }
  /** Boundary: a removal that fails is logged; the mirror comes by again with the next list. */
  async remove(mirror: Pod): Promise<void> {
    const { name, uid } = mirror.metadata
    try {
      await this.#context.client
        .resource(pods)
        .delete(name, namespaceOf(mirror), { gracePeriodSeconds: 0, preconditions: { uid } })
    } catch (error) {
      if (isReason(error, 'NotFound') || isReason(error, 'Conflict')) return
      this.#context.log.warn('cannot remove a mirror pod', { pod: name, error: String(error) })
    }
  }
}
