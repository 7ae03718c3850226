// A pod with scheduling gates is not even queued (KEP-3521).
import type { PluginFactory } from '../framework.ts'

export const schedulingGates: PluginFactory = {
  name: 'SchedulingGates',
  create: () => ({
    name: 'SchedulingGates',
    preEnqueue(info) {
      const gates = info.pod.spec.schedulingGates ?? []
      if (gates.length === 0) return undefined
      return {
        code: 'Unresolvable',
        reasons: [`waiting for scheduling gates: [${gates.map(({ name }) => name).join(' ')}]`],
      }
    },
    hints: { pod: (info) => (info.pod.spec.schedulingGates?.length ?? 0) === 0 },
  }),
}
