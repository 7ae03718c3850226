// PodSecurity: a namespace's labels say which of the Pod Security Standards its pods must keep (enforce), and which they
// are warned about (warn). (https://kubernetes.io/docs/concepts/security/pod-security-admission/)
import type { Namespace } from '../../api/core/namespace.ts'
import type { Pod } from '../../api/core/pod.ts'
import type { PodSpec } from '../../api/core/pod-spec.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { lookUp } from './lookup.ts'
import { type Level, type PodView, violationsOf } from './pod-security-checks.ts'

const prefix = 'pod-security.kubernetes.io/'
type Mode = 'enforce' | 'warn' | 'audit'

/** Where other kinds keep the pod that they will make. */
const templates: Readonly<Record<string, (object: never) => PodView | undefined>> = {
  'apps/daemonsets': template,
  'apps/deployments': template,
  'apps/replicasets': template,
  'apps/statefulsets': template,
  '/replicationcontrollers': template,
  'batch/jobs': template,
  'batch/cronjobs': (object: {
    readonly spec: { readonly jobTemplate: { readonly spec: { readonly template: PodView } } }
  }) => object.spec.jobTemplate.spec.template,
  '/podtemplates': (object: { readonly template: PodView }) => object.template,
}
function template(object: { readonly spec: { readonly template?: PodView } }): PodView | undefined {
  return object.spec.template
}

export const podSecurity: AdmissionPlugin = {
  name: 'PodSecurity',
  handles({ operation, resource, subresource }) {
    if (operation !== 'CREATE' && operation !== 'UPDATE') return false
    const id = `${resource.kind.group}/${resource.kind.plural}`
    if (id === '/pods') return subresource === '' || subresource === 'ephemeralcontainers'
    return subresource === '' && Object.hasOwn(templates, id)
  },
  validate(request, server) {
    const namespace = namespaceAtHand(server, request.namespace)
    if (namespace === undefined) return slowly(request, server)
    return check(request, namespace)
  },
}

function namespaceAtHand(server: ServerContext, name: string): Namespace | undefined {
  const { collection } = server.resources.required('', 'namespaces')
  const entry = collection.loaded ? collection.find('', name) : undefined
  return entry === undefined ? undefined : (collection.object(entry) as unknown as Namespace)
}
async function slowly(request: AdmissionRequest, server: ServerContext): Promise<void> {
  const namespace = await lookUp<Namespace>(server, '', 'namespaces', '', request.namespace)
  if (namespace !== undefined) check(request, namespace)
}

interface Policy {
  readonly level: Level
  readonly version: string
}
function policyOf({ metadata }: Namespace, mode: Mode): Policy {
  const level = metadata.labels?.[`${prefix}${mode}`]
  const known = level === 'baseline' || level === 'restricted' || level === 'privileged'
  // A level that nobody knows is taken for the strictest one, as long as it is enforced.
  const safe = level === undefined ? 'privileged' : mode === 'enforce' ? 'restricted' : 'privileged'
  return { level: known ? level : safe, version: metadata.labels?.[`${prefix}${mode}-version`] ?? 'latest' }
}

function check(request: AdmissionRequest, namespace: Namespace): void {
  const { kind } = request.resource
  const isPod = kind.plural === 'pods'
  const pod = isPod
    ? (request.object as unknown as PodView)
    : templates[`${kind.group}/${kind.plural}`]?.(request.object as never)
  if (pod === undefined) return
  if (isPod && request.operation === 'UPDATE' && !isSignificant(request)) return
  const enforce = policyOf(namespace, 'enforce')
  note(request, pod, isPod ? enforce : undefined, policyOf(namespace, 'audit'))
  if (isPod && enforce.level !== 'privileged') {
    const found = violationsOf(pod, enforce.level)
    if (found.length > 0) {
      throw forbidden(
        { group: '', resource: 'pods' },
        request.name,
        `violates PodSecurity ${JSON.stringify(`${enforce.level}:${enforce.version}`)}: ${found.join(', ')}`,
      )
    }
  }
  const warn = policyOf(namespace, 'warn')
  if (warn.level === 'privileged') return
  const found = violationsOf(pod, warn.level)
  if (found.length > 0) {
    request.warnings.push(
      `would violate PodSecurity ${JSON.stringify(`${warn.level}:${warn.version}`)}: ${found.join(', ')}`,
    )
  }
}

/** What the audit log is told: the policy that a pod was held to, and what violates the one that only watches. */
function note({ audit }: AdmissionRequest, pod: PodView, enforce: Policy | undefined, watched: Policy): void {
  if (audit === undefined) return
  if (enforce !== undefined) audit.annotate(`${prefix}enforce-policy`, `${enforce.level}:${enforce.version}`)
  if (watched.level === 'privileged') return
  const found = violationsOf(pod, watched.level)
  if (found.length === 0) return
  const policy = JSON.stringify(`${watched.level}:${watched.version}`)
  audit.annotate(`${prefix}audit-violations`, `would violate PodSecurity ${policy}: ${found.join(', ')}`)
}

/** Most updates cannot change what the standards look at. */
function isSignificant({ object, oldObject, subresource }: AdmissionRequest): boolean {
  if (subresource === 'ephemeralcontainers') return true
  const images = (spec: PodSpec) => [...spec.containers, ...(spec.initContainers ?? [])].map((c) => c.image).join('\n')
  const [next, old] = [object as unknown as Pod, oldObject as unknown as Pod]
  return images(next.spec) !== images(old.spec)
}
