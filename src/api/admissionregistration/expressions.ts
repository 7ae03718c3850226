// The CEL of webhooks and policies: which variables there are and of which types. Compiled when a configuration is written,
// so that mistakes are refused, and by whoever evaluates it.
// (https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/)
import { namespaces } from '../core/namespace.ts'
import { type CelOptions, type Compiled, compileCel } from '../machinery/cel.ts'
import { authorizerFunctions, authorizerType } from '../machinery/cel/authorizer.ts'
import { globalFunction, type Overload } from '../machinery/cel/functions.ts'
import * as t from '../machinery/cel/types.ts'
import { any, array, boolean, map, object, optional, string } from '../machinery/schema.ts'

const gvk = object('kubernetes.GroupVersionKind', {
  group: optional(1, string()),
  version: optional(2, string()),
  kind: optional(3, string()),
})
const gvr = object('kubernetes.GroupVersionResource', {
  group: optional(1, string()),
  version: optional(2, string()),
  resource: optional(3, string()),
})
/** AdmissionRequest as expressions see it. */
export const requestSchema = object('kubernetes.AdmissionRequest', {
  kind: optional(1, gvk),
  resource: optional(2, gvr),
  subResource: optional(3, string()),
  requestKind: optional(4, gvk),
  requestResource: optional(5, gvr),
  requestSubResource: optional(6, string()),
  name: optional(7, string()),
  namespace: optional(8, string()),
  operation: optional(9, string()),
  userInfo: optional(
    10,
    object('kubernetes.UserInfo', {
      username: optional(1, string()),
      uid: optional(2, string()),
      groups: optional(3, array(string())),
      extra: optional(4, map(array(string()))),
    }),
  ),
  dryRun: optional(11, boolean()),
  options: optional(12, any()),
})

export interface ExpressionScope {
  /** A policy with a paramKind. */
  readonly params?: boolean
  /** Types of the policy's own variables, by name. */
  readonly variables?: ReadonlyMap<string, t.CelType>
  /** The policy may make objects and patches. */
  readonly mutates?: boolean
  /** Default: anything. The type checker puts a kind's own type here. */
  readonly object?: t.CelType
  readonly paramsType?: t.CelType
}

const { string: text, dyn } = t
/** Every type of Object{...} is as good as another: what it holds is checked when it is applied. */
const objectType = (name: string): t.CelType => ({
  kind: 'object',
  name,
  field: (field) => (name.startsWith('Object') ? dyn : patchFields[field]),
})
const patchFields: Readonly<Record<string, t.CelType>> = { op: text, path: text, from: text, value: dyn }
/** What the expression of a mutation must answer, by its patchType. */
export const mutationTypes = {
  ApplyConfiguration: objectType('Object'),
  JSONPatch: t.listOf(objectType('JSONPatch')),
} as const
const structs = {
  get: (name: string) =>
    name === 'JSONPatch' || name === 'Object' || name.startsWith('Object.') ? objectType(name) : undefined,
}
const escapeKey: Overload = globalFunction('jsonpatch.escapeKey', [text], text, (key: string) =>
  key.replaceAll('~', '~0').replaceAll('/', '~1'),
)

/** Compiles one expression of a webhook or a policy. */
export function compileExpression(source: string, scope: ExpressionScope, result?: t.CelType): Compiled {
  const object = scope.object ?? dyn
  const own = scope.variables
  const options: CelOptions = {
    variables: {
      object,
      oldObject: object,
      request: t.typeOf(requestSchema),
      namespaceObject: t.typeOf(namespaces.schema),
      authorizer: authorizerType,
      ...(scope.params === true ? { params: scope.paramsType ?? dyn } : {}),
      ...(own === undefined
        ? {}
        : { variables: { kind: 'object', name: 'kubernetes.variables', field: (name) => own.get(name) } }),
    },
    functions: scope.mutates === true ? [...authorizerFunctions, escapeKey] : authorizerFunctions,
    ...(scope.mutates === true ? { structs } : {}),
    ...(result === undefined ? {} : { result }),
  }
  return compileCel(source, options)
}
