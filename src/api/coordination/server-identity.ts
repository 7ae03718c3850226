// How an API server is known to the others: a Lease in kube-system that it renews (KEP-1965), under whose name it says in
// StorageVersions how it writes each resource (KEP-2339).
import { sha256 } from '../machinery/sha256.ts'
import { formatTime } from '../machinery/time.ts'
import type { StorageVersion } from '../preview/storage-versions.ts'

export const leaseNamespace = 'kube-system'
export const identityLabel = 'apiserver.kubernetes.io/identity'
export const identityValue = 'kube-apiserver'

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
/** "apiserver-" and 26 characters that follow from where the server is reached: a restarted one is the same. */
export function identityOf(address: string): string {
  let bits = 0n
  for (const byte of sha256(address).subarray(0, 16)) bits = (bits << 8n) | BigInt(byte)
  bits <<= 2n
  let text = ''
  for (let at = 125n; at >= 0n; at -= 5n) text += alphabet[Number((bits >> at) & 31n)]
  return `apiserver-${text}`
}

type Said = NonNullable<StorageVersion['status']['storageVersions']>

/** What a StorageVersion says when these servers say this. */
export function planStorageVersion(
  status: StorageVersion['status'] | undefined,
  said: Said,
  nowMs: number,
): StorageVersion['status'] {
  const common = new Set(said.map(({ encodingVersion }) => encodingVersion))
  const [version] = common
  const agreed = common.size === 1
  const type = 'AllEncodingVersionsEqual'
  const before = status?.conditions?.find((condition) => condition.type === type)
  const value = agreed ? 'True' : 'False'
  const condition = {
    type,
    status: value,
    reason: agreed ? 'CommonEncodingVersionSet' : 'CommonEncodingVersionUnset',
    message: agreed ? 'Common encoding version set' : 'Common encoding version unset',
    lastTransitionTime:
      before?.status === value && before.lastTransitionTime !== undefined
        ? before.lastTransitionTime
        : formatTime(nowMs),
  }
  return {
    storageVersions: said,
    ...(agreed && version !== undefined ? { commonEncodingVersion: version } : {}),
    conditions: [...(status?.conditions ?? []).filter((one) => one.type !== type), condition],
  }
}
