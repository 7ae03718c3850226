// The parts of a pod that change through a subresource of their own: ephemeral containers (KEP-277) and the resources of
// running containers (KEP-1287).
import type { Pod } from '../../api/core/pod.ts'
import { computeQosClass } from '../../api/core/pod-qos.ts'
import { equal } from '../../api/machinery/equal.ts'
import { type FieldError, forbiddenField } from '../../api/machinery/errors.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import { validateCreate } from '../../api/machinery/validate.ts'
import type { ResourceRequest } from '../context.ts'
import { get } from '../handlers/get.ts'
import { patchUnder } from '../handlers/patch.ts'
import { take } from '../handlers/checks.ts'
import { type UpdateRule, updateUnder } from '../handlers/update.ts'
import type { SubresourceHandlers } from './all.ts'

type PodDraft = Draft<Pod>

/** Everything but the spec is the old object's. */
function keepAllButSpec(draft: KubeObject, old: KubeObject): void {
  for (const key of new Set([...Object.keys(draft), ...Object.keys(old)])) if (key !== 'spec') take(key, draft, old)
  const { resourceVersion } = old.metadata
  take('metadata', draft, { metadata: { ...draftOf(old.metadata), resourceVersion } })
}

const handlersFor = (rule: (call: ResourceRequest) => UpdateRule): SubresourceHandlers => ({
  get,
  update: (call) => updateUnder(call, rule(call)),
  patch: (call) => patchUnder(call, rule(call)),
})

export const ephemeralContainers = handlersFor((call) => ({
  subresource: 'ephemeralcontainers',
  carryOver(draft, old) {
    const { ephemeralContainers: wanted } = (draft as unknown as PodDraft).spec
    keepAllButSpec(draft as KubeObject, old)
    const spec = { ...(old as unknown as Pod).spec } as PodDraft['spec']
    if (wanted === undefined) delete spec.ephemeralContainers
    else spec.ephemeralContainers = wanted
    ;(draft as unknown as PodDraft).spec = spec
  },
  validate(object, old, context) {
    const before = (old as unknown as Pod).spec.ephemeralContainers ?? []
    const now = (object as unknown as Pod).spec.ephemeralContainers ?? []
    const errors: FieldError[] = []
    for (const container of before) {
      const same = now.find((c) => c.name === container.name)
      const problem = same === undefined ? 'removed' : equal(same, container) ? undefined : 'changed'
      if (problem !== undefined) {
        const text = `existing ephemeral containers ${JSON.stringify(container.name)} may not be ${problem}\n`
        errors.push(forbiddenField('spec.ephemeralContainers', text))
      }
    }
    return [...validateCreate(call.resource.kind, object, context), ...errors]
  },
}))

export const resize = handlersFor((call) => ({
  subresource: 'resize',
  carryOver(draft, old) {
    const { spec } = draft as unknown as PodDraft
    keepAllButSpec(draft as KubeObject, old)
    ;(draft as unknown as PodDraft).spec = withResourcesOf((old as unknown as Pod).spec, spec)
  },
  validate(object, old, context) {
    const pod = object as unknown as Pod
    const before = old as unknown as Pod
    const errors: FieldError[] = [...validateCreate(call.resource.kind, object, context)]
    if (!equal(withoutResources(pod), withoutResources(before))) {
      errors.push(forbiddenField('spec', 'only cpu and memory resources are mutable'))
    }
    if (computeQosClass(pod.spec) !== (before.status.qosClass ?? computeQosClass(before.spec))) {
      errors.push(forbiddenField('spec', 'Pod QOS Class may not change as a result of resizing'))
    }
    return errors
  },
}))

/** The old spec with what the new one says about the resources of containers; everything else is not looked at. */
function withResourcesOf(old: Pod['spec'], wanted: PodDraft['spec']): PodDraft['spec'] {
  const spec = draftOf(old) as PodDraft['spec']
  const copy = (kept: readonly ContainerDraft[] | undefined, said: readonly ContainerDraft[] | undefined) => {
    for (const container of kept ?? []) {
      const other = said?.find((c) => c.name === container.name)
      if (other === undefined) continue
      container.resources = other.resources
      if (other.resizePolicy !== undefined) container.resizePolicy = other.resizePolicy
    }
  }
  copy(spec.containers, wanted.containers)
  copy(spec.initContainers, wanted.initContainers)
  return spec
}
type ContainerDraft = PodDraft['spec']['containers'][number]

/** A pod spec with cpu and memory taken out of its containers. */
function withoutResources(pod: Pod): unknown {
  const strip = (amounts: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(Object.entries(amounts ?? {}).filter(([name]) => name !== 'cpu' && name !== 'memory'))
  const container = (c: Pod['spec']['containers'][number]) => ({
    ...c,
    resources: { ...c.resources, requests: strip(c.resources?.requests), limits: strip(c.resources?.limits) },
    resizePolicy: undefined,
  })
  const { spec } = pod
  return {
    ...spec,
    containers: spec.containers.map(container),
    ...(spec.initContainers === undefined
      ? {}
      : { initContainers: spec.initContainers.map((c) => (c.restartPolicy === 'Always' ? container(c) : c)) }),
  }
}
