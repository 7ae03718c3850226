import { describe, expect, it } from 'vitest'
import { containerSecurity, namespaceOptions, supplementalGroups } from './security.ts'
import { imageOf } from './testing/fake-runtime.ts'
import { makePod } from './testing/pods.ts'
import type { Container } from './types.ts'

const inputs = {
  seccompDirectory: '/k/seccomp',
  seccompDefault: false,
  userns: undefined,
  targetId: undefined,
  volumeGroups: [],
}
const securityOf = (
  own: Record<string, unknown>,
  shared: Record<string, unknown> = {},
  user: { uid?: number; username?: string } = { uid: 0 },
) => {
  const pod = makePod({
    spec: { securityContext: shared, containers: [{ name: 'c', image: 'x', securityContext: own }] },
  })
  const image = { ...imageOf('x'), uid: user.uid, username: user.username ?? '' }
  return containerSecurity(pod, pod.spec.containers[0] as Container, { ...inputs, image })
}
const where = '(pod: "p_ns(uid-p)", container: c)'

describe('the user', () => {
  it.each([
    ['the image', {}, {}, { uid: 33 }, { runAsUser: 33 }],
    ['a name in the image', {}, {}, { username: 'web' }, { runAsUsername: 'web' }],
    ['the pod', {}, { runAsUser: 1000 }, { uid: 33 }, { runAsUser: 1000 }],
    ['the container', { runAsUser: 5 }, { runAsUser: 1000 }, { uid: 33 }, { runAsUser: 5 }],
  ])('is chosen by %s', (_, own, shared, user, expected) => {
    expect(securityOf(own, shared, user)).toMatchObject({ ok: true, security: expected })
  })
  it.each([
    [{ runAsNonRoot: true }, { uid: 0 }, `container has runAsNonRoot and image will run as root ${where}`],
    [{ runAsNonRoot: true, runAsUser: 0 }, { uid: 33 }, `container's runAsUser breaks non-root policy ${where}`],
    [
      { runAsNonRoot: true },
      { username: 'web' },
      `container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root ${where}`,
    ],
  ])('may not be root: %j', (own, user, message) => {
    expect(securityOf(own, {}, user)).toEqual({ ok: false, message })
  })
})

describe('the rest of the context', () => {
  it('takes the container before the pod', () => {
    const shared = { seccompProfile: { type: 'RuntimeDefault' }, runAsGroup: 7 }
    expect(securityOf({}, shared)).toMatchObject({ security: { seccomp: { type: 'RuntimeDefault' }, runAsGroup: 7 } })
    expect(securityOf({ seccompProfile: { type: 'Localhost', localhostProfile: 'a.json' } }, shared)).toMatchObject({
      security: { seccomp: { type: 'Localhost', localhostRef: '/k/seccomp/a.json' } },
    })
  })
  it('unmasks /proc for the privileged alone', () => {
    const masked = (own: Record<string, unknown>) => {
      const result = securityOf(own)
      return result.ok ? result.security.maskedPaths.length : -1
    }
    expect(masked({})).toBeGreaterThan(5)
    expect(masked({ privileged: true })).toBe(0)
    expect(masked({ procMount: 'Unmasked' })).toBe(0)
  })
  it('gathers groups once', () => {
    const pod = makePod({ spec: { securityContext: { fsGroup: 3, supplementalGroups: [4, 3] } } })
    expect(supplementalGroups(pod, [5])).toEqual([4, 3, 5])
  })
  it.each([
    [{}, { network: 'pod', ipc: 'pod', pid: 'container' }],
    [
      { hostNetwork: true, hostIPC: true, hostPID: true },
      { network: 'node', ipc: 'node', pid: 'node' },
    ],
    [{ shareProcessNamespace: true }, { network: 'pod', ipc: 'pod', pid: 'pod' }],
  ])('joins namespaces: %j', (spec, expected) =>
    expect(namespaceOptions(makePod({ spec }), undefined)).toEqual(expected),
  )
})
