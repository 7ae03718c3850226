// Names for the parts of a Pod, taken from the kind itself, and how the kubelet calls a pod in its messages.
import type { Pod } from '../api/core/pod.ts'

export { isSidecar } from '../api/core/container.ts'

export type { Pod }
export type PodSpec = Pod['spec']
export type PodStatus = Pod['status']
export type Container = PodSpec['containers'][number]
export type EphemeralContainer = NonNullable<PodSpec['ephemeralContainers']>[number]
export type Volume = NonNullable<PodSpec['volumes']>[number]
export type VolumeMount = NonNullable<Container['volumeMounts']>[number]
export type EnvVar = NonNullable<Container['env']>[number]
export type Probe = NonNullable<Container['livenessProbe']>
export type LifecycleHandler = NonNullable<NonNullable<Container['lifecycle']>['postStart']>
export type ContainerSecurityContext = NonNullable<Container['securityContext']>
export type PodSecurityContext = NonNullable<PodSpec['securityContext']>
export type ApiContainerStatus = NonNullable<PodStatus['containerStatuses']>[number]
export type ApiContainerState = NonNullable<ApiContainerStatus['state']>
export type PodCondition = NonNullable<PodStatus['conditions']>[number]

/** An app, init or ephemeral container: what all three have. */
export type AnyContainer = Container | EphemeralContainer

export const namespaceOf = (pod: Pod): string => pod.metadata.namespace ?? ''
/** "name_namespace(uid)", as kubelet messages name a pod. */
export const podTitle = (pod: Pod): string => `${pod.metadata.name}_${namespaceOf(pod)}(${pod.metadata.uid})`
export const isHostNetwork = (pod: Pod): boolean => pod.spec.hostNetwork === true
/** Init and app containers, in the order of the spec. */
export const lastingContainers = (spec: PodSpec): readonly Container[] => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
]
export const everyContainer = (spec: PodSpec): readonly AnyContainer[] => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
  ...(spec.ephemeralContainers ?? []),
]
export const findContainer = (spec: PodSpec, name: string): AnyContainer | undefined =>
  everyContainer(spec).find((container) => container.name === name)

/** Where events of a container point: spec.containers{name}. */
export function fieldPathOf(spec: PodSpec, name: string): string {
  if (spec.initContainers?.some((c) => c.name === name)) return `spec.initContainers{${name}}`
  if (spec.ephemeralContainers?.some((c) => c.name === name)) return `spec.ephemeralContainers{${name}}`
  return `spec.containers{${name}}`
}

/** Records an event about a pod, or about one of its containers. */
export type RecordPodEvent = (
  pod: Pod,
  container: string | undefined,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
) => void
