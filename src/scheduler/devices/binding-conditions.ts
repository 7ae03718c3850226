// Some devices must be prepared for the node that was chosen (KEP-5007): a pod is bound when its devices' conditions say that they are
// ready, and tried anew where they say that it went wrong.
import type { ResourceClaim } from '../../api/resource/resource.ts'

/** 'ready', 'waiting', or a text that says which condition tells of a failure. */
export function bindingState({ metadata, status }: ResourceClaim): 'ready' | 'waiting' | { readonly failed: string } {
  let ready = true
  for (const result of status.allocation?.devices.results ?? []) {
    const { bindingConditions = [], bindingFailureConditions = [], driver, pool, device, shareID } = result
    if (bindingConditions.length === 0) continue
    const conditions =
      status.devices?.find(
        (one) =>
          one.driver === driver &&
          one.pool === pool &&
          one.device === device &&
          (one.shareID ?? undefined) === (shareID ?? undefined),
      )?.conditions ?? []
    const holds = (type: string) => conditions.some((one) => one.type === type && one.status === 'True')
    const failure = bindingFailureConditions.find(holds)
    if (failure !== undefined)
      return { failed: `claim ${metadata.name} failed to become ready: device ${device} has condition ${failure}` }
    ready &&= bindingConditions.every(holds)
  }
  return ready ? 'ready' : 'waiting'
}
