// Every admission plugin, in the order in which they run.
import type { AdmissionPlugin } from './admission.ts'
import { defaultTolerationSeconds } from './default-toleration-seconds.ts'
import { namespaceLifecycle } from './namespace-lifecycle.ts'
import { priority } from './priority.ts'
import { rbacEscalation } from './rbac-escalation.ts'
import { serviceAccountAdmission } from './service-account.ts'
import { taintNodesByCondition } from './taint-nodes-by-condition.ts'

export const admissionPlugins: readonly AdmissionPlugin[] = [
  namespaceLifecycle,
  serviceAccountAdmission,
  taintNodesByCondition,
  priority,
  defaultTolerationSeconds,
  rbacEscalation,
]
