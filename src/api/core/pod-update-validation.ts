// What may change in a pod that exists: images, a shorter deadline, more tolerations, fewer gates; the rest never.
import { equal, semanticEqual } from '../machinery/equal.ts'
import { type FieldError, forbiddenField, invalidField } from '../machinery/errors.ts'
import { isDns1123Subdomain, isQualifiedName, parseIp } from '../machinery/validation.ts'
import type { Draft } from '../machinery/schema.ts'
import type { Pod } from './pod.ts'
import type { PodSpec } from './pod-spec.ts'
import type { Toleration } from './toleration.ts'
import type { ContainerStatus } from './container-status.ts'

const changeable = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
]

function validateDeadline(pod: Pod, old: Pod): FieldError[] {
  const [now, before] = [pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds]
  const path = 'spec.activeDeadlineSeconds'
  if (now !== undefined && before !== undefined && now > before) {
    return [invalidField(path, now, 'must be less than or equal to previous value')]
  }
  if (now === undefined && before !== undefined) {
    return [invalidField(path, null, 'must not update from a positive integer to nil value')]
  }
  return []
}
function validateAddedTolerations(pod: Pod, old: Pod): FieldError[] {
  const withoutSeconds = (toleration: Toleration) => ({ ...toleration, tolerationSeconds: undefined })
  const now = (pod.spec.tolerations ?? []).map(withoutSeconds)
  const kept = (old.spec.tolerations ?? []).every((toleration) =>
    now.some((other) => equal(other, withoutSeconds(toleration))),
  )
  return kept
    ? []
    : [forbiddenField('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')]
}
function validateGates(pod: Pod, old: Pod): FieldError[] {
  const before = new Set(old.spec.schedulingGates?.map((gate) => gate.name))
  return (pod.spec.schedulingGates ?? []).flatMap((gate) =>
    before.has(gate.name)
      ? []
      : [
          forbiddenField(
            'spec.schedulingGates',
            `only deletion is allowed, but found new scheduling gate '${gate.name}'`,
          ),
        ],
  )
}
const isGated = (pod: Pod): boolean => (pod.spec.schedulingGates?.length ?? 0) > 0

/** While gates stand, placement may be narrowed: more node selector entries, more required expressions. */
function onlyNarrows(pod: Pod, old: Pod): boolean {
  for (const [key, value] of Object.entries(old.spec.nodeSelector ?? {})) {
    if (pod.spec.nodeSelector?.[key] !== value) return false
  }
  const required = 'requiredDuringSchedulingIgnoredDuringExecution'
  const before = old.spec.affinity?.nodeAffinity?.[required]?.nodeSelectorTerms
  if (before === undefined) return true
  const now = pod.spec.affinity?.nodeAffinity?.[required]?.nodeSelectorTerms ?? []
  return (
    now.length === before.length &&
    before.every((term, i) =>
      (['matchExpressions', 'matchFields'] as const).every((field) =>
        (term[field] ?? []).every((one) => now[i]?.[field]?.some((other) => equal(one, other))),
      ),
    )
  )
}

type Copy = Draft<PodSpec>
/** The spec with everything that may change as it was before. */
function withOldChangeables(pod: Pod, old: Pod): PodSpec {
  const spec: Copy = { ...(pod.spec as Copy) }
  const images = (now: PodSpec['containers'] | undefined, before: PodSpec['containers'] | undefined) =>
    now?.map((container, i) => {
      const { image: _, ...rest } = container
      const image = before?.[i]?.image
      return image === undefined ? rest : { ...rest, image }
    }) as Copy['containers'] | undefined
  spec.containers = images(pod.spec.containers, old.spec.containers) ?? []
  if (spec.initContainers !== undefined) {
    spec.initContainers = images(pod.spec.initContainers, old.spec.initContainers) ?? []
  }
  const restore = (name: 'activeDeadlineSeconds' | 'tolerations' | 'schedulingGates' | 'nodeSelector') => {
    const before = old.spec[name]
    if (before === undefined) delete spec[name]
    else Object.assign(spec, { [name]: before })
  }
  restore('activeDeadlineSeconds')
  restore('tolerations')
  restore('schedulingGates')
  if (old.spec.terminationGracePeriodSeconds < 0 && spec.terminationGracePeriodSeconds === 1) {
    spec.terminationGracePeriodSeconds = old.spec.terminationGracePeriodSeconds
  }
  if (isGated(old) && onlyNarrows(pod, old)) {
    restore('nodeSelector')
    const { nodeAffinity: _, ...others } = pod.spec.affinity ?? {}
    const before = old.spec.affinity?.nodeAffinity
    const affinity = before === undefined ? others : { ...others, nodeAffinity: before }
    if (old.spec.affinity === undefined && Object.keys(affinity).length === 0) delete spec.affinity
    else spec.affinity = affinity as NonNullable<Copy['affinity']>
  }
  return spec as PodSpec
}

