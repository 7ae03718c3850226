// RuntimeClass: a pod of a class pays the class's overhead and goes where the class can run. (KEP-688)
import type { Pod } from '../../api/core/pod.ts'
import { equal } from '../../api/machinery/equal.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { RuntimeClass } from '../../api/node/runtime-class.ts'
import type { AdmissionPlugin } from './admission.ts'
import { lookUp } from './lookup.ts'

export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  handles: ({ operation, resource, subresource, object }) =>
    operation === 'CREATE' &&
    subresource === '' &&
    resource.kind.plural === 'pods' &&
    resource.group === '' &&
    ((object as unknown as Pod).spec.runtimeClassName !== undefined ||
      (object as unknown as Pod).spec.overhead !== undefined),
  async mutate(request, server) {
    const { spec } = request.object as unknown as Draft<Pod>
    const refuse = (why: string) => forbidden({ group: '', resource: 'pods' }, request.name, why)
    const name = spec.runtimeClassName
    if (name === undefined) {
      throw refuse('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead')
    }
    const found = await lookUp<RuntimeClass>(server, 'node.k8s.io', 'runtimeclasses', '', name)
    if (found === undefined) throw refuse(`pod rejected: RuntimeClass ${JSON.stringify(name)} not found`)
    const fixed = found.overhead?.podFixed
    if (spec.overhead !== undefined && !equal(spec.overhead, fixed ?? {})) {
      throw refuse(
        fixed === undefined
          ? 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead'
          : "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
      )
    }
    if (fixed !== undefined) spec.overhead = { ...fixed }
    const { nodeSelector = {}, tolerations = [] } = found.scheduling ?? {}
    for (const [key, value] of Object.entries(nodeSelector)) {
      const own = spec.nodeSelector?.[key]
      if (own !== undefined && own !== value) {
        throw refuse(
          `pod rejected: conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        )
      }
      spec.nodeSelector = { ...spec.nodeSelector, [key]: value }
    }
    for (const toleration of tolerations) {
      if (spec.tolerations?.some((own) => equal(own, toleration)) !== true) {
        spec.tolerations = [...(spec.tolerations ?? []), draftOf(toleration)]
      }
    }
  },
}
