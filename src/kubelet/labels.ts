// What the kubelet writes on sandboxes and containers, so that after a restart it finds all it needs in the runtime.
import type { ContainerSummary } from '../ports/container-runtime.ts'
import type { AnyContainer, Pod } from './types.ts'

export const podNameLabel = 'io.kubernetes.pod.name'
export const podNamespaceLabel = 'io.kubernetes.pod.namespace'
export const podUidLabel = 'io.kubernetes.pod.uid'
export const containerNameLabel = 'io.kubernetes.container.name'
const hashAnnotation = 'io.kubernetes.container.hash'
const restartCountAnnotation = 'io.kubernetes.container.restartCount'
const messagePathAnnotation = 'io.kubernetes.container.terminationMessagePath'
const messagePolicyAnnotation = 'io.kubernetes.container.terminationMessagePolicy'
const portsAnnotation = 'io.kubernetes.container.ports'
const preStopAnnotation = 'io.kubernetes.container.preStopHandler'
const graceAnnotation = 'io.kubernetes.pod.terminationGracePeriod'
const deletionGraceAnnotation = 'io.kubernetes.pod.deletionGracePeriod'

type Labels = Readonly<Record<string, string>>
export const podLabels = (pod: Pod): Labels => ({
  [podNameLabel]: pod.metadata.name,
  [podNamespaceLabel]: pod.metadata.namespace ?? '',
  [podUidLabel]: pod.metadata.uid,
})
export const containerLabels = (pod: Pod, container: AnyContainer): Labels => ({
  ...podLabels(pod),
  [containerNameLabel]: container.name,
})

/** Changes when the container must be replaced: its image is all of it that may change in a running pod. */
export function containerHash(container: AnyContainer): string {
  let hash = 0x811c9dc5
  for (const char of `${container.name}\n${container.image ?? ''}`) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0
  }
  return hash.toString(16)
}

export function containerAnnotations(pod: Pod, container: AnyContainer, restartCount: number): Labels {
  const grace = pod.spec.terminationGracePeriodSeconds
  const deletionGrace = pod.metadata.deletionGracePeriodSeconds
  const preStop = 'lifecycle' in container ? container.lifecycle?.preStop : undefined
  return {
    [hashAnnotation]: containerHash(container),
    [restartCountAnnotation]: String(restartCount),
    [messagePathAnnotation]: container.terminationMessagePath ?? '',
    [messagePolicyAnnotation]: container.terminationMessagePolicy ?? '',
    ...(grace === undefined ? {} : { [graceAnnotation]: String(grace) }),
    ...(deletionGrace === undefined ? {} : { [deletionGraceAnnotation]: String(deletionGrace) }),
    ...(preStop === undefined ? {} : { [preStopAnnotation]: JSON.stringify(preStop) }),
    ...(container.ports === undefined || container.ports.length === 0
      ? {}
      : { [portsAnnotation]: JSON.stringify(container.ports) }),
  }
}

type Labelled = Pick<ContainerSummary, 'labels' | 'annotations'>
export const containerNameOf = (container: Labelled): string => container.labels[containerNameLabel] ?? ''
export const podUidOf = (container: { readonly labels: Labels }): string => container.labels[podUidLabel] ?? ''
export const restartCountOf = (container: Labelled): number =>
  Number(container.annotations[restartCountAnnotation] ?? 0)
export const hashOf = (container: Labelled): string => container.annotations[hashAnnotation] ?? ''
export const messagePathOf = (container: Labelled): string => container.annotations[messagePathAnnotation] ?? ''
export const messagePolicyOf = (container: Labelled): string => container.annotations[messagePolicyAnnotation] ?? 'File'
/** Grace of a pod that the API no longer knows, in seconds. */
export function graceOf(container: Labelled): number | undefined {
  const text = container.annotations[deletionGraceAnnotation] ?? container.annotations[graceAnnotation]
  return text === undefined ? undefined : Number(text)
}
