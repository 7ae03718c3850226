// Extended resources that device classes stand for (KEP-5004): a pod asks for "example.com/gpu: 1" as ever, and on a node that has no
// device plugin for it gets devices of the class, through a claim that the scheduler makes.
import { isSidecar } from '../../api/core/container.ts'
import type { DeviceClass, ResourceClaim } from '../../api/resource/resource.ts'
import type { Informer } from '../../client/informer.ts'
import { EPHEMERAL_STORAGE, type ResourceNames } from '../state/amounts.ts'
import type { NodeInfo } from '../state/node-info.ts'
import type { PodInfo } from '../state/pod-info.ts'

/** Marks the claim that the scheduler makes for a pod's extended resources. */
export const extendedClaimAnnotation = 'resource.kubernetes.io/extended-resource-claim'
/** Every device class stands for a resource of this name, whatever else it says. */
const implicitPrefix = 'deviceclass.resource.kubernetes.io/'

/** Which class stands for which resource. */
export class ExtendedResources {
  /** Counts the changes of classes. */
  changes = 0
  private readonly classes: Informer<DeviceClass>
  private readonly byResource = new Map<string, string>()
  constructor(classes: Informer<DeviceClass>) {
    this.classes = classes
    const changed = () => this.rebuild()
    classes.handle({ add: changed, update: changed, delete: changed })
  }
  classFor(resource: string): string | undefined {
    const named = this.byResource.get(resource)
    if (named !== undefined || !resource.startsWith(implicitPrefix)) return named
    return this.classes.byKey(resource.slice(implicitPrefix.length))?.metadata.name
  }
  /** Of several classes the newest counts, then the first by name. */
  private rebuild(): void {
    this.changes++
    this.byResource.clear()
    const created = ({ metadata }: DeviceClass) => metadata.creationTimestamp ?? ''
    const ordered = [...this.classes.list()].sort((a, b) =>
      created(a) === created(b) ? (a.metadata.name < b.metadata.name ? 1 : -1) : created(a) < created(b) ? -1 : 1,
    )
    for (const { metadata, spec } of ordered)
      if (spec.extendedResourceName) this.byResource.set(spec.extendedResourceName, metadata.name)
  }
}
const known = new WeakMap<Informer<DeviceClass>, ExtendedResources>()
/** Shared by the plugins and profiles that have the same cache. */
export function extendedResourcesOf(classes: Informer<DeviceClass>): ExtendedResources {
  let resources = known.get(classes)
  if (resources === undefined) known.set(classes, (resources = new ExtendedResources(classes)))
  return resources
}

/** What one container asks of a resource that a class stands for. */
export interface ExtendedAsk {
  readonly container: string
  readonly resource: string
  readonly resourceId: number
  readonly deviceClass: string
  readonly count: number
  /** Of an init container that ends before the others start: it may use the devices of one of them. */
  readonly passing: boolean
}
/** True where device plugins cannot be meant: the node says nothing of the resource. */
export const isLeftToClaims = (node: NodeInfo, resourceId: number): boolean => node.allocatable.get(resourceId) === 0

/** What a pod asks for through device classes; empty for nearly every pod. */
export function extendedAsks({ pod, requests }: PodInfo, names: ResourceNames, of: ExtendedResources): ExtendedAsk[] {
  const concerned = requests.ids.filter((id) => id > EPHEMERAL_STORAGE && of.classFor(names.nameOf(id)) !== undefined)
  if (concerned.length === 0) return []
  const asks: ExtendedAsk[] = []
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    for (const resourceId of concerned) {
      const resource = names.nameOf(resourceId)
      const deviceClass = of.classFor(resource)
      const count = Number(container.resources?.requests?.[resource] ?? 0)
      if (deviceClass === undefined || !(count > 0)) continue
      const passing = pod.spec.initContainers?.includes(container) === true && !isSidecar(container)
      asks.push({ container: container.name, resource, resourceId, deviceClass, count, passing })
    }
  return asks
}

export interface ExtendedRequests {
  readonly requests: NonNullable<ResourceClaim['spec']['devices']['requests']>
  /** As the pod's status names them for the kubelet. */
  readonly mappings: readonly {
    readonly containerName: string
    readonly resourceName: string
    readonly requestName: string
  }[]
}
/** The requests that a pod has of a node's devices. */
export function extendedRequests(asks: readonly ExtendedAsk[], node: NodeInfo): ExtendedRequests | undefined {
  const here = asks.filter(({ resourceId }) => isLeftToClaims(node, resourceId))
  if (here.length === 0) return undefined
  const names = here.map((_, i) => `container-${i}-request-0`)
  const lenderOf = (ask: ExtendedAsk): number =>
    ask.passing ? here.findIndex((o) => !o.passing && o.resourceId === ask.resourceId && o.count >= ask.count) : -1
  const requests: ExtendedRequests['requests'][number][] = []
  const mappings = here.map((ask, i) => {
    const lender = lenderOf(ask)
    const { deviceClass: deviceClassName, count } = ask
    if (lender === -1)
      requests.push({ name: names[i] ?? '', exactly: { deviceClassName, allocationMode: 'ExactCount', count } })
    const requestName = names[lender === -1 ? i : lender] ?? ''
    return { containerName: ask.container, resourceName: ask.resource, requestName }
  })
  return { requests, mappings }
}
