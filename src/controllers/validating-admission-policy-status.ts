// Type checking of ValidatingAdmissionPolicies: each expression is compiled once more for every kind that the policy names,
// and what does not fit is said in the policy's status (KEP-3488). It warns; the policy works all the same.
import { type ExpressionScope, compileExpression } from '../api/admissionregistration/expressions.ts'
import { type ValidatingAdmissionPolicy, validatingAdmissionPolicies } from '../api/admissionregistration/policies.ts'
import { customKindsOf } from '../api/apiextensions/custom-kind.ts'
import {
  type CustomResourceDefinition,
  customResourceDefinitions,
} from '../api/apiextensions/custom-resource-definition.ts'
import { builtinKinds } from '../api/kinds.ts'
import { type CelType, dyn, typeOf } from '../api/machinery/cel/types.ts'
import { semanticEqual } from '../api/machinery/equal.ts'
import { apiVersionOf, type Kind } from '../api/machinery/kind.ts'
import type { ObjectSchema } from '../api/machinery/schema.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

/** More kinds than these are not looked at. */
const maxKinds = 10

interface TypedKind {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly schema: ObjectSchema
}
interface Warning {
  readonly fieldRef: string
  readonly warning: string
}

function versionsOf(kind: Kind): readonly TypedKind[] {
  const { group, version, plural, schema } = kind
  const own = { group, version, plural, kind: kind.kind, schema }
  return [
    own,
    ...(kind.versions ?? []).map((v) => ({ ...own, group: v.group, version: v.version, schema: v.schema ?? schema })),
  ]
}
const builtin = (builtinKinds as readonly Kind[]).flatMap(versionsOf)
const customOf = (crd: CustomResourceDefinition): readonly TypedKind[] =>
  customKindsOf(crd)
    .versions.filter((v) => v.served)
    .flatMap(({ kind }) => versionsOf(kind))

/** The kinds that a policy's rules name outright. */
function namedKinds({ spec }: ValidatingAdmissionPolicy, all: readonly TypedKind[]): TypedKind[] {
  const found = new Map<string, TypedKind>()
  for (const { apiGroups = [], apiVersions = [], resources = [] } of spec.matchConstraints?.resourceRules ?? []) {
    for (const kind of all) {
      if (!apiGroups.includes(kind.group) || !apiVersions.includes(kind.version) || !resources.includes(kind.plural))
        continue
      found.set(nameOf(kind), kind)
    }
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, kind]) => kind)
    .slice(0, maxKinds)
}
const nameOf = (kind: TypedKind): string => `${apiVersionOf(kind)}, Kind=${kind.kind}`

/** What does not fit the kinds that a policy names, expression by expression. */
export function planWarnings(policy: ValidatingAdmissionPolicy, all: readonly TypedKind[]): readonly Warning[] {
  const { spec } = policy
  const { paramKind } = spec
  const param = all.find((k) => apiVersionOf(k) === paramKind?.apiVersion && k.kind === paramKind.kind)
  const scopes = namedKinds(policy, all).map((kind) => {
    const variables = new Map<string, CelType>()
    const scope: ExpressionScope = {
      params: paramKind !== undefined,
      paramsType: param === undefined ? dyn : typeOf(param.schema),
      object: typeOf(kind.schema),
      variables,
    }
    for (const { name, expression } of spec.variables ?? []) {
      const compiled = compileExpression(expression, scope)
      variables.set(name, compiled.ok ? compiled.program.type : dyn)
    }
    return { name: nameOf(kind), scope }
  })
  const check = (expression: string | undefined, fieldRef: string): Warning[] => {
    if (expression === undefined || expression.trim() === '') return []
    const lines = scopes.flatMap(({ name, scope }) => {
      const compiled = compileExpression(expression, scope)
      return compiled.ok ? [] : [`${name}: ${compiled.error}`]
    })
    return lines.length === 0 ? [] : [{ fieldRef, warning: `${lines.join('\n')}\n` }]
  }
  return (spec.validations ?? []).flatMap((v, i) => [
    ...check(v.expression, `spec.validations[${i}].expression`),
    ...check(v.messageExpression, `spec.validations[${i}].messageExpression`),
  ])
}

export const validatingAdmissionPolicyStatusController: Controller = {
  name: 'validatingadmissionpolicy-status-controller',
  start(context) {
    const policies = context.informers.informer(validatingAdmissionPolicies)
    const definitions = context.informers.informer(customResourceDefinitions)
    const reconciler = startReconciler({
      context,
      caches: [policies, definitions],
      async reconcile(name, writes) {
        const policy = policies.get(name)
        if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) return
        const expressionWarnings = planWarnings(policy, [...builtin, ...[...definitions.list()].flatMap(customOf)])
        const status = {
          ...policy.status,
          observedGeneration: policy.metadata.generation,
          typeChecking: expressionWarnings.length === 0 ? {} : { expressionWarnings },
        }
        if (!semanticEqual(status, policy.status))
          await writes.updateStatus(validatingAdmissionPolicies, { ...policy, status })
      },
      onStop: () => {
        for (const off of handlers) off()
      },
    })
    const enqueue = (policy: ValidatingAdmissionPolicy) => reconciler.enqueue(policy.metadata.name)
    /** A new kind may be the one that a policy waits for. */
    const enqueueNaming = ({ spec }: CustomResourceDefinition) => {
      for (const policy of policies.list()) {
        const rules = policy.spec.matchConstraints?.resourceRules ?? []
        if (rules.some(({ apiGroups }) => apiGroups?.includes(spec.group) === true)) enqueue(policy)
      }
    }
    const handlers = [
      policies.handle({ add: enqueue, update: enqueue }),
      definitions.handle({ add: enqueueNaming, update: enqueueNaming, delete: enqueueNaming }),
    ]
    return reconciler
  },
}
