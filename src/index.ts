// The library: a whole Kubernetes cluster as a value, on a real machine's ports or on simulated ones. What is named here is
// the promise; everything else may change.
export { type Cluster, type ClusterOptions, type NodeOptions, startCluster } from './cluster.ts'
export type { ClusterNode } from './node.ts'
export {
  type SimCluster,
  type SimClusterOptions,
  startSimCluster,
} from './sim/sim-cluster.ts'
export { type SimOptions, type SimPorts, simPorts } from './sim/sim-ports.ts'
export { type SimNode, type SimNodeOptions, simNode } from './sim/sim-node.ts'
export { type Latencies, type SimImage, SimWorld } from './sim/world.ts'
export {
  commandScript,
  type ContainerScript,
  type ContainerStart,
  type ExecAnswer,
  exits,
  type HttpAnswer,
  type Script,
  type ScriptedExit,
} from './sim/script.ts'
export { type FaultRule, Faults } from './sim/faults.ts'
export { type Drain, VirtualClock } from './sim/virtual-clock.ts'
export { seededRandom } from './sim/seeded-random.ts'

export {
  type Cycle,
  type Handle,
  type Plugin,
  type PluginFactory,
  type Rejection,
  unresolvable,
  unschedulable,
} from './scheduler/framework.ts'
export type { NodeInfo } from './scheduler/state/node-info.ts'
export type { PodInfo } from './scheduler/state/pod-info.ts'
export type { SchedulerSettings } from './scheduler-configuration.ts'

export type { ClusterPorts, NodePorts } from './ports/ports.ts'
export type { Clock, Timer } from './ports/clock.ts'
export type { Log } from './ports/log.ts'
export type { Random } from './ports/random.ts'
export type { Store } from './store/store.ts'
export { openMemoryStore } from './store/memory.ts'

export { createClient } from './client/api-client.ts'
export { messagePortTransport, type MessagePortLike, serveMessagePort } from './client/message-port.ts'
export type { Transport } from './ports/transport.ts'
export type {
  Client,
  Input,
  ListAnswer,
  ListQuery,
  PatchType,
  Resource,
  WatchEvent,
  WatchQuery,
  WriteOptions,
} from './client/client.ts'
export { createInformerFactory, type Informer, type InformerFactory } from './client/informer.ts'
export { ApiError, type Reason } from './api/machinery/errors.ts'
export { defineKind, type Kind } from './api/machinery/kind.ts'
export type { KubeObject, ObjectMeta } from './api/machinery/meta.ts'
export { builtinKinds } from './api/kinds.ts'
export {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  type MutatingAdmissionPolicy,
  type MutatingAdmissionPolicyBinding,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
} from './api/admissionregistration/policies.ts'
export {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  type MutatingWebhookConfiguration,
  type ValidatingWebhookConfiguration,
} from './api/admissionregistration/webhooks.ts'
export {
  customResourceDefinitions,
  type CustomResourceDefinition,
} from './api/apiextensions/custom-resource-definition.ts'
export { apiServices, type ApiService } from './api/apiregistration/api-service.ts'
export { controllerRevisions, type ControllerRevision } from './api/apps/controller-revision.ts'
export { daemonSets, type DaemonSet } from './api/apps/daemon-set.ts'
export { deployments, type Deployment } from './api/apps/deployment.ts'
export { replicaSets, type ReplicaSet } from './api/apps/replica-set.ts'
export { statefulSets, type StatefulSet } from './api/apps/stateful-set.ts'
export {
  selfSubjectReviews,
  tokenReviews,
  type SelfSubjectReview,
  type TokenReview,
} from './api/authentication/authentication.ts'
export {
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  type LocalSubjectAccessReview,
  type SelfSubjectAccessReview,
  type SelfSubjectRulesReview,
  type SubjectAccessReview,
} from './api/authorization/authorization.ts'
export { horizontalPodAutoscalers, type HorizontalPodAutoscaler } from './api/autoscaling/horizontal-pod-autoscaler.ts'
export { cronJobs, type CronJob } from './api/batch/cron-job.ts'
export { jobs, type Job } from './api/batch/job.ts'
export {
  certificateSigningRequests,
  type CertificateSigningRequest,
} from './api/certificates/certificate-signing-request.ts'
export { leases, type Lease } from './api/coordination/lease.ts'
export { bindings, type Binding } from './api/core/binding.ts'
export { componentStatuses, type ComponentStatus } from './api/core/component-status.ts'
export { events, type Event } from './api/core/event.ts'
export { limitRanges, type LimitRange } from './api/core/limit-range.ts'
export { persistentVolumes, type PersistentVolume } from './api/core/persistent-volume.ts'
export { persistentVolumeClaims, type PersistentVolumeClaim } from './api/core/persistent-volume-claim.ts'
export { replicationControllers, type ReplicationController } from './api/core/replication-controller.ts'
export { resourceQuotas, type ResourceQuota } from './api/core/resource-quota.ts'
export {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
  type CsiDriver,
  type CsiNode,
  type CsiStorageCapacity,
  type StorageClass,
  type VolumeAttachment,
  type VolumeAttributesClass,
} from './api/storage/storage.ts'
export { configMaps, type ConfigMap } from './api/core/config-map.ts'
export { endpoints, type Endpoints } from './api/core/endpoints.ts'
export { namespaces, type Namespace } from './api/core/namespace.ts'
export { nodes, type Node } from './api/core/node.ts'
export { pods, type Pod } from './api/core/pod.ts'
export { podTemplates, type PodTemplate } from './api/core/pod-template.ts'
export { secrets, type Secret } from './api/core/secret.ts'
export { services, type Service } from './api/core/service.ts'
export { serviceAccounts, type ServiceAccount } from './api/core/service-account.ts'
export { endpointSlices, type EndpointSlice } from './api/discovery/endpoint-slice.ts'
export {
  flowSchemas,
  priorityLevelConfigurations,
  type FlowSchema,
  type PriorityLevelConfiguration,
} from './api/flowcontrol/flow-control.ts'
export { ingressClasses, ingresses, type IngressClass, type Ingress } from './api/networking/ingress.ts'
export { networkPolicies, type NetworkPolicy } from './api/networking/network-policy.ts'
export { ipAddresses, serviceCidrs, type IpAddress, type ServiceCidr } from './api/networking/service-cidr.ts'
export { runtimeClasses, type RuntimeClass } from './api/node/runtime-class.ts'
export { podDisruptionBudgets, type PodDisruptionBudget } from './api/policy/pod-disruption-budget.ts'
export {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  type ClusterRoleBinding,
  type ClusterRole,
  type RoleBinding,
  type Role,
} from './api/rbac/rbac.ts'
export {
  deviceClasses,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
  type DeviceClass,
  type ResourceClaim,
  type ResourceClaimTemplate,
  type ResourceSlice,
} from './api/resource/resource.ts'
export { priorityClasses, type PriorityClass } from './api/scheduling/priority-class.ts'
