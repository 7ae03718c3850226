// Where a claim's volume can be made: pure rules, used when the claim waited for its pod to find a node.
import type { PersistentVolumeClaim } from '../../api/core/persistent-volume-claim.ts'
import { requestedBytes } from '../../api/core/volume-claims.ts'
import { labelSelectorMatcher } from '../../api/machinery/labels.ts'
import type { CsiStorageCapacity, StorageClass } from '../../api/storage/storage.ts'
import { bytesOf } from '../state/amounts.ts'
import type { MatchableNode } from '../../api/core/node-match.ts'

/** True where a class may provision for pods of the node. */
export function provisionsFor({ provisioner, allowedTopologies }: StorageClass, node: MatchableNode): boolean {
  if (provisioner === '' || provisioner === 'kubernetes.io/no-provisioner') return false
  if (allowedTopologies === undefined || allowedTopologies.length === 0) return true
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => {
      const value = node.labels[key]
      return value !== undefined && values.includes(value)
    }),
  )
}
/** True where a driver that reports its capacity has room for the claim near the node. */
export function hasCapacity(
  claim: PersistentVolumeClaim,
  className: string,
  capacities: Iterable<CsiStorageCapacity>,
  node: MatchableNode,
): boolean {
  const wanted = requestedBytes(claim)
  for (const { storageClassName, nodeTopology, capacity, maximumVolumeSize } of capacities) {
    const room = maximumVolumeSize ?? capacity
    if (storageClassName !== className || room === undefined || bytesOf(room) < wanted) continue
    if (nodeTopology !== undefined && labelSelectorMatcher(nodeTopology)(node.labels)) return true
  }
  return false
}
