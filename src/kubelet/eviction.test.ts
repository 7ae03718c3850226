import { describe, expect, it } from 'vitest'
import { type Candidate, evictionMessage, rankForEviction, storageLimitExceeded } from './eviction.ts'
import { makePod } from './testing/pods.ts'

const mib = 2 ** 20
const candidate = (name: string, usedMib: number, requestMib: number, priority = 0): Candidate => ({
  pod: makePod({
    name,
    spec: {
      priority,
      containers: [
        { name: 'c', image: 'x', resources: requestMib === 0 ? {} : { requests: { memory: `${requestMib}Mi` } } },
      ],
    },
  }),
  usage: { total: usedMib * mib, containers: new Map([['c', usedMib * mib]]) },
})

describe('rankForEviction', () => {
  it('takes pods beyond their requests, then low priorities, then the greediest', () => {
    const ranked = rankForEviction(
      [
        candidate('within', 90, 100),
        candidate('beyond', 150, 100),
        candidate('greedy', 400, 100),
        candidate('important', 900, 100, 1000),
        candidate('best-effort', 10, 0),
        candidate('critical', 5000, 0, 2_000_001_000),
      ],
      'memory',
    )
    expect(ranked.map((c) => c.pod.metadata.name)).toEqual(['greedy', 'beyond', 'best-effort', 'important', 'within'])
  })
  it('says what was short and who used it', () => {
    const shortage = {
      signal: 'memory.available',
      resource: 'memory',
      threshold: 100 * mib,
      available: 50 * mib,
    } as const
    expect(evictionMessage(candidate('p', 150, 100), shortage)).toBe(
      'The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container c was using 150Mi, request is 100Mi, has larger consumption of memory. ',
    )
  })
})

describe('storageLimitExceeded', () => {
  const limited = (limit: string) => ({ name: 'c', image: 'x', resources: { limits: { 'ephemeral-storage': limit } } })
  const usage = (container: number, volume: number) => ({
    containers: new Map([['c', container]]),
    volumes: new Map([['v', volume]]),
  })
  it.each([
    [
      'nothing said',
      { containers: [{ name: 'c', image: 'x', resources: {} }], volumes: [{ name: 'v', emptyDir: {} }] },
      undefined,
    ],
    [
      'a volume',
      {
        containers: [{ name: 'c', image: 'x', resources: {} }],
        volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Ki' } }],
      },
      'Usage of EmptyDir volume "v" exceeds the limit "1Ki". ',
    ],
    [
      'the pod',
      { containers: [limited('2Ki')], volumes: [] },
      'Pod ephemeral local storage usage exceeds the total limit of containers 2Ki. ',
    ],
    [
      'a container',
      { containers: [limited('1Ki'), { name: 'd', image: 'x', resources: {} }] },
      'Container c exceeded its local ephemeral storage limit "1Ki". ',
    ],
    ['within', { containers: [limited('1Mi')] }, undefined],
  ])('%s', (_, spec, expected) => expect(storageLimitExceeded(makePod({ spec }), usage(1500, 2000))).toBe(expected))
})
