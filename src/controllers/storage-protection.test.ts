import { describe, expect, it } from 'vitest'
import type { Pod } from '../api/core/pod.ts'
import { claimsOf } from './storage-protection.ts'

const pod = (phase: string): Pod =>
  ({
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: 'disk' } },
        { name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: {} } } },
        { name: 'none', emptyDir: {} },
      ],
    },
    status: { phase },
  }) as unknown as Pod

describe('claims in use', () => {
  it.each([
    ['Running', ['shop/disk', 'shop/web-scratch']],
    ['Pending', ['shop/disk', 'shop/web-scratch']],
    ['Succeeded', []],
    ['Failed', []],
  ])('of a pod that is %s', (phase, wanted) => {
    expect(claimsOf(pod(phase))).toEqual(wanted)
  })
})
