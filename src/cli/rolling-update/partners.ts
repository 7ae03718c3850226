// The two ReplicationControllers of a rolling update: how the new one is made, how the old one is told apart from it, and the
// annotations by which an interrupted update is found again. The annotations are old kubectl's.
import { createHash } from 'node:crypto'
import type { ReplicationController } from '../../api/core/replication-controller.ts'
import { CliError } from '../command.ts'

export const nextController = 'kubectl.kubernetes.io/next-controller-id'
export const desiredReplicas = 'kubectl.kubernetes.io/desired-replicas'
export const originalReplicas = 'kubectl.kubernetes.io/original-replicas'
export const updatePartner = 'kubectl.kubernetes.io/update-partner'
/** The new spec of the old controller, while its pods change hands at the end of an update that keeps the name. */
export const adoptedSpec = 'coxswain.dev/adopted-spec'

export type NewController = Pick<ReplicationController, 'spec'> & {
  readonly metadata: Pick<ReplicationController['metadata'], 'name'> & Partial<ReplicationController['metadata']>
}

/** What tells one template from another, as a label's value. */
export const specHash = (spec: unknown): string => createHash('md5').update(JSON.stringify(spec)).digest('hex')

export function annotated<T extends NewController | ReplicationController>(
  object: T,
  annotations: Readonly<Record<string, string | undefined>>,
): T {
  const all = Object.entries({ ...object.metadata.annotations, ...annotations }).filter(
    ([, text]) => text !== undefined,
  )
  return { ...object, metadata: { ...object.metadata, annotations: Object.fromEntries(all) } }
}
export const numberIn = ({ metadata }: NewController, annotation: string): number | undefined => {
  const text = metadata.annotations?.[annotation]
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text)
}

/** A controller whose pods carry `key: value` besides what they had. */
export function labelled<T extends NewController | ReplicationController>(object: T, key: string, value: string): T {
  const { spec, metadata } = object
  const { template } = spec
  const extra = { [key]: value }
  return {
    ...object,
    metadata: { ...metadata, labels: { ...metadata.labels, ...extra } },
    spec: {
      ...spec,
      selector: { ...spec.selector, ...extra },
      ...(template === undefined
        ? {}
        : {
            template: {
              ...template,
              metadata: { ...template.metadata, labels: { ...template.metadata.labels, ...extra } },
            },
          }),
    },
  }
}

export interface ImageChange {
  readonly image: string
  /** Which container, where the pod has several. */
  readonly container: string | undefined
  readonly pullPolicy: string | undefined
  readonly labelKey: string
  /** Default: the old name with the hash of what is new. */
  readonly newName: string | undefined
}
/** The old controller with another image, under a name and a selector of its own. Throws CliError in old kubectl's words. */
export function withImage(old: ReplicationController, change: ImageChange): NewController {
  const { spec, metadata } = old
  const { template } = spec
  if (template === undefined) throw new CliError(`replicationcontroller "${metadata.name}" has no template`)
  const { containers } = template.spec
  if (containers.length > 1 && change.container === undefined)
    throw new CliError('Must specify container to update when updating a multi-container pod')
  const index = change.container === undefined ? 0 : containers.findIndex(({ name }) => name === change.container)
  const found = containers[index]
  if (found === undefined) throw new CliError(`container ${change.container} not found in template`)
  if (found.image === change.image)
    throw new CliError('Specified --image must be distinct from existing container image')
  const changed = {
    ...found,
    image: change.image,
    ...(change.pullPolicy === undefined ? {} : { imagePullPolicy: change.pullPolicy }),
  }
  const next = containers.map((container, i) => (i === index ? changed : container))
  const replicas = numberIn(old, originalReplicas) ?? spec.replicas
  const newSpec = { ...spec, replicas, template: { ...template, spec: { ...template.spec, containers: next } } }
  const hash = specHash(newSpec.template)
  const { namespace, labels } = metadata
  const name = change.newName ?? `${metadata.name}-${hash}`
  const bare: NewController = {
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), ...(labels === undefined ? {} : { labels }) },
    spec: newSpec,
  }
  return labelled(bare, change.labelKey, hash)
}

/** Throws CliError where the new controller would fight with the old one. */
export function checkPartners(old: ReplicationController, next: NewController, file: string): void {
  if (next.metadata.name === old.metadata.name)
    throw new CliError(`${file} cannot have the same name as the existing ReplicationController ${old.metadata.name}`)
  const before = old.spec.selector ?? {}
  const selector = next.spec.selector ?? next.spec.template?.metadata.labels ?? {}
  const differs = Object.entries(selector).some(([key, value]) => before[key] !== undefined && before[key] !== value)
  if (!differs)
    throw new CliError(`${file} must specify a matching key with non-equal value in Selector for ${old.metadata.name}`)
}
