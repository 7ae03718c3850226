// How ResourceSlices make up pools of devices: of a pool only the newest generation counts.
import { poolId } from './devices.ts'
import type { ResourceSlice } from './resource.ts'

export type Device = NonNullable<ResourceSlice['spec']['devices']>[number]

/** An index of slices by their pool. */
export const byPool = ({ spec }: ResourceSlice): readonly string[] => [poolId(spec.driver, spec.pool.name)]

export const newestGeneration = (members: readonly ResourceSlice[]): number =>
  members.reduce((generation, { spec }) => Math.max(generation, spec.pool.generation), -1)

/** The device of this name as the slices of one pool tell of it now. */
export function deviceIn(members: readonly ResourceSlice[], name: string): Device | undefined {
  const newest = newestGeneration(members)
  for (const { spec } of members) {
    const found = spec.pool.generation === newest ? spec.devices?.find((device) => device.name === name) : undefined
    if (found !== undefined) return found
  }
  return undefined
}
