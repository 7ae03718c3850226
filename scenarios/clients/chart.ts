// What Helm does with a chart, in its order: the CRDs first, then the hooks of the moment one by one, each waited for, then
// everything else by kind. Objects go through kubectl with three-way merges, as Helm's own client makes them.
import { readFileSync } from 'node:fs'
import { parseAllDocuments, stringify } from 'yaml'
import type { Kubectl } from '../kubectl/cluster.ts'

interface Manifest {
  kind: string
  metadata: { name: string; annotations?: Record<string, string> }
}
/** The part of Helm's install order that charts use most. */
const order = [
  'Namespace',
  'NetworkPolicy',
  'ResourceQuota',
  'LimitRange',
  'PodDisruptionBudget',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'StorageClass',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'CustomResourceDefinition',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
  'Service',
  'DaemonSet',
  'Pod',
  'ReplicaSet',
  'Deployment',
  'HorizontalPodAutoscaler',
  'StatefulSet',
  'Job',
  'CronJob',
  'IngressClass',
  'Ingress',
  'APIService',
] as const
const rank = (kind: string): number => {
  const at = order.findIndex((one) => one === kind)
  return at < 0 ? order.length : at
}
const hooksOf = ({ metadata }: Manifest): string[] => metadata.annotations?.['helm.sh/hook']?.split(',') ?? []

export function chart(file: string, kubectl: Kubectl, namespace: string) {
  const text = readFileSync(new URL(`../manifests/${file}`, import.meta.url), 'utf8')
  const all = parseAllDocuments(text).map((document) => document.toJS() as Manifest)
  const isCrd = ({ kind }: Manifest) => kind === 'CustomResourceDefinition'
  const plain = all
    .filter((one) => hooksOf(one).length === 0 && !isCrd(one))
    .sort((a, b) => rank(a.kind) - rank(b.kind))
  const here = ['-n', namespace]
  const asText = (objects: readonly Manifest[]) => objects.map((one) => `---\n${stringify(one)}`).join('')

  async function runHooks(moment: string): Promise<void> {
    for (const hook of all.filter((one) => hooksOf(one).includes(moment))) {
      const { name, annotations = {} } = hook.metadata
      const policy = annotations['helm.sh/hook-delete-policy'] ?? 'before-hook-creation'
      const target = `${hook.kind}/${name}`
      if (policy.includes('before-hook-creation')) await kubectl.ok([...here, 'delete', target, '--ignore-not-found'])
      await kubectl.ok([...here, 'create', '-f', '-'], asText([hook]))
      const end = hook.kind === 'Job' ? 'condition=Complete' : 'jsonpath={.status.phase}=Succeeded'
      await kubectl.ok([...here, 'wait', target, `--for=${end}`, '--timeout=120s'])
      if (policy.includes('hook-succeeded')) await kubectl.ok([...here, 'delete', target])
    }
  }
  return {
    async install(): Promise<void> {
      await kubectl.ok(['create', 'namespace', namespace])
      await kubectl.ok(['create', '-f', '-'], asText(all.filter(isCrd)))
      await kubectl.ok(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=60s'])
      await runHooks('pre-install')
      await kubectl.ok([...here, 'apply', '-f', '-'], asText(plain))
      await kubectl.ok([...here, 'rollout', 'status', 'deployment', '--timeout=120s'])
    },
    /** Upgrades to the same chart with one text replaced by another. */
    async upgrade(from: string, to: string): Promise<string> {
      await runHooks('pre-upgrade')
      const changed = await kubectl.ok([...here, 'apply', '-f', '-'], asText(plain).replaceAll(from, to))
      await kubectl.ok([...here, 'rollout', 'status', 'deployment', '--timeout=120s'])
      return changed
    },
    test: () => runHooks('test'),
    async uninstall(): Promise<void> {
      await kubectl.ok([...here, 'delete', '--wait=true', '-f', '-'], asText([...plain].reverse()))
    },
  }
}
