// PUT and PATCH certificatesigningrequests/NAME/approval: the only way to approve or deny a request. Its status may be
// written by signers, but what was approved there stays as it is.
import type { CertificateSigningRequest, CsrCondition } from '../../api/certificates/certificate-signing-request.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import { validateStatusUpdate } from '../../api/machinery/validate.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import { get } from '../handlers/get.ts'
import { patchUnder } from '../handlers/patch.ts'
import { take } from '../handlers/checks.ts'
import { statusRule, type UpdateRule, updateUnder } from '../handlers/update.ts'
import type { SubresourceHandlers } from './all.ts'

type Conditions = Draft<readonly CsrCondition[]>
const isVerdict = ({ type }: { readonly type: string }) => type === 'Approved' || type === 'Denied'
const conditionsOf = (object: object): Conditions =>
  [...((object as CertificateSigningRequest).status?.conditions ?? [])] as Conditions

/** Gives conditions that are new or different their times. */
function stamp(call: ResourceRequest, draft: ObjectDraft, old: KubeObject): void {
  const now = rfc3339(call.server.clock.now())
  const before = conditionsOf(old)
  for (const condition of conditionsOf(draft)) {
    const known = before.find((c) => c.type === condition.type)
    if (condition.lastUpdateTime === undefined) condition.lastUpdateTime = now
    if (condition.lastTransitionTime !== undefined) continue
    const same = known?.status === condition.status ? known.lastTransitionTime : undefined
    condition.lastTransitionTime = same ?? now
  }
}

const approvalRule = (call: ResourceRequest): UpdateRule => ({
  subresource: 'approval',
  carryOver(draft, old) {
    const wanted = conditionsOf(draft)
    for (const key of new Set([...Object.keys(draft), ...Object.keys(old)]))
      if (key !== 'metadata') take(key, draft, old)
    const status = draftOf((old as unknown as CertificateSigningRequest).status ?? {}) as { conditions?: Conditions }
    status.conditions = wanted
    take('status', draft, { status })
  },
  prepare: (draft, old) => stamp(call, draft, old),
  validate: (object, old, context) => [
    ...validateStatusUpdate(call.resource.kind, object, old, context),
    ...(call.resource.kind.validate?.(object, context) ?? []),
  ],
})

/** The status of a request, in which verdicts stay as they are. */
export const certificateStatusRule = (call: ResourceRequest): UpdateRule => {
  const rule = statusRule(call)
  return {
    ...rule,
    carryOver(draft, old) {
      rule.carryOver(draft, old)
      const conditions = [...conditionsOf(old).filter(isVerdict), ...conditionsOf(draft).filter((c) => !isVerdict(c))]
      const status = { ...(draft as unknown as CertificateSigningRequest).status, conditions } as Draft<object>
      take('status', draft, {
        status: conditions.length === 0 ? { ...status, conditions: undefined } : draftOf(status),
      })
    },
    prepare: (draft, old) => stamp(call, draft, old),
  }
}

const handlers = (rule: (call: ResourceRequest) => UpdateRule): SubresourceHandlers => ({
  get,
  update: (call) => updateUnder(call, rule(call)),
  patch: (call) => patchUnder(call, rule(call)),
})
export const certificateApprovals = handlers(approvalRule)
export const certificateStatus = handlers(certificateStatusRule)
