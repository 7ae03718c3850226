// Pods that wait for a node which was cleared for them: others of lower priority must not take the room meanwhile.
import type { PodInfo } from '../state/pod-info.ts'

const none: ReadonlyMap<string, PodInfo> = new Map()

export class Nominator {
  private readonly byNode = new Map<string, Map<string, PodInfo>>()
  private readonly nodes = new Map<string, string>()
  get isEmpty(): boolean {
    return this.nodes.size === 0
  }
  set(pod: PodInfo, nodeName: string): void {
    this.delete(pod.uid)
    this.nodes.set(pod.uid, nodeName)
    const pods = this.byNode.get(nodeName)
    if (pods === undefined) this.byNode.set(nodeName, new Map([[pod.uid, pod]]))
    else pods.set(pod.uid, pod)
  }
  delete(uid: string): void {
    const nodeName = this.nodes.get(uid)
    if (nodeName === undefined) return
    this.nodes.delete(uid)
    const pods = this.byNode.get(nodeName)
    pods?.delete(uid)
    if (pods?.size === 0) this.byNode.delete(nodeName)
  }
  nodeOf(uid: string): string | undefined {
    return this.nodes.get(uid)
  }
  /** Pods by UID that are to come to the node. */
  on(nodeName: string): ReadonlyMap<string, PodInfo> {
    return this.byNode.get(nodeName) ?? none
  }
}
