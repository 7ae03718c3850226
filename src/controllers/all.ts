// The controllers, in the order in which they start. This list is the whole registry.
import { bootstrapSigner, tokenCleaner } from './bootstrap-tokens.ts'
import { csrApprovingController, csrCleaner, csrSigningController } from './certificate-signing.ts'
import { clusterDnsController } from './cluster-dns.ts'
import { clusterIpRepair } from './cluster-ip-repair.ts'
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts'
import { cronJobController } from './cron-job.ts'
import { daemonSetController } from './daemon-set.ts'
import { deploymentController } from './deployment.ts'
import { deviceTaintEvictionController } from './device-taint-eviction.ts'
import { disruptionController } from './disruption.ts'
import { endpointSliceMirroringController } from './endpoint-slice-mirroring.ts'
import { endpointSliceController } from './endpoint-slice.ts'
import { endpointsController } from './endpoints.ts'
import { ephemeralVolumeController } from './ephemeral-volume.ts'
import type { Controller } from './framework/controller.ts'
import { garbageCollector } from './garbage-collector.ts'
import { horizontalPodAutoscalerController } from './horizontal-pod-autoscaler.ts'
import { ingressController } from './ingress.ts'
import { jobController } from './job.ts'
import { localProvisioner } from './local-provisioner.ts'
import { legacyTokenCleaner } from './legacy-token-cleaner.ts'
import { namespaceController } from './namespace.ts'
import { nodeIpamController } from './node-ipam.ts'
import { nodeLifecycleController } from './node-lifecycle.ts'
import { persistentVolumeBinder } from './persistent-volume-binder.ts'
import { podGarbageCollector } from './pod-garbage-collector.ts'
import { replicaSetController } from './replica-set.ts'
import { replicationControllerController } from './replication-controller.ts'
import { podCertificateRequestCleaner } from './pod-certificate-request-cleaner.ts'
import { resourceClaimController } from './resource-claim.ts'
import { resourceQuotaController } from './resource-quota.ts'
import { rootCaPublisher } from './root-ca-publisher.ts'
import { serviceAccountController } from './service-account.ts'
import { serviceAccountTokenController } from './service-account-token.ts'
import { serviceCidrController } from './service-cidr.ts'
import { serviceLbController } from './service-lb.ts'
import { statefulSetController } from './stateful-set.ts'
import { storageVersionCollector } from './storage-version-collector.ts'
import { storageVersionMigrator } from './storage-version-migrator.ts'
import { attributesClassProtection, claimProtection, volumeProtection } from './storage-protection.ts'
import { taintEvictionController } from './taint-eviction.ts'
import { trustBundlePublisher } from './trust-bundle-publisher.ts'
import { ttlAfterFinishedController } from './ttl-after-finished.ts'
import { validatingAdmissionPolicyStatusController } from './validating-admission-policy-status.ts'

export const allControllers: readonly Controller[] = [
  namespaceController,
  serviceAccountController,
  serviceAccountTokenController,
  legacyTokenCleaner,
  rootCaPublisher,
  garbageCollector,
  nodeIpamController,
  nodeLifecycleController,
  taintEvictionController,
  podGarbageCollector,
  endpointsController,
  endpointSliceController,
  endpointSliceMirroringController,
  serviceCidrController,
  clusterIpRepair,
  serviceLbController,
  clusterDnsController,
  ingressController,
  replicaSetController,
  replicationControllerController,
  deploymentController,
  statefulSetController,
  daemonSetController,
  jobController,
  cronJobController,
  ttlAfterFinishedController,
  horizontalPodAutoscalerController,
  disruptionController,
  resourceQuotaController,
  clusterRoleAggregationController,
  csrApprovingController,
  csrSigningController,
  csrCleaner,
  tokenCleaner,
  bootstrapSigner,
  persistentVolumeBinder,
  ephemeralVolumeController,
  resourceClaimController,
  deviceTaintEvictionController,
  localProvisioner,
  claimProtection,
  volumeProtection,
  attributesClassProtection,
  validatingAdmissionPolicyStatusController,
  storageVersionCollector,
  storageVersionMigrator,
  podCertificateRequestCleaner,
  trustBundlePublisher,
]
