import { describe, expect, it } from 'vitest'
import type { Pod } from '../api/core/pod.ts'
import type { ResourceClaim } from '../api/resource/resource.ts'
import { planClaim } from './resource-claim.ts'

const pod = (uid: string, more: { phase?: string; deleted?: boolean; nodeName?: string } = {}): Pod =>
  ({
    metadata: { name: uid, uid, ...(more.deleted === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: { nodeName: more.nodeName ?? '' },
    status: { phase: more.phase ?? 'Pending' },
  }) as unknown as Pod
const claim = (users: readonly string[], more: { allocated?: boolean; deleted?: boolean } = {}): ResourceClaim =>
  ({
    metadata: {
      name: 'c',
      finalizers: ['resource.kubernetes.io/delete-protection'],
      ...(more.deleted === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    status: {
      reservedFor: users.map((uid) => ({ resource: 'pods', name: uid.split('@')[0], uid })),
      ...(more.allocated === false ? {} : { allocation: { devices: {} } }),
    },
  }) as unknown as ResourceClaim

describe('the users of a claim', () => {
  const pods = [
    pod('runs', { phase: 'Running', nodeName: 'n1' }),
    pod('waits'),
    pod('ended', { phase: 'Succeeded', nodeName: 'n1' }),
    pod('stops', { phase: 'Running', nodeName: 'n1', deleted: true }),
    pod('never-ran', { deleted: true }),
  ]
  it.each<[string, ResourceClaim, { users: readonly string[]; free: boolean; letGo: boolean }]>([
    ['runs and waits', claim(['runs', 'waits']), { users: ['runs', 'waits'], free: false, letGo: false }],
    ['one ended', claim(['runs', 'ended']), { users: ['runs'], free: false, letGo: false }],
    ['the last ended', claim(['ended']), { users: [], free: true, letGo: true }],
    ['stops on its node', claim(['stops']), { users: ['stops'], free: false, letGo: false }],
    ['deleted before it had a node', claim(['never-ran']), { users: [], free: true, letGo: true }],
    ['is gone', claim(['unknown']), { users: [], free: true, letGo: true }],
    ['another of the same name', claim(['runs@before']), { users: [], free: true, letGo: true }],
    ['nobody yet', claim([]), { users: [], free: false, letGo: false }],
    ['nobody, and it is deleted', claim([], { deleted: true }), { users: [], free: true, letGo: true }],
    [
      'not allocated, and deleted',
      claim([], { deleted: true, allocated: false }),
      { users: [], free: false, letGo: true },
    ],
    ['deleted, in use', claim(['runs'], { deleted: true }), { users: ['runs'], free: false, letGo: false }],
  ])('%s', (_name, it, wanted) => {
    const { reservedFor, free, letGo } = planClaim(it, ({ name }) =>
      pods.find(({ metadata }) => metadata.name === name),
    )
    expect({ users: reservedFor.map(({ uid }) => uid), free, letGo }).toEqual(wanted)
  })
})
