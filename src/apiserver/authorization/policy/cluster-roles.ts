// The cluster roles that every cluster has: for people, for components, for whoever helps a node to join.
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings)
import { type DefaultBinding, type DefaultRole, events, role } from './policy.ts'

const aggregateTo = (name: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${name}`]: 'true' })
const gathering = (name: string, labels?: Readonly<Record<string, string>>): DefaultRole => ({
  name,
  rules: [],
  gathers: `rbac.authorization.k8s.io/aggregate-to-${name}`,
  ...(labels === undefined ? {} : { labels }),
})
const flowing = (target: string, ...lines: readonly string[]): DefaultRole => ({
  ...role(`system:aggregate-to-${target}`, ...lines),
  labels: aggregateTo(target),
})
const approver = (signer: string): DefaultRole =>
  role(
    `system:certificates.k8s.io:${signer}-approver`,
    `approve @ signers @ certificates.k8s.io [kubernetes.io/${signer}]`,
  )

const people: readonly DefaultRole[] = [
  {
    name: 'cluster-admin',
    rules: [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ],
  },
  gathering('admin'),
  gathering('edit', aggregateTo('admin')),
  gathering('view', aggregateTo('edit')),
  flowing(
    'admin',
    'create @ localsubjectaccessreviews @ authorization.k8s.io',
    'all @ roles rolebindings @ rbac.authorization.k8s.io',
  ),
  flowing(
    'edit',
    'read @ pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy',
    'impersonate @ serviceaccounts',
    'write @ pods pods/attach pods/exec pods/portforward pods/proxy',
    'create @ pods/eviction',
    'write @ configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
    'create @ serviceaccounts/token',
    'write @ events @ core events.k8s.io',
    'write @ daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale @ apps',
    'write @ horizontalpodautoscalers @ autoscaling',
    'write @ cronjobs jobs @ batch',
    'write @ daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale @ extensions',
    'write @ poddisruptionbudgets @ policy',
    'write @ ingresses networkpolicies @ networking.k8s.io',
    'all @ leases @ coordination.k8s.io',
    'write @ resourceclaims resourceclaimtemplates @ resource.k8s.io',
  ),
  flowing(
    'view',
    'read @ configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status',
    'read @ bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status',
    'read @ namespaces',
    'read @ events @ core events.k8s.io',
    'read @ endpointslices @ discovery.k8s.io',
    'read @ controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status @ apps',
    'read @ horizontalpodautoscalers horizontalpodautoscalers/status @ autoscaling',
    'read @ cronjobs cronjobs/status jobs jobs/status @ batch',
    'read @ daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale @ extensions',
    'read @ poddisruptionbudgets poddisruptionbudgets/status @ policy',
    'read @ ingresses ingresses/status networkpolicies @ networking.k8s.io',
    'read @ resourceclaims resourceclaims/status resourceclaimtemplates @ resource.k8s.io',
  ),
]

const everybody: readonly DefaultRole[] = [
  role(
    'system:auth-delegator',
    'create @ tokenreviews @ authentication.k8s.io',
    'create @ subjectaccessreviews @ authorization.k8s.io',
  ),
  role(
    'system:basic-user',
    'create @ selfsubjectaccessreviews selfsubjectrulesreviews @ authorization.k8s.io',
    'create @ selfsubjectreviews @ authentication.k8s.io',
  ),
  role(
    'system:discovery',
    'get @ /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/',
  ),
  role('system:public-info-viewer', 'get @ /healthz /livez /readyz /version /version/'),
  role(
    'system:service-account-issuer-discovery',
    'get @ /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
  ),
  role(
    'system:monitoring',
    'get @ /flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz',
    'get @ nodes/metrics',
  ),
  role('system:heapster', 'read @ events namespaces nodes pods', 'read @ deployments @ extensions'),
]

const certificates: readonly DefaultRole[] = [
  role(
    'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
    'create @ certificatesigningrequests/nodeclient @ certificates.k8s.io',
  ),
  role(
    'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
    'create @ certificatesigningrequests/selfnodeclient @ certificates.k8s.io',
  ),
  approver('kube-apiserver-client'),
  approver('kube-apiserver-client-kubelet'),
  approver('kubelet-serving'),
  approver('legacy-unknown'),
]

const components: readonly DefaultRole[] = [
  role('system:kube-aggregator', 'read @ endpoints services'),
  role(
    'system:kube-controller-manager',
    events,
    'create @ leases @ coordination.k8s.io',
    'get update @ leases @ coordination.k8s.io [kube-controller-manager]',
    'create @ secrets serviceaccounts',
    'delete @ secrets',
    'get @ configmaps namespaces secrets serviceaccounts',
    'update @ secrets serviceaccounts',
    'create @ tokenreviews @ authentication.k8s.io',
    'create @ subjectaccessreviews @ authorization.k8s.io',
    'follow @ * @ *',
    'create @ serviceaccounts/token',
  ),
  role('system:kube-dns', 'follow @ endpoints services'),
  role(
    'system:kube-scheduler',
    events,
    'create @ leases @ coordination.k8s.io',
    'read update @ leases @ coordination.k8s.io [kube-scheduler]',
    'all @ leasecandidates @ coordination.k8s.io',
    'read @ nodes',
    'read delete @ pods',
    'create @ bindings pods/binding',
    'change @ pods/status',
    'read @ replicationcontrollers services',
    'read @ replicasets @ apps extensions',
    'read @ statefulsets @ apps',
    'read @ poddisruptionbudgets @ policy',
    'read @ persistentvolumeclaims persistentvolumes',
    'create @ tokenreviews @ authentication.k8s.io',
    'create @ subjectaccessreviews @ authorization.k8s.io',
    'read @ csinodes @ storage.k8s.io',
    'read @ volumeattachments @ storage.k8s.io',
    'read @ namespaces',
    'read @ csidrivers @ storage.k8s.io',
    'read @ csistoragecapacities @ storage.k8s.io',
    'read @ deviceclasses @ resource.k8s.io',
    'read change @ resourceclaims @ resource.k8s.io',
    'read change @ resourceclaims/status @ resource.k8s.io',
    'update @ pods/finalizers',
    'read @ resourceslices @ resource.k8s.io',
    'create delete @ resourceclaims @ resource.k8s.io',
    'change @ resourceclaims/binding @ resource.k8s.io',
  ),
  role(
    'system:volume-scheduler',
    'read change @ persistentvolumes',
    'read @ storageclasses @ storage.k8s.io',
    'read change @ persistentvolumeclaims',
  ),
  role(
    'system:persistent-volume-provisioner',
    'read create delete @ persistentvolumes',
    'read update @ persistentvolumeclaims',
    'read @ storageclasses @ storage.k8s.io',
    'watch @ events',
    events,
  ),
]

const nodes: readonly DefaultRole[] = [
  role(
    'system:kubelet-api-admin',
    'read @ nodes',
    'proxy @ nodes',
    '* @ nodes/log nodes/metrics nodes/proxy nodes/stats',
    '* @ nodes/configz nodes/healthz nodes/pods',
  ),
  role(
    'system:node',
    'create @ tokenreviews @ authentication.k8s.io',
    'create @ localsubjectaccessreviews subjectaccessreviews @ authorization.k8s.io',
    'read @ services',
    'read create @ nodes',
    'change @ nodes/status',
    'change @ nodes',
    events,
    'read @ pods',
    'create delete @ pods',
    'change @ pods/status',
    'create @ pods/eviction',
    'read @ configmaps secrets',
    'get @ persistentvolumeclaims persistentvolumes',
    'get @ endpoints',
    'read create @ certificatesigningrequests @ certificates.k8s.io',
    'create delete get change @ leases @ coordination.k8s.io',
    'get @ volumeattachments @ storage.k8s.io',
    'create @ serviceaccounts/token',
    'get change @ persistentvolumeclaims/status',
    'read @ csidrivers @ storage.k8s.io',
    'create delete get change @ csinodes @ storage.k8s.io',
    'read @ runtimeclasses @ node.k8s.io',
    'get @ resourceclaims @ resource.k8s.io',
    'deletecollection @ resourceslices @ resource.k8s.io',
    'get @ serviceaccounts',
  ),
  role('system:node-bootstrapper', 'read create @ certificatesigningrequests @ certificates.k8s.io'),
  role('system:node-problem-detector', 'get @ nodes', 'patch @ nodes/status', events),
  role(
    'system:node-proxier',
    'follow @ endpoints services',
    'read @ nodes',
    events,
    'follow @ servicecidrs @ networking.k8s.io',
    'follow @ endpointslices @ discovery.k8s.io',
  ),
]

export const clusterRoles: readonly DefaultRole[] = [...people, ...everybody, ...certificates, ...components, ...nodes]

const bound = (name: string, ...subjects: readonly string[]): DefaultBinding => ({ name, role: name, subjects })
/** Subjects are "group:NAME", "user:NAME" or "account:NAMESPACE/NAME". */
export const clusterRoleBindings: readonly DefaultBinding[] = [
  bound('cluster-admin', 'group:system:masters'),
  bound('system:basic-user', 'group:system:authenticated'),
  bound('system:discovery', 'group:system:authenticated'),
  bound('system:kube-controller-manager', 'user:system:kube-controller-manager'),
  bound('system:kube-dns', 'account:kube-system/kube-dns'),
  bound('system:kube-scheduler', 'user:system:kube-scheduler'),
  bound('system:monitoring', 'group:system:monitoring'),
  bound('system:node'),
  bound('system:node-proxier', 'user:system:kube-proxy'),
  bound('system:public-info-viewer', 'group:system:authenticated', 'group:system:unauthenticated'),
  bound('system:service-account-issuer-discovery', 'group:system:serviceaccounts'),
  bound('system:volume-scheduler', 'user:system:kube-scheduler'),
]

/** What comes with metrics.k8s.io, which upstream serves by an add-on that brings this role. */
export const metricsRoles: readonly DefaultRole[] = [
  {
    ...role('system:aggregated-metrics-reader', 'read @ nodes pods @ metrics.k8s.io'),
    labels: { ...aggregateTo('admin'), ...aggregateTo('edit'), ...aggregateTo('view') },
  },
]
