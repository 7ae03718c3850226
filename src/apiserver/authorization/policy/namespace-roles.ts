// Roles in the system namespaces.
import { type DefaultBinding, type DefaultRole, events, role } from './policy.ts'

const locking = (component: string): DefaultRole =>
  role(
    `system::leader-locking-${component}`,
    'read create update @ leases @ coordination.k8s.io',
    'read create update @ leasecandidates @ coordination.k8s.io',
  )

export const namespaceRoles: Readonly<Record<string, readonly DefaultRole[]>> = {
  'kube-public': [
    role(
      'system:controller:bootstrap-signer',
      'read @ configmaps',
      'update @ configmaps @ core [cluster-info]',
      events,
    ),
  ],
  'kube-system': [
    role('extension-apiserver-authentication-reader', 'read @ configmaps @ core [extension-apiserver-authentication]'),
    locking('kube-controller-manager'),
    locking('kube-scheduler'),
    role('system:controller:bootstrap-signer', 'read @ secrets'),
    role('system:controller:cloud-provider', 'read create @ configmaps'),
    role('system:controller:token-cleaner', 'read delete @ secrets', events),
  ],
}

const bound = (name: string, ...subjects: readonly string[]): DefaultBinding => ({ name, role: name, subjects })
export const namespaceRoleBindings: Readonly<Record<string, readonly DefaultBinding[]>> = {
  'kube-public': [bound('system:controller:bootstrap-signer', 'account:kube-system/bootstrap-signer')],
  'kube-system': [
    {
      name: 'system::extension-apiserver-authentication-reader',
      role: 'extension-apiserver-authentication-reader',
      subjects: ['user:system:kube-controller-manager', 'user:system:kube-scheduler'],
    },
    bound(
      'system::leader-locking-kube-controller-manager',
      'user:system:kube-controller-manager',
      'account:kube-system/kube-controller-manager',
      'account:kube-system/leader-election-controller',
    ),
    bound('system::leader-locking-kube-scheduler', 'user:system:kube-scheduler', 'account:kube-system/kube-scheduler'),
    bound('system:controller:bootstrap-signer', 'account:kube-system/bootstrap-signer'),
    bound('system:controller:cloud-provider', 'account:kube-system/cloud-provider'),
    bound('system:controller:token-cleaner', 'account:kube-system/token-cleaner'),
  ],
}
