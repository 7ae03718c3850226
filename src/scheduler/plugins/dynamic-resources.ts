// Dynamic resource allocation (KEP-4381): finds devices in ResourceSlices for the claims of a pod, and writes into the claims
// which they are and that the pod uses them, before the pod is bound. Extended resources that a device class stands for are
// treated as a claim that is made then (KEP-5004).
import { claimsOfPod } from '../../api/resource/pod-claims.ts'
import { parseDuration } from '../../api/machinery/duration.ts'
import type { ResourceClaim } from '../../api/resource/resource.ts'
import { byControllerUid } from '../../client/informer.ts'
import { type ClaimPlan, Claims, type Wishes } from '../devices/claims.ts'
import { ClaimWriter } from '../devices/claim-writer.ts'
import { type Cycle, type Plugin, type PluginFactory } from '../framework.ts'
import { normalizeLinear } from './normalize.ts'

const name = 'DynamicResources'
const planOf = (cycle: Cycle): ClaimPlan | undefined => cycle.data.get(name) as ClaimPlan | undefined

const hasAlternatives = ({ spec, status }: ResourceClaim): boolean =>
  status.allocation === undefined &&
  spec.devices.requests?.some(({ firstAvailable = [] }) => firstAvailable.length > 0) === true

/** How high the alternatives stand that were chosen: of each request's list the first counts most. */
function preference({ claims, allocations }: ClaimPlan): number {
  let sum = 0
  for (const { metadata, spec } of claims) {
    const chosen = new Set(allocations.get(metadata.uid)?.devices.results?.map(({ request }) => request))
    for (const { name: request, firstAvailable = [] } of spec.devices.requests ?? []) {
      const rank = firstAvailable.findIndex((one) => chosen.has(`${request}/${one.name}`))
      if (rank !== -1) sum += maxAlternatives - rank
    }
  }
  return sum
}
const maxAlternatives = 8

function pluginOf(claims: Claims, writer: ClaimWriter): Plugin {
  /** Of the pod of this cycle. */
  let wishes: Wishes | undefined
  /** What Filter found for the nodes that it let pass, by their slot. */
  const found = new Map<number, ClaimPlan>()
  return {
    name,
    preEnqueue: (pod) => ((pod.pod.spec.resourceClaims ?? []).length > 0 ? claims.gate(pod) : undefined),
    preFilter({ pod }) {
      wishes = undefined
      found.clear()
      const wanted = claims.wishesOf(pod)
      if (wanted === undefined) return 'skip'
      if ('code' in wanted) return wanted
      wishes = wanted
      return undefined
    },
    filter({ pod }, node) {
      if (wishes === undefined) return undefined
      const plan = claims.plan(wishes, pod, node)
      if ('code' in plan) return plan
      found.set(node.slot, plan)
      return undefined
    },
    preScore: () => (wishes?.claims.some(hasAlternatives) === true ? undefined : 'skip'),
    /** Among nodes with other devices those win whose devices stand higher in the lists of alternatives (KEP-4816). */
    score(_cycle, node) {
      const plan = found.get(node.slot)
      return plan === undefined ? 0 : preference(plan)
    },
    normalize: (_cycle, scores) => normalizeLinear(scores, { reverse: false }),
    /** Devices that were given on a node where the pod cannot be are taken back where nobody else uses them. */
    postFilter({ pod }, verdicts) {
      if (wishes === undefined || !verdicts.plugins.has(name)) return undefined
      const given = wishes.left === undefined ? wishes.claims : [...wishes.claims, wishes.left]
      const stuck = given.find(
        (claim) =>
          (claim === wishes?.tainted || claim.status.allocation?.nodeSelector !== undefined) &&
          (claim.status.reservedFor ?? []).every(({ uid }) => uid === pod.uid),
      )
      if (stuck === undefined) return undefined
      void writer.giveUp([stuck], pod, true)
      return { nominated: undefined, message: 'deallocation of ResourceClaim completed', clearNomination: false }
    },
    reserve(cycle, node) {
      if (wishes === undefined) return undefined
      const plan = claims.plan(wishes, cycle.pod, node)
      if ('code' in plan) return plan
      claims.assume(plan)
      cycle.data.set(name, plan)
      return undefined
    },
    unreserve(cycle) {
      const plan = planOf(cycle)
      if (plan === undefined) return
      claims.release(plan)
      const { pod } = cycle
      const own = claims.cache.index(byControllerUid).get(pod.uid)
      const known = [...plan.claims, ...own].map(({ metadata }) => claims.cache.get(metadata.name, pod.namespace))
      const reserved = new Set(known.filter((claim) => claim?.status.reservedFor?.some(({ uid }) => uid === pod.uid)))
      if (reserved.size > 0)
        void writer.giveUp(
          [...reserved].filter((claim) => claim !== undefined),
          pod,
          false,
        )
    },
    preBindIdle: (cycle) => planOf(cycle) === undefined,
    async preBind(cycle) {
      const plan = planOf(cycle)
      if (plan === undefined) return undefined
      const refusal = await writer.bind(plan, cycle.pod)
      if (refusal === undefined) claims.release(plan)
      return refusal
    },
    hints: {
      pod: (_info, { pod, old }) => pod.pod.status.resourceClaimStatuses !== old.pod.status.resourceClaimStatuses,
      node: (_info, { change, differs }) => change !== 'delete' && (differs.labels || differs.allocatable),
      object: ({ pod, namespace }, { object, change }) => {
        if (object.kind === 'ResourceSlice' || object.kind === 'DeviceClass') return change !== 'delete'
        if (object.kind !== 'ResourceClaim') return false
        // devices may have become free, or it is a claim of this pod
        return (
          (object as ResourceClaim).status.allocation === undefined ||
          change === 'delete' ||
          (object.metadata.namespace === namespace &&
            claimsOfPod(pod).some((claim) => claim.name === object.metadata.name))
        )
      },
    },
    close() {
      claims.close()
      writer.stop()
    },
  }
}

const defaultBindingTimeoutMs = 600_000

export interface DynamicResourcesArgs {
  /** How long a pod waits for devices that are prepared for its node, as a Go duration. Default 10m. */
  readonly bindingTimeout?: string
}
export const dynamicResources: PluginFactory = {
  name,
  create(handle, args) {
    const { bindingTimeout } = (args ?? {}) as DynamicResourcesArgs
    const timeoutMs = bindingTimeout === undefined ? defaultBindingTimeoutMs : parseDuration(bindingTimeout)
    if (timeoutMs === undefined || timeoutMs < 1000)
      throw new Error(`${name}: bindingTimeout: ${bindingTimeout} is not a duration of at least 1s`)
    const claims = new Claims(handle)
    return pluginOf(claims, new ClaimWriter(handle, claims, timeoutMs))
  },
}
