// Authorization: a list of authorizers is asked in order; the first that allows or denies decides, no opinion passes on.
import { type FieldSelector, parseFieldSelector } from '../../api/machinery/fields.ts'
import { parseSelector, type Selector, SelectorError } from '../../api/machinery/labels.ts'
import type { UserInfo } from '../request.ts'

export interface AuthorizationAttributes {
  readonly user: UserInfo
  readonly verb: string
  readonly isResource: boolean
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  /** Path of a non-resource request. */
  readonly path: string
  /** What a list, watch or deletecollection is restricted to; a selector that nobody can read restricts nothing (KEP-4601). */
  readonly fieldSelector?: FieldSelector
  readonly labelSelector?: Selector
}

const selecting = new Set(['list', 'watch', 'deletecollection'])
/** The selectors of a question, from their text; none where they do not count or cannot be read. */
export function selectorsOf(
  verb: string,
  fields: string | null | undefined,
  labels: string | null | undefined,
): Pick<AuthorizationAttributes, 'fieldSelector' | 'labelSelector'> {
  if (!selecting.has(verb) || (!fields && !labels)) return {}
  const fieldSelector = readable(fields, parseFieldSelector)
  const labelSelector = readable(labels, parseSelector)
  return {
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
  }
}
function readable<T extends readonly unknown[]>(
  text: string | null | undefined,
  parse: (text: string) => T,
): T | undefined {
  if (text === null || text === undefined || text === '') return undefined
  try {
    const selector = parse(text)
    return selector.length === 0 ? undefined : selector
  } catch (error) {
    if (error instanceof SelectorError) return undefined
    throw error
  }
}
export type Decision =
  | { readonly decision: 'allow' | 'deny'; readonly reason: string }
  | { readonly decision: 'no-opinion'; readonly reason: string }

export interface Authorizer {
  readonly name: string
  authorize(attributes: AuthorizationAttributes): Decision | Promise<Decision>
}

const noOpinion: Decision = { decision: 'no-opinion', reason: '' }

/** Asks `authorizers` in order. */
export function unionAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  const askFrom = async (
    attributes: AuthorizationAttributes,
    start: number,
    reasons: string[],
    first: Promise<Decision>,
  ) => {
    let pending: Decision | Promise<Decision> = first
    for (let i = start; ; i++) {
      const decision: Decision = await pending
      if (decision.decision !== 'no-opinion') return decision
      if (decision.reason !== '') reasons.push(decision.reason)
      const next = authorizers[i + 1]
      if (next === undefined) return { decision: 'no-opinion', reason: reasons.join('\n') } as const
      pending = next.authorize(attributes)
    }
  }
  return {
    name: 'union',
    authorize(attributes) {
      const reasons: string[] = []
      for (let i = 0; i < authorizers.length; i++) {
        const decision = authorizers[i]?.authorize(attributes) ?? noOpinion
        if (decision instanceof Promise) return askFrom(attributes, i, reasons, decision)
        if (decision.decision !== 'no-opinion') return decision
        if (decision.reason !== '') reasons.push(decision.reason)
      }
      return { decision: 'no-opinion', reason: reasons.join('\n') }
    },
  }
}

/** Members of system:masters may do everything. */
export const privilegedGroups: Authorizer = {
  name: 'SystemMasters',
  authorize: ({ user }) => (user.groups.includes('system:masters') ? { decision: 'allow', reason: '' } : noOpinion),
}
