// ClusterRoles with an aggregationRule hold the union of the rules of all roles that it selects.
import { type ClusterRole, clusterRoles, type PolicyRule } from '../api/rbac/rbac.ts'
import { semanticEqual } from '../api/machinery/equal.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const selectors = (role: ClusterRole) => role.aggregationRule?.clusterRoleSelectors ?? []
/** The rules that an aggregating role is to have: those of the selected roles in order of name, each once. */
export function planRules(role: ClusterRole, all: Iterable<ClusterRole>): readonly PolicyRule[] {
  const matchers = selectors(role).map(labelSelectorMatcher)
  const selected = [...all]
    .filter((one) => one.metadata.name !== role.metadata.name && matchers.some((m) => m(one.metadata.labels)))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const rules: PolicyRule[] = []
  for (const { rules: own = [] } of selected)
    for (const rule of own) if (!rules.some((known) => semanticEqual(known, rule))) rules.push(rule)
  return rules
}

export const clusterRoleAggregationController: Controller = {
  name: 'clusterrole-aggregation-controller',
  start(context) {
    const roles = context.informers.informer(clusterRoles)
    const reconciler = startReconciler({
      context,
      caches: [roles],
      async reconcile(name, writes) {
        const role = roles.get(name)
        if (role === undefined || selectors(role).length === 0) return
        const rules = planRules(role, roles.list())
        if (!semanticEqual(rules, role.rules ?? [])) await writes.update(clusterRoles, { ...role, rules })
      },
      onStop: () => off(),
    })
    const enqueueAll = (changed: ClusterRole) => {
      for (const role of roles.list())
        if (role.aggregationRule !== undefined && role.metadata.name !== changed.metadata.name)
          reconciler.enqueue(role.metadata.name)
      if (changed.aggregationRule !== undefined) reconciler.enqueue(changed.metadata.name)
    }
    const off = roles.handle({ add: enqueueAll, update: enqueueAll, delete: enqueueAll })
    return reconciler
  },
}
