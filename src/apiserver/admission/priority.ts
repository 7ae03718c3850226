// Priority: a pod's class name becomes its number; at most one class is the default.
import type { Pod } from '../../api/core/pod.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { PriorityClass } from '../../api/scheduling/priority-class.ts'
import type { ServerContext } from '../context.ts'
import type { Collection } from '../storage/collection.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { collectionOf } from './lookup.ts'

const group = 'scheduling.k8s.io'
const isPod = ({ resource, subresource }: AdmissionRequest) =>
  resource.kind.plural === 'pods' && resource.group === '' && subresource === ''
const isClass = ({ resource }: AdmissionRequest) =>
  resource.kind.plural === 'priorityclasses' && resource.kind.group === group

export const priority: AdmissionPlugin = {
  name: 'Priority',
  handles: (request) =>
    request.operation === 'CREATE' || request.operation === 'UPDATE' ? isPod(request) || isClass(request) : false,
  mutate(request, server): void | Promise<void> {
    if (!isPod(request)) return undefined
    const pod = request.object as unknown as Draft<Pod>
    if (request.operation === 'UPDATE') {
      const { spec } = request.oldObject as unknown as Pod
      if (pod.spec.priority === undefined && spec.priority !== undefined) pod.spec.priority = spec.priority
      pod.spec.preemptionPolicy ??= spec.preemptionPolicy
      if (pod.spec.preemptionPolicy === undefined) delete pod.spec.preemptionPolicy
      return undefined
    }
    const collection = server.resources.storage(group, 'priorityclasses')?.collection
    if (collection === undefined) return undefined
    if (!collection.loaded) return collection.ready().then(() => resolve(request, pod, collection))
    return resolve(request, pod, collection)
  },
  async validate(request, server) {
    if (isClass(request)) await onlyDefault(request, server)
  },
}

function resolve(request: AdmissionRequest, pod: Draft<Pod>, collection: Collection): void {
  const { spec } = pod
  const refuse = (why: string) => forbidden({ group: '', resource: 'pods' }, request.name, why)
  const name = spec.priorityClassName ?? ''
  let found: PriorityClass | undefined
  if (name === '') found = defaultClass(collection)
  else {
    const entry = collection.find('', name)
    if (entry === undefined) throw refuse(`no PriorityClass with name ${name} was found`)
    found = collection.object(entry) as unknown as PriorityClass
  }
  const value = found?.value ?? 0
  const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority'
  if (found !== undefined && name === '') spec.priorityClassName = found.metadata.name
  if (spec.priority !== undefined && spec.priority !== value) {
    throw refuse(
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    )
  }
  spec.priority = value
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw refuse(
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    )
  }
  spec.preemptionPolicy = policy
}

/** The default class; the lowest of several that were made at the same moment. */
function defaultClass(collection: Collection): PriorityClass | undefined {
  let found: PriorityClass | undefined
  for (const entry of collection.all('')) {
    const object = collection.object(entry) as unknown as PriorityClass
    if (object.globalDefault === true && (found === undefined || object.value < found.value)) found = object
  }
  return found
}

async function onlyDefault(request: AdmissionRequest, server: ServerContext): Promise<void> {
  const wanted = request.object as unknown as PriorityClass
  if (wanted.globalDefault !== true) return
  const collection = await collectionOf(server, group, 'priorityclasses')
  const other = collection === undefined ? undefined : defaultClass(collection)
  if (other !== undefined && other.metadata.name !== wanted.metadata.name) {
    throw forbidden(
      { group, resource: 'priorityclasses' },
      wanted.metadata.name,
      `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
    )
  }
}
