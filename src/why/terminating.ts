// Why an object that was deleted is still there: who holds it, and what its node does.
import type { Event } from '../api/core/event.ts'
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { newest } from './reader.ts'
import { advice, type Cause, cause, type Remedy } from './answer.ts'

interface Held {
  readonly causes: readonly Cause[]
  readonly remedies: readonly Remedy[]
}

/** Finalizers of the system, and what takes each away. */
const known: Readonly<Record<string, string>> = {
  foregroundDeletion: 'the garbage collector removes it when everything that the object owns is gone',
  orphan: 'the garbage collector removes it when what the object owned has lost its reference to it',
  'batch.kubernetes.io/job-tracking': 'the Job controller removes it when the end of the pod is counted',
  'kubernetes.io/pvc-protection': 'it goes when no pod uses the claim any more',
  'kubernetes.io/pv-protection': 'it goes when no claim is bound to the volume any more',
  'service.kubernetes.io/load-balancer-cleanup': 'the load balancer controller removes it when the address is free',
  kubernetes: 'the namespace controller removes it when everything in the namespace is gone',
}

/** Who keeps the object, by its finalizers. */
export function heldBy(about: string, { metadata, kind }: KubeObject): Held {
  const causes: Cause[] = []
  const remedies: Remedy[] = []
  for (const finalizer of metadata.finalizers ?? []) {
    const who = known[finalizer]
    causes.push(
      cause(
        about,
        'Finalizer',
        `the finalizer ${finalizer} keeps it: ${who ?? 'whoever put it there removes it when its work is done'}`,
      ),
    )
    if (who === undefined)
      remedies.push(
        advice(
          `see whether the controller that owns ${finalizer} runs; if it is gone for good: kubectl patch ${kind.toLowerCase()} ${metadata.name}${metadata.namespace === undefined ? '' : ` -n ${metadata.namespace}`} --type=merge -p '{"metadata":{"finalizers":null}}'`,
        ),
      )
  }
  return { causes, remedies }
}

/** `node` is the pod's; undefined where it does not exist. */
export function terminatingPod(pod: Pod, node: Node | undefined, events: readonly Event[], nowMs: number): Held {
  const { metadata, spec, status } = pod
  const about = `pod/${metadata.name}`
  const held = heldBy(about, pod)
  const causes = [...held.causes]
  const remedies = [...held.remedies]
  const force = `kubectl delete pod ${metadata.name} -n ${metadata.namespace} --force --grace-period=0`
  const endMs = Date.parse(metadata.deletionTimestamp ?? '')
  const leftSeconds = Math.ceil((endMs - nowMs) / 1000)
  const running = (status.containerStatuses ?? []).filter(({ state }) => state?.running !== undefined)
  const ready = node?.status.conditions?.find(({ type }) => type === 'Ready')
  if (spec.nodeName && node === undefined)
    causes.push(
      cause(
        `node/${spec.nodeName}`,
        'NodeGone',
        'the node does not exist any more; the pod garbage collector removes the pod',
      ),
    )
  else if (spec.nodeName && ready?.status !== 'True') {
    const message = `only the node can say that the containers have ended, and it does not answer: ${ready?.message ?? 'it never reported'}`
    causes.push(cause(`node/${spec.nodeName}`, 'NodeNotReady', message))
    remedies.push(
      advice(`bring the node ${spec.nodeName} back`),
      advice(
        `if the node is certainly off: kubectl taint node ${spec.nodeName} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`,
      ),
      advice(`if the node is certainly off: ${force}`),
    )
  } else if (running.length > 0) {
    const names = running.map(({ name }) => name).join(', ')
    const hooks = spec.containers.filter(({ lifecycle }) => lifecycle?.preStop !== undefined).map(({ name }) => name)
    const hook = hooks.length === 0 ? '' : `; preStop hooks of ${hooks.join(', ')} count within that time`
    if (leftSeconds > 0) {
      const grace = metadata.deletionGracePeriodSeconds ?? 0
      causes.push(
        cause(
          about,
          'GracePeriod',
          `${names} may take ${grace} s to end, ${leftSeconds} s are left, then it is killed${hook}`,
        ),
      )
      if (leftSeconds > 10)
        remedies.push(
          advice(`do not wait: kubectl delete pod ${metadata.name} -n ${metadata.namespace} --grace-period=1`),
        )
    } else
      causes.push(
        cause(
          `node/${spec.nodeName}`,
          'KillPending',
          `the grace period is over since ${-leftSeconds} s and ${names} still runs`,
        ),
      )
  } else if (causes.length === 0) {
    const failure = newest(events, 'FailedKillPod')?.message
    causes.push(
      cause(
        `node/${spec.nodeName ?? ''}`,
        'CleaningUp',
        'the containers have ended; the node takes away volumes, devices, network and sandbox',
        failure === undefined ? [] : [cause(about, 'FailedKillPod', failure)],
      ),
    )
  }
  return { causes, remedies }
}
