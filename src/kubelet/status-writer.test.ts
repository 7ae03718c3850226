import { describe, expect, it } from 'vitest'
import { statusPatch } from './status-writer.ts'
import type { PodStatus } from './types.ts'

const base: PodStatus = {
  phase: 'Running',
  conditions: [
    { type: 'Ready', status: 'True', lastTransitionTime: 't0' },
    { type: 'example.com/gate', status: 'True' },
  ],
  podIPs: [{ ip: '10.1.0.1' }],
  containerStatuses: [
    { name: 'c', ready: true, restartCount: 0, image: 'i', imageID: '', state: { running: {} }, lastState: {} },
  ],
}
describe('statusPatch', () => {
  it('is nothing when nothing changed, whatever others wrote', () => {
    const mine = { ...base, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: 't0' }] }
    expect(statusPatch(base, mine)).toBeUndefined()
  })
  it('holds changed conditions alone, and takes away what a condition no longer says', () => {
    const unready = { type: 'Ready', status: 'False', reason: 'R', message: 'm', lastTransitionTime: 't1' }
    expect(statusPatch(base, { ...base, conditions: [unready] })).toEqual({ conditions: [unready] })
    const back = { type: 'Ready', status: 'True', lastTransitionTime: 't2' }
    expect(statusPatch({ ...base, conditions: [unready] }, { ...base, conditions: [back] })).toEqual({
      conditions: [{ ...back, reason: null, message: null }],
    })
  })
  it('replaces addresses instead of merging them', () => {
    expect(statusPatch(base, { ...base, podIPs: [{ ip: '10.1.0.2' }] })).toEqual({
      podIPs: [{ ip: '10.1.0.2' }, { $patch: 'replace' }],
    })
  })
  it('removes what is no longer told', () => {
    expect(statusPatch({ ...base, reason: 'Evicted' }, base)).toEqual({ reason: null })
  })
})
