// The queue's order: priority, then who came first.
import type { PluginFactory } from '../framework.ts'

export const prioritySort: PluginFactory = {
  name: 'PrioritySort',
  create: () => ({
    name: 'PrioritySort',
    less: (a, b) => (a.info.priority !== b.info.priority ? a.info.priority > b.info.priority : a.sequence < b.sequence),
  }),
}
