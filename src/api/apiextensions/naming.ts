// Which names a CustomResourceDefinition may have: those that no other definition of its group holds. Pure decisions over
// the definitions; the API server carries them out.
import type { Draft } from '../machinery/schema.ts'
import type { CrdNames, CustomResourceDefinition } from './custom-resource-definition.ts'

export interface CrdCondition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}
export type CrdStatus = CustomResourceDefinition['status']

interface Names {
  readonly accepted: CrdNames
  readonly condition: CrdCondition
}

/** The names that `crd` gets beside `others`, and the condition that says so. A name that is taken is left as it was. */
export function acceptNames(crd: CustomResourceDefinition, others: readonly CustomResourceDefinition[]): Names {
  const taken = others.flatMap(({ status }) => (status.acceptedNames === undefined ? [] : [status.acceptedNames]))
  const resources = new Set(taken.flatMap((n) => [n.plural, n.singular ?? '', ...(n.shortNames ?? [])]))
  const kinds = new Set(taken.flatMap((n) => [n.kind, n.listKind ?? '']))
  resources.delete('')
  kinds.delete('')
  const wanted = crd.spec.names
  const accepted: Draft<CrdNames> = { ...(crd.status.acceptedNames as Draft<CrdNames> | undefined) } as Draft<CrdNames>
  accepted.plural ??= ''
  accepted.kind ??= ''
  let problem: { reason: string; name: string } | undefined
  const settle = (name: string, used: ReadonlySet<string>, reason: string, accept: () => void) => {
    if (used.has(name)) problem = { reason, name }
    else accept()
  }
  settle(wanted.plural, resources, 'PluralConflict', () => (accepted.plural = wanted.plural))
  settle(wanted.singular ?? '', resources, 'SingularConflict', () => set(accepted, 'singular', wanted.singular))
  const short = (wanted.shortNames ?? []).find((name) => resources.has(name))
  settle(short ?? '', resources, 'ShortNamesConflict', () => set(accepted, 'shortNames', copyOf(wanted.shortNames)))
  settle(wanted.kind, kinds, 'KindConflict', () => (accepted.kind = wanted.kind))
  settle(wanted.listKind ?? '', kinds, 'ListKindConflict', () => set(accepted, 'listKind', wanted.listKind))
  set(accepted, 'categories', copyOf(wanted.categories))
  return {
    accepted,
    condition:
      problem === undefined
        ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
        : {
            type: 'NamesAccepted',
            status: 'False',
            reason: problem.reason,
            message: `${JSON.stringify(problem.name)} is already in use`,
          },
  }
}
const copyOf = (list: readonly string[] | undefined): string[] | undefined =>
  list === undefined ? undefined : [...list]
function set<K extends 'singular' | 'shortNames' | 'listKind' | 'categories'>(
  names: Draft<CrdNames>,
  key: K,
  value: Draft<CrdNames>[K],
): void {
  if (value === undefined || value === '') delete names[key]
  else names[key] = value
}

const approval = 'api-approved.kubernetes.io'
/** Groups of Kubernetes itself say whether the kind was approved. */
function approvalOf({ metadata, spec }: CustomResourceDefinition): CrdCondition | undefined {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(spec.group)) return undefined
  const type = 'KubernetesAPIApprovalPolicyConformant'
  const text = metadata.annotations?.[approval] ?? ''
  if (text === '') {
    return {
      type,
      status: 'False',
      reason: 'MissingAnnotation',
      message: `protected groups must have approval annotation "${approval}", see https://github.com/kubernetes/enhancements/pull/1111`,
    }
  }
  if (text.startsWith('unapproved')) {
    return { type, status: 'False', reason: 'UnapprovedAnnotation', message: `not approved: ${JSON.stringify(text)}` }
  }
  return { type, status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${text}` }
}

export const isTrue = ({ conditions }: CrdStatus, type: string): boolean =>
  conditions?.some((condition) => condition.type === type && condition.status === 'True') === true

/** Puts a condition in; the time changes with the status only. */
export function withCondition(status: CrdStatus, condition: CrdCondition, now: string): CrdStatus {
  const known = status.conditions?.find(({ type }) => type === condition.type)
  if (
    known !== undefined &&
    known.status === condition.status &&
    known.reason === condition.reason &&
    known.message === condition.message
  )
    return status
  const lastTransitionTime = known?.status === condition.status ? known.lastTransitionTime : now
  const next = { ...condition, ...(lastTransitionTime === undefined ? {} : { lastTransitionTime }) }
  const conditions = status.conditions ?? []
  return {
    ...status,
    conditions: known === undefined ? [...conditions, next] : conditions.map((c) => (c === known ? next : c)),
  }
}

/** What the status of `crd` should be; the same reference where it is already. */
export function planStatus(
  crd: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: string,
): CrdStatus {
  const { accepted, condition } = acceptNames(crd, others)
  const same = JSON.stringify(sorted(accepted)) === JSON.stringify(sorted(crd.status.acceptedNames))
  let status: CrdStatus = same ? crd.status : { ...crd.status, acceptedNames: accepted }
  status = withCondition(status, condition, now)
  if (!isTrue(status, 'Established')) {
    const established = condition.status === 'True'
    status = withCondition(
      status,
      established
        ? {
            type: 'Established',
            status: 'True',
            reason: 'InitialNamesAccepted',
            message: 'the initial names have been accepted',
          }
        : { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' },
      now,
    )
  }
  const approved = approvalOf(crd)
  return approved === undefined ? status : withCondition(status, approved, now)
}
const sorted = (names: CrdNames | undefined) =>
  Object.entries(names ?? {})
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
