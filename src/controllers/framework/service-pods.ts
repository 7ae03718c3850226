// Which pods stand behind a service, and on which ports: shared by Endpoints and EndpointSlices. Pods are found by the one
// label pair of the selector that fewest pods have; services are found by a pair of theirs that a pod has.
import { equal } from '../../api/machinery/equal.ts'
import { type Labels, matchesSelector, selectorOfLabels } from '../../api/machinery/labels.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { Service } from '../../api/core/service.ts'
import type { Index, IndexBy, Informer } from '../../client/informer.ts'
import { isPodReady, isPodTerminal, isTerminating } from './pods.ts'

const pair = (namespace: string, key: string, value: string): string => `${namespace}/${key}=${value}`
/** Labels that differ from pod to pod or from template to template: no service selects by them. */
const unselective: ReadonlySet<string> = new Set([
  'pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'controller-uid',
  'job-name',
])
/** "namespace/key=value" of each label that services may select by. */
export const podsByLabel: IndexBy<Pod> = ({ metadata: { namespace = '', labels = {} } }) =>
  Object.entries(labels).flatMap(([key, value]) => (unselective.has(key) ? [] : [pair(namespace, key, value)]))

const selectorPairs = (service: Service): readonly (readonly [string, string])[] =>
  Object.entries(service.spec.selector ?? {})
    .filter(([key]) => !unselective.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
/** The first pair of a service's selector; "namespace/" for selectors that only unselective labels make. */
export const servicesByLabel: IndexBy<Service> = (service) => {
  const { namespace = '' } = service.metadata
  if (Object.keys(service.spec.selector ?? {}).length === 0) return []
  const [first] = selectorPairs(service)
  return [first === undefined ? `${namespace}/` : pair(namespace, ...first)]
}

/** Services whose selector holds for labels in a namespace. */
function servicesOf(services: Index<Service>, namespace: string, labels: Labels | undefined): readonly Service[] {
  const candidates = [...services.get(`${namespace}/`)]
  for (const [key, value] of Object.entries(labels ?? {})) candidates.push(...services.get(pair(namespace, key, value)))
  return candidates.filter((service) => matchesSelector(selectorOfLabels(service.spec.selector ?? {}), labels))
}
/** Pods that a service selects. */
export function podsOf(
  pods: Informer<Pod>,
  byLabel: Index<Pod>,
  inNamespace: Index<Pod>,
  service: Service,
): readonly Pod[] {
  const { namespace = '' } = service.metadata
  const keys = selectorPairs(service).map(([key, value]) => pair(namespace, key, value))
  let rarest: string | undefined
  for (const key of keys) if (rarest === undefined || byLabel.count(key) < byLabel.count(rarest)) rarest = key
  const selector = selectorOfLabels(service.spec.selector ?? {})
  const candidates = rarest === undefined ? inNamespace.get(namespace) : byLabel.get(rarest)
  return pods.size === 0 ? [] : candidates.filter((pod) => matchesSelector(selector, pod.metadata.labels))
}

export type AddressType = 'IPv4' | 'IPv6'
export const addressTypeOf = (ip: string): AddressType => (ip.includes(':') ? 'IPv6' : 'IPv4')
/** The pod's address of a family. */
export const podAddress = (pod: Pod, type: AddressType): string | undefined =>
  pod.status.podIPs?.find(({ ip }) => addressTypeOf(ip) === type)?.ip ??
  (pod.status.podIP && addressTypeOf(pod.status.podIP) === type ? pod.status.podIP : undefined)
export const addressTypesOf = (service: Service): readonly AddressType[] => {
  const families = (service.spec.ipFamilies ?? []) as readonly AddressType[]
  if (families.length > 0) return families
  return [service.spec.clusterIP && service.spec.clusterIP !== 'None' ? addressTypeOf(service.spec.clusterIP) : 'IPv4']
}

/** Has an address and has not ended; `terminating`: pods that are going count too. */
export const isEndpoint = (pod: Pod, terminating: boolean): boolean =>
  !isPodTerminal(pod) &&
  (pod.status.podIP !== undefined || (pod.status.podIPs?.length ?? 0) > 0) &&
  (terminating || !isTerminating(pod))

type ServicePort = NonNullable<Service['spec']['ports']>[number]
/** The number that a service's port means on a pod; undefined where the pod has no port of that name. */
export function targetPort(pod: Pod, { targetPort: target, port, protocol }: ServicePort): number | undefined {
  if (target === undefined || target === 0 || target === '') return port
  if (typeof target === 'number') return target
  const sidecars = pod.spec.initContainers?.filter((container) => container.restartPolicy === 'Always') ?? []
  for (const container of [...pod.spec.containers, ...sidecars])
    for (const candidate of container.ports ?? [])
      if (candidate.name === target && (candidate.protocol ?? 'TCP') === protocol) return candidate.containerPort
  return undefined
}
export interface ResolvedPort {
  readonly name: string
  readonly protocol: string
  readonly port: number
  readonly appProtocol?: string
}
/** The ports that a pod has of a service's; those it lacks are left out. */
export const portsOf = (service: Service, pod: Pod): readonly ResolvedPort[] =>
  (service.spec.ports ?? []).flatMap((servicePort) => {
    const port = targetPort(pod, servicePort)
    if (port === undefined) return []
    const { name = '', protocol, appProtocol } = servicePort
    return [{ name, protocol, port, ...(appProtocol === undefined ? {} : { appProtocol }) }]
  })

/** Where the pod has a DNS name of its own under this service. */
export const endpointHostname = (pod: Pod, service: Service): string | undefined =>
  pod.spec.hostname &&
  pod.spec.subdomain === service.metadata.name &&
  pod.metadata.namespace === service.metadata.namespace
    ? pod.spec.hostname
    : undefined

/** True when a change of a pod may change an endpoint. */
function endpointChanged(pod: Pod, old: Pod): boolean {
  return (
    isPodReady(pod) !== isPodReady(old) ||
    isTerminating(pod) !== isTerminating(old) ||
    isPodTerminal(pod) !== isPodTerminal(old) ||
    pod.status.podIP !== old.status.podIP ||
    pod.status.podIPs?.length !== old.status.podIPs?.length ||
    pod.spec.nodeName !== old.spec.nodeName ||
    pod.spec.hostname !== old.spec.hostname ||
    pod.spec.subdomain !== old.spec.subdomain
  )
}
/** Tells the services whose endpoints a pod's coming, going or change may change; returns how to stop. */
export function followEndpoints(
  pods: Informer<Pod>,
  selecting: Index<Service>,
  changed: (service: Service) => void,
): () => void {
  const tell = ({ metadata: { namespace = '', labels } }: Pod) =>
    servicesOf(selecting, namespace, labels).forEach(changed)
  return pods.handle({
    add: tell,
    update(pod, old) {
      const relabelled = !equal(pod.metadata.labels, old.metadata.labels)
      if (relabelled) tell(old)
      if (relabelled || endpointChanged(pod, old)) tell(pod)
    },
    delete: tell,
  })
}
