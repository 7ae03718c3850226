// Pods for unit tests: as little as a test says, the rest as the server would have it.
import type { Pod } from '../types.ts'

export interface PodParts {
  readonly name?: string
  readonly uid?: string
  readonly metadata?: Partial<Pod['metadata']>
  /** As a user writes it: loosely typed on purpose, the fields under test are all that matters. */
  readonly spec?: Readonly<Record<string, unknown>>
  readonly status?: Pod['status']
}
export function makePod(parts: PodParts = {}): Pod {
  const name = parts.name ?? 'p'
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'ns',
      uid: parts.uid ?? `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2024-01-01T00:00:00Z',
      ...parts.metadata,
    },
    spec: { containers: [{ name: 'c', image: 'img:1' }], restartPolicy: 'Always', nodeName: 'n', ...parts.spec },
    ...(parts.status === undefined ? {} : { status: parts.status }),
  } as unknown as Pod
}
