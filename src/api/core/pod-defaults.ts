// Defaults of pods and of pod templates that data cannot say: those that depend on another field.
import type { Draft } from '../machinery/schema.ts'
import type { Container, EphemeralContainer } from './container.ts'
import type { Pod } from './pod.ts'
import type { PodSpec } from './pod-spec.ts'
import { containersTotal } from './pod-resources.ts'
import type { PodTemplateSpec } from './pod-template.ts'
import { volumeSourceFields, type VolumeSourceName, type Volume } from './volumes.ts'

/** The tag of an image reference; 'latest' when there is neither tag nor digest, '' when there is only a digest. */
export function imageTag(image: string): string {
  const at = image.indexOf('@')
  const name = at === -1 ? image : image.slice(0, at)
  const colon = name.lastIndexOf(':')
  if (colon > name.lastIndexOf('/')) return name.slice(colon + 1)
  return at === -1 ? 'latest' : ''
}
/** Always for what may change under the same name, IfNotPresent for the rest. */
export const pullPolicyFor = (image: string): string => (imageTag(image) === 'latest' ? 'Always' : 'IfNotPresent')

const sourceNames = Object.keys(volumeSourceFields) as VolumeSourceName[]
function setVolumeDefaults(volume: Draft<Volume>): void {
  if (sourceNames.every((name) => volume[name] === undefined)) volume.emptyDir = {}
  if (volume.image !== undefined && !volume.image.pullPolicy) {
    volume.image.pullPolicy = pullPolicyFor(volume.image.reference ?? '')
  }
}
function setContainerDefaults(container: Draft<Container> | Draft<EphemeralContainer>): void {
  if (!container.imagePullPolicy) container.imagePullPolicy = pullPolicyFor(container.image ?? '')
}

/** Host ports of a pod in the host's network are its container ports. */
function setHostPorts(containers: readonly Draft<Container>[] | undefined): void {
  for (const container of containers ?? []) {
    for (const port of container.ports ?? []) if (!port.hostPort) port.hostPort = port.containerPort
  }
}

/** Defaults that a pod and a template share. */
export function setPodSpecDefaults(spec: Draft<PodSpec>): void {
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume)
  for (const container of spec.containers) setContainerDefaults(container)
  for (const container of spec.initContainers ?? []) setContainerDefaults(container)
  for (const container of spec.ephemeralContainers ?? []) setContainerDefaults(container)
  if (spec.hostNetwork === true) {
    setHostPorts(spec.containers)
    setHostPorts(spec.initContainers)
  }
  // the old name of the field is kept in step with the new one
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount
}
export function setPodTemplateDefaults(template: Draft<PodTemplateSpec>): void {
  setPodSpecDefaults(template.spec)
}

/** What is limited but not requested is requested at its limit. */
function requestWhatIsLimited(resources: Draft<Container>['resources'] | undefined): void {
  for (const [name, amount] of Object.entries(resources?.limits ?? {})) {
    if (resources === undefined) return
    resources.requests ??= {}
    resources.requests[name] ??= amount
  }
}
/** Defaults of a pod; a template does not get the last three, so that they are decided when the pod is made. */
export function setPodDefaults(pod: Draft<Pod>): void {
  setPodSpecDefaults(pod.spec)
  for (const container of pod.spec.containers) requestWhatIsLimited(container.resources)
  for (const container of pod.spec.initContainers ?? []) requestWhatIsLimited(container.resources)
  setPodLevelRequests(pod.spec)
  pod.spec.enableServiceLinks ??= true
}

/** Resources of the whole pod: what its containers request in sum, where it has a limit; else the limit (KEP-2837). */
function setPodLevelRequests(spec: Draft<PodSpec>): void {
  const { resources } = spec
  if (resources === undefined || Object.keys(resources.limits ?? {}).length === 0) return
  const requests = containersTotal(spec, 'requests')
  for (const [name, limit] of Object.entries(resources.limits ?? {})) {
    if (name !== 'cpu' && name !== 'memory' && !name.startsWith('hugepages-')) continue
    resources.requests ??= {}
    resources.requests[name] ??= (name.startsWith('hugepages-') ? undefined : requests[name]) ?? limit
  }
}
