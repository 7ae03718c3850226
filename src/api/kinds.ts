// Every kind that the server knows from the start, in the order of discovery. A CRD adds the same kind of value at run time.
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from './admissionregistration/policies.ts'
import { mutatingWebhookConfigurations, validatingWebhookConfigurations } from './admissionregistration/webhooks.ts'
import { customResourceDefinitions } from './apiextensions/custom-resource-definition.ts'
import { apiServices } from './apiregistration/api-service.ts'
import { controllerRevisions } from './apps/controller-revision.ts'
import { daemonSets } from './apps/daemon-set.ts'
import { deployments } from './apps/deployment.ts'
import { replicaSets } from './apps/replica-set.ts'
import { statefulSets } from './apps/stateful-set.ts'
import { selfSubjectReviews, tokenReviews } from './authentication/authentication.ts'
import {
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
} from './authorization/authorization.ts'
import { horizontalPodAutoscalers } from './autoscaling/horizontal-pod-autoscaler.ts'
import { cronJobs } from './batch/cron-job.ts'
import { jobs } from './batch/job.ts'
import { certificateSigningRequests } from './certificates/certificate-signing-request.ts'
import { leases } from './coordination/lease.ts'
import { bindings } from './core/binding.ts'
import { componentStatuses } from './core/component-status.ts'
import { events } from './core/event.ts'
import { limitRanges } from './core/limit-range.ts'
import { persistentVolumes } from './core/persistent-volume.ts'
import { persistentVolumeClaims } from './core/persistent-volume-claim.ts'
import { replicationControllers } from './core/replication-controller.ts'
import { resourceQuotas } from './core/resource-quota.ts'
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
} from './storage/storage.ts'
import { configMaps } from './core/config-map.ts'
import { endpoints } from './core/endpoints.ts'
import { namespaces } from './core/namespace.ts'
import { nodes } from './core/node.ts'
import { pods } from './core/pod.ts'
import { podTemplates } from './core/pod-template.ts'
import { secrets } from './core/secret.ts'
import { services } from './core/service.ts'
import { serviceAccounts } from './core/service-account.ts'
import { endpointSlices } from './discovery/endpoint-slice.ts'
import { flowSchemas, priorityLevelConfigurations } from './flowcontrol/flow-control.ts'
import type { Kind } from './machinery/kind.ts'
import { nodeMetrics, podMetrics } from './metrics/metrics.ts'
import { ingressClasses, ingresses } from './networking/ingress.ts'
import { networkPolicies } from './networking/network-policy.ts'
import { ipAddresses, serviceCidrs } from './networking/service-cidr.ts'
import { runtimeClasses } from './node/runtime-class.ts'
import { podDisruptionBudgets } from './policy/pod-disruption-budget.ts'
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from './rbac/rbac.ts'
import { deviceClasses, resourceClaims, resourceClaimTemplates, resourceSlices } from './resource/resource.ts'
import { priorityClasses } from './scheduling/priority-class.ts'

/** A kind whatever its objects: its functions take what its own schema decoded. */
const any = (kind: Kind<never>): Kind => kind as unknown as Kind

export const builtinKinds: readonly Kind[] = [
  any(bindings),
  any(componentStatuses),
  any(configMaps),
  any(endpoints),
  any(events),
  any(limitRanges),
  any(namespaces),
  any(nodes),
  any(persistentVolumeClaims),
  any(persistentVolumes),
  any(pods),
  any(podTemplates),
  any(replicationControllers),
  any(resourceQuotas),
  any(secrets),
  any(services),
  any(serviceAccounts),
  any(apiServices),
  any(controllerRevisions),
  any(daemonSets),
  any(deployments),
  any(replicaSets),
  any(statefulSets),
  any(selfSubjectReviews),
  any(tokenReviews),
  any(localSubjectAccessReviews),
  any(selfSubjectAccessReviews),
  any(selfSubjectRulesReviews),
  any(subjectAccessReviews),
  any(horizontalPodAutoscalers),
  any(cronJobs),
  any(jobs),
  any(certificateSigningRequests),
  any(ingressClasses),
  any(ingresses),
  any(ipAddresses),
  any(networkPolicies),
  any(serviceCidrs),
  any(podDisruptionBudgets),
  any(clusterRoleBindings),
  any(clusterRoles),
  any(roleBindings),
  any(roles),
  any(csiDrivers),
  any(csiNodes),
  any(csiStorageCapacities),
  any(storageClasses),
  any(volumeAttachments),
  any(volumeAttributesClasses),
  any(mutatingAdmissionPolicies),
  any(mutatingAdmissionPolicyBindings),
  any(mutatingWebhookConfigurations),
  any(validatingAdmissionPolicies),
  any(validatingAdmissionPolicyBindings),
  any(validatingWebhookConfigurations),
  any(customResourceDefinitions),
  any(priorityClasses),
  any(leases),
  any(runtimeClasses),
  any(endpointSlices),
  any(flowSchemas),
  any(priorityLevelConfigurations),
  any(deviceClasses),
  any(resourceClaims),
  any(resourceClaimTemplates),
  any(resourceSlices),
  any(nodeMetrics),
  any(podMetrics),
]