const line = (sign: string, path: string, value: unknown): string[] =>
  value === undefined ? [] : [`${sign}\t${path}: ${JSON.stringify(value)}`]
/** Lines of what differs, most specific path first: "  spec.hostname: \"a\" -> \"b\"". */
function difference(before: unknown, now: unknown, path: string): string[] {
  if (semanticEqual(before, now)) return []
  const isTree = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null
  if (!isTree(before) || !isTree(now)) {
    return [line('-', path, before), line('+', path, now)].flat()
  }
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  return keys.flatMap((key) =>
    difference(before[key], now[key], Array.isArray(before) ? `${path}[${key}]` : `${path}.${key}`),
  )
}

export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = []
  for (const list of ['containers', 'initContainers'] as const) {
    if ((pod.spec[list]?.length ?? 0) !== (old.spec[list]?.length ?? 0)) {
      errors.push(forbiddenField(`spec.${list}`, 'pod updates may not add or remove containers'))
    }
  }
  if (errors.length > 0) return errors
  errors.push(...validateDeadline(pod, old), ...validateAddedTolerations(pod, old), ...validateGates(pod, old))
  const comparable = withOldChangeables(pod, old)
  if (!semanticEqual(comparable, old.spec)) {
    const lines = difference(old.spec, comparable, 'spec').join('\n')
    errors.push(
      forbiddenField('spec', `pod updates may not change fields other than ${changeable.join(',')}\n${lines}\n`),
    )
  }
  return errors
}

function validateContainerStates(
  now: readonly ContainerStatus[] | undefined,
  old: readonly ContainerStatus[] | undefined,
  path: string,
  mayRestart: (status: ContainerStatus) => boolean,
): FieldError[] {
  return (now ?? []).flatMap((status, i) => {
    const before = old?.find((other) => other.name === status.name)
    const ended = before?.state.terminated
    if (before === undefined || ended === undefined || status.state.terminated !== undefined || mayRestart(before))
      return []
    return [forbiddenField(`${path}[${i}].state`, 'may not be transitioned to non-terminated state')]
  })
}
export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = []
  const { status, spec } = pod
  if (spec.nodeName !== old.spec.nodeName) errors.push(forbiddenField('status.nodeName', 'may not be changed directly'))
  if (status.nominatedNodeName) {
    for (const message of isDns1123Subdomain(status.nominatedNodeName)) {
      errors.push(invalidField('status.nominatedNodeName', status.nominatedNodeName, message))
    }
  }
  if (old.status.qosClass && status.qosClass !== old.status.qosClass) {
    errors.push(invalidField('status.qosClass', status.qosClass, 'field is immutable'))
  }
  const rules = new Map(spec.containers.map((c) => [c.name, c]))
  const mayRestart = (before: ContainerStatus): boolean => {
    const own = rules.get(before.name)
    const policy = own?.restartPolicy ?? spec.restartPolicy
    if (policy === 'Always' || (own?.restartPolicyRules?.length ?? 0) > 0) return true
    return policy === 'OnFailure' && before.state.terminated?.exitCode !== 0
  }
  errors.push(
    ...validateContainerStates(
      status.containerStatuses,
      old.status.containerStatuses,
      'status.containerStatuses',
      mayRestart,
    ),
  )
  status.conditions?.forEach((condition, i) => {
    const at = `status.conditions[${i}].type`
    for (const message of isQualifiedName(condition.type)) errors.push(invalidField(at, condition.type, message))
  })
  return [
    ...errors,
    ...validateAddresses(status.podIPs, 'status.podIPs'),
    ...validateAddresses(status.hostIPs, 'status.hostIPs'),
  ]
}
/** At most one address a family. */
function validateAddresses(addresses: readonly { readonly ip: string }[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = []
  const parsed = (addresses ?? []).map(({ ip }) => parseIp(ip))
  parsed.forEach((ip, i) => {
    if (ip === undefined) {
      errors.push(
        invalidField(
          `${path}[${i}]`,
          addresses?.[i]?.ip,
          'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
      )
    }
  })
  const versions = parsed.flatMap((ip) => (ip === undefined ? [] : [ip.version]))
  if (new Set(versions).size < versions.length) {
    errors.push(
      invalidField(
        path,
        (addresses ?? []).map(({ ip }) => ip),
        'may specify no more than one IP for each IP family',
      ),
    )
  }
  return errors
}
