// MutatingAdmissionPolicy (KEP-3962): changes in CEL, as an apply configuration that is merged into the object or as a JSON
// patch.
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
} from '../../../api/admissionregistration/policies.ts'
import { decodeSparse, DecodeError } from '../../../api/machinery/decode.ts'
import { fromJson, toJson, type Value } from '../../../api/machinery/cel/values.ts'
import { FieldWalkError, mergeFields } from '../../../api/machinery/field-walk.ts'
import { applyPatch, PatchError, parsePatch } from '../../../api/machinery/json-patch.ts'
import type { JsonObject, ObjectSchema } from '../../../api/machinery/schema.ts'
import type { ServerContext } from '../../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import type { Mutations } from '../mutations.ts'
import { Attributes } from './attributes.ts'
import { evaluate } from './evaluation.ts'
import { isExemptFromPolicies } from './matching.ts'
import { type Run, runsOf, withVariables } from './policy-run.ts'
import { type BoundPolicy, mutatingPolicies, type Program } from './policy-source.ts'
import { policyDenial } from './validating-policies.ts'

type Policy = BoundPolicy<MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding>
type Mutation = NonNullable<MutatingAdmissionPolicy['spec']['mutations']>[number]
/** A mutation that could not be made. */
class MutationError extends Error {}

export const mutatingAdmissionPolicy: AdmissionPlugin = {
  name: 'MutatingAdmissionPolicy',
  handles: (request) =>
    (request.operation === 'CREATE' || request.operation === 'UPDATE') && !isExemptFromPolicies(request),
  mutate(request, server, mutations) {
    const policies = mutatingPolicies.of(server)
    return policies === undefined ? undefined : mutateAll(request, server, mutations, policies)
  },
}

async function mutateAll(
  request: AdmissionRequest,
  server: ServerContext,
  mutations: Mutations,
  found: readonly Policy[] | Promise<readonly Policy[] | undefined>,
): Promise<void> {
  const attributes = new Attributes(request, server)
  const invocations = mutations.of('policies')
  invocations.begin(request.object)
  for (const policy of (await found) ?? []) {
    const { metadata, spec } = policy.policy
    for await (const run of runsOf(attributes, policy)) {
      const id = `${metadata.name}/${run.id}`
      if (!invocations.isDue(id)) continue
      try {
        const changed = await mutateUnder(attributes, policy, run)
        invocations.done(id, changed, spec.reinvocationPolicy === 'IfNeeded')
      } catch (error) {
        if (!isExpected(error)) throw error
        if (spec.failurePolicy === 'Ignore') {
          server.log.warn('a mutating policy failed, failing open', { policy: metadata.name, error: error.message })
          continue
        }
        const who = `policy '${metadata.name}' with binding '${run.binding.metadata.name}'`
        throw policyDenial(request, `${who} denied request: ${error.message}`, 'Invalid')
      }
    }
  }
  invocations.end(request.object)
}
const isExpected = (error: unknown): error is Error =>
  [MutationError, PatchError, DecodeError, FieldWalkError].some((known) => error instanceof known)

async function mutateUnder(
  attributes: Attributes,
  bound: Policy,
  run: Run<MutatingAdmissionPolicyBinding>,
): Promise<boolean> {
  const { version, problem } = run
  let { evaluation } = run
  if (evaluation === undefined) throw new MutationError(problem ?? '')
  let object = await attributes.objectIn(version)
  if (object === undefined) return false
  for (const [i, mutation] of (bound.policy.spec.mutations ?? []).entries()) {
    const value = await valueOf(bound.mutations[i] ?? '', evaluation)
    object =
      mutation.patchType === 'JSONPatch' ? jsonPatched(object, value) : applied(version.schema, object, value, mutation)
    evaluation = withVariables(bound, evaluation, { object: fromJson(object, undefined) })
  }
  return attributes.replace(version, object)
}

async function valueOf(program: Program, evaluation: NonNullable<Run<unknown>['evaluation']>): Promise<Value> {
  if (typeof program === 'string') throw new MutationError(program)
  const answer = await evaluate(program, evaluation)
  if (!answer.ok) throw new MutationError(answer.error)
  return answer.value
}

function jsonPatched(object: JsonObject, value: Value): JsonObject {
  const operations = toJson(value)
  if (operations === undefined) throw new MutationError('JSON patch is not made of plain values')
  return applyPatch(object, parsePatch(operations)) as JsonObject
}

/** The object with an apply configuration merged in, as if its fields were nobody's. */
function applied(schema: ObjectSchema, object: JsonObject, value: Value, mutation: Mutation): JsonObject {
  const configuration = toJson(value)
  if (typeof configuration !== 'object' || configuration === null || Array.isArray(configuration)) {
    throw new MutationError(`unsupported return type from ApplyConfiguration expression: ${mutation.patchType}`)
  }
  const decoded = decodeSparse<JsonObject>(schema, configuration)
  const [unknown] = decoded.unknownFields
  if (unknown !== undefined) {
    throw new MutationError(
      `error applying patch: failed to convert patch object to typed object: .${unknown}: field not declared in schema`,
    )
  }
  return mergeFields({ schema }, object, decoded.value as JsonObject) as JsonObject
}
