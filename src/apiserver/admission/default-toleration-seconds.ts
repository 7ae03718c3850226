// DefaultTolerationSeconds: pods stay on a node that is not ready or not reachable for five minutes, unless they say
// otherwise.
import type { Pod } from '../../api/core/pod.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { AdmissionPlugin } from './admission.ts'

const taints = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']
const seconds = 300

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: ({ operation, resource, subresource }) =>
    (operation === 'CREATE' || operation === 'UPDATE') &&
    subresource === '' &&
    resource.kind.plural === 'pods' &&
    resource.group === '',
  mutate({ object }) {
    const { spec } = object as unknown as Draft<Pod>
    for (const key of taints) {
      const tolerated = spec.tolerations?.some(
        (t) =>
          ((t.key ?? '') === key || (t.key ?? '') === '') &&
          ((t.effect ?? '') === 'NoExecute' || (t.effect ?? '') === ''),
      )
      if (tolerated === true) continue
      const tolerations = (spec.tolerations ??= [])
      tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: seconds })
    }
  },
}
