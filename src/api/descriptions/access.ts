// Texts of namespaces, nodes, service accounts, roles and bindings.
import type { Texts } from './texts.ts'

const rules = 'What is allowed. Rules add up.'
const roleRef = 'The role that is granted. It cannot be changed.'
const subjects = 'Who is granted it.'

export const accessTexts: Texts = {
  'core.Namespace': { '': 'A scope for names. Deleting it deletes all that is in it.' },
  'core.NamespaceSpec': {
    '': 'What holds a namespace.',
    finalizers: 'Who must finish before an emptied namespace goes.',
  },
  'core.NamespaceStatus': {
    '': 'Whether a namespace is in use.',
    phase: 'Active, or Terminating while it is emptied.',
  },
  'core.Node': { '': 'A machine that runs pods.' },
  'core.NodeSpec': {
    '': 'How a node is to be used.',
    configSource: 'Not used any more.',
    externalID: 'Not used any more.',
    podCIDR: "The range of its pods' addresses.",
    podCIDRs: "The ranges of its pods' addresses, one of each family.",
    providerID: 'Its name at the provider, as PROVIDER://ID.',
    taints: 'What keeps pods away that do not tolerate it.',
    unschedulable: 'If true, no new pods are placed on it.',
  },
  'core.NodeStatus': {
    '': 'What the agent of a node reports.',
    addresses: 'Its addresses and names.',
    allocatable: 'What there is for pods.',
    capacity: 'What the machine has.',
    config: 'Not used any more.',
    daemonEndpoints: 'Ports of the agent.',
    declaredFeatures: 'Features that the agent declares.',
    features: 'Features of the runtime.',
    images: 'Images that are there.',
    nodeInfo: 'Versions and identities of the machine and its software.',
    phase: 'Not used any more.',
    runtimeHandlers: 'Runtimes that can be asked for, and what they can do.',
    volumesAttached: 'Volumes that are attached.',
    volumesInUse: 'Volumes that are mounted.',
  },
  'core.Taint': {
    '': 'Keeps pods off a node that do not tolerate it.',
    effect: 'NoSchedule, PreferNoSchedule or NoExecute, which also ends pods that are there.',
    key: 'Its name.',
    timeAdded: 'When it was added.',
    value: 'Its value.',
  },
  'core.ServiceAccount': {
    '': 'An identity for programs that run in pods.',
    automountServiceAccountToken: 'Whether its pods get its token. They may overrule it.',
    imagePullSecrets: 'Secrets with credentials for image registries that its pods get.',
    secrets: 'Secrets that its pods may use.',
  },
  'rbac.Role': { '': 'What may be done in one namespace.', rules },
  'rbac.ClusterRole': {
    '': 'What may be done in the whole cluster, or in each namespace where it is bound.',
    aggregationRule: 'Selects ClusterRoles whose rules are gathered into this one.',
    rules,
  },
  'rbac.RoleBinding': { '': 'Grants a Role or ClusterRole in its namespace.', roleRef, subjects },
  'rbac.ClusterRoleBinding': { '': 'Grants a ClusterRole in the whole cluster.', roleRef, subjects },
  'rbac.PolicyRule': {
    '': 'Verbs on resources, or on paths.',
    apiGroups: 'The groups of the resources; "" is the core group, * is all.',
    nonResourceURLs: 'Paths such as /healthz; * at the end matches whatever follows. In ClusterRoles only.',
    resourceNames: 'Names of objects that it is limited to; all if empty.',
    resources: 'Resources such as pods, or subresources such as pods/log; * is all.',
    verbs: 'get, list, watch, create, update, patch, delete and so on; * is all.',
  },
  'rbac.RoleRef': {
    '': 'Names the role that is granted.',
    apiGroup: 'rbac.authorization.k8s.io',
    kind: 'Role or ClusterRole.',
    name: 'The name of the role.',
  },
  'rbac.Subject': {
    '': 'Somebody who is granted a role.',
    apiGroup: 'rbac.authorization.k8s.io for users and groups, "" for service accounts.',
    kind: 'User, Group or ServiceAccount.',
    name: 'The name.',
    namespace: 'The namespace of a service account.',
  },
}
