// CEL's authorizer: an expression asks whether the request's user, or a service account, may do something.
// (https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library)
// Expressions run at once, authorizers may have to wait: an answer that is not there yet ends the run, which begins anew
// when the answer has come.
import { methodOf as method, type Overload } from './functions.ts'
import * as t from './types.ts'
import { ComputedStruct, Opaque, type Result, type Value } from './values.ts'

/** Who asks. */
interface User {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}
/** What an authorizer is asked. */
export interface Question {
  readonly user: User
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
  /** Selectors as text; empty: none. */
  readonly fields: string
  readonly labels: string
}
interface Answered {
  readonly decision: 'allow' | 'deny' | 'no-opinion' | 'error'
  readonly reason: string
}
type Ask = (question: Question) => Answered

/** Ends a run of an expression; `answer` says when it is worth another try. */
export class AwaitingDecision extends Error {
  readonly answer: Promise<void>
  constructor(answer: Promise<void>) {
    super('waits for an authorizer')
    this.answer = answer
  }
}

/** Asks each question once. `authorize` is the server's. */
export function askOnce(authorize: (question: Question) => Answered | Promise<Answered>): Ask {
  const known = new Map<string, Answered>()
  return (question) => {
    const key = JSON.stringify(question)
    const before = known.get(key)
    if (before !== undefined) return before
    const decision = authorize(question)
    if (!(decision instanceof Promise)) {
      known.set(key, decision)
      return decision
    }
    throw new AwaitingDecision(
      decision.then(
        (answered) => void known.set(key, answered),
        (error: unknown) => void known.set(key, { decision: 'error', reason: String(error) }),
      ),
    )
  }
}

interface Authorizing {
  readonly ask: Ask
  readonly user: User
}
interface Check extends Authorizing {
  readonly path: string | undefined
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly fields: string
  readonly labels: string
}
const nothing = {
  path: undefined,
  group: '',
  version: '*',
  resource: '',
  subresource: '',
  namespace: '',
  name: '',
  fields: '',
  labels: '',
}

const names = {
  authorizer: 'kubernetes.authorization.Authorizer',
  path: 'kubernetes.authorization.PathCheck',
  group: 'kubernetes.authorization.GroupCheck',
  resource: 'kubernetes.authorization.ResourceCheck',
  decision: 'kubernetes.authorization.Decision',
} as const
const resources: t.CelType = t.opaque(names.resource)
/** The type of the variable `authorizer`. Its one field is requestResource. */
export const authorizerType: t.CelType = {
  kind: 'object',
  name: names.authorizer,
  field: (name) => (name === 'requestResource' ? resources : undefined),
}
/** The authorizer of somebody else has no request of its own. */
const otherAuthorizer: t.CelType = { kind: 'object', name: names.authorizer, field: () => undefined }
const paths = t.opaque(names.path)
const groups = t.opaque(names.group)
const decisions = t.opaque(names.decision)
const { bool, string } = t

class AuthorizerValue extends ComputedStruct {
  readonly authorizing: Authorizing
  constructor(authorizing: Authorizing, own: Check | undefined) {
    super(names.authorizer, (field) =>
      field === 'requestResource' && own !== undefined ? new Opaque(names.resource, own) : undefined,
    )
    this.authorizing = authorizing
  }
}
/** The value of the variable `authorizer`: `own` is the request's own resource. */
export function authorizerValue(
  ask: Ask,
  own: Omit<Question, 'verb' | 'isResource' | 'path' | 'fields' | 'labels'>,
): Value {
  return new AuthorizerValue({ ask, user: own.user }, { ...nothing, ask, ...own })
}

const authorizing = (target: Value): Authorizing => (target as AuthorizerValue).authorizing
const checkOf = (target: Value): Check => (target as Opaque<Check>).value
const made = (type: string, check: Check): Result => new Opaque(type, check)
const narrowed =
  (key: 'resource' | 'subresource' | 'namespace' | 'name' | 'fields' | 'labels') =>
  (target: Value, value: string): Result =>
    made(names.resource, { ...checkOf(target), [key]: value })

function check(target: Value, verb: string): Result {
  const { ask, user, path, ...rest } = checkOf(target)
  const question: Question =
    path === undefined
      ? { user, verb, isResource: true, ...rest, path: '' }
      : { user, verb, isResource: false, ...rest, version: '', path }
  return new Opaque(names.decision, ask(question))
}
const decisionOf = (target: Value): Answered => (target as Opaque<Answered>).value

export const authorizerFunctions: readonly Overload[] = [
  method('path', [authorizerType, string], paths, (a: Value, path: string) =>
    made(names.path, { ...nothing, ...authorizing(a), path }),
  ),
  method('group', [authorizerType, string], groups, (a: Value, group: string) =>
    made(names.group, { ...nothing, ...authorizing(a), group }),
  ),
  method(
    'serviceAccount',
    [authorizerType, string, string],
    otherAuthorizer,
    (a: Value, namespace: string, name: string) =>
      new AuthorizerValue(
        {
          ask: authorizing(a).ask,
          user: {
            name: `system:serviceaccount:${namespace}:${name}`,
            groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
          },
        },
        undefined,
      ),
  ),
  method('resource', [groups, string], resources, narrowed('resource')),
  method('subresource', [resources, string], resources, narrowed('subresource')),
  method('namespace', [resources, string], resources, narrowed('namespace')),
  method('name', [resources, string], resources, narrowed('name')),
  method('fieldSelector', [resources, string], resources, narrowed('fields')),
  method('labelSelector', [resources, string], resources, narrowed('labels')),
  method('check', [paths, string], decisions, check),
  method('check', [resources, string], decisions, check),
  method('allowed', [decisions], bool, (d: Value) => decisionOf(d).decision === 'allow'),
  method('errored', [decisions], bool, (d: Value) => decisionOf(d).decision === 'error'),
  method('error', [decisions], string, (d: Value) => (decisionOf(d).decision === 'error' ? decisionOf(d).reason : '')),
  method('reason', [decisions], string, (d: Value) => (decisionOf(d).decision === 'error' ? '' : decisionOf(d).reason)),
]
