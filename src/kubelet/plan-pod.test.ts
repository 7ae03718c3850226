import { describe, expect, it } from 'vitest'
import type { ContainerState, ContainerStatus, SandboxStatus } from '../ports/container-runtime.ts'
import { planPod, type PodRuntime, type ProbeFacts } from './plan-pod.ts'
import { podPhase } from './phase.ts'
import { runOf, sandboxOf } from './testing/runs.ts'
import { makePod } from './testing/pods.ts'
import { computeStatus, isPodDone, type StatusFacts } from './status.ts'

const healthy: ProbeFacts = { failed: () => undefined, started: () => true }
const facts: StatusFacts = {
  nowMs: 0,
  hostIPs: ['10.0.0.1'],
  runtimeName: 'sim',
  waiting: new Map(),
  started: () => true,
  ready: () => true,
  ended: false,
  failure: undefined,
  disrupted: undefined,
  resize: { enforced: new Map(), pending: undefined, progress: undefined },
  messages: new Map(),
}
/** 'a' runs, 'a0' ended with 0, 'a1' with 1, 'a!' by OOM, 'a?' was created only, 'a~' is unknown. */
function runs(pod: ReturnType<typeof makePod>, text: string, sandbox = 's0'): ContainerStatus[] {
  const states: Record<string, [ContainerState, number]> = {
    '': ['running', 0],
    '0': ['exited', 0],
    '1': ['exited', 1],
    '!': ['exited', 137],
    '?': ['created', 0],
    '~': ['unknown', 0],
  }
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const [, name = '', code = ''] = /^([a-z]+)(.?)$/.exec(word) ?? []
      const [state, exitCode] = states[code] ?? ['running', 0]
      return runOf(pod, name, { state, exitCode, sandboxId: sandbox, reason: code === '!' ? 'OOMKilled' : '' })
    })
}
const runtimeOf = (containers: ContainerStatus[], sandboxes: SandboxStatus[] = [sandboxOf('s0')]): PodRuntime => ({
  sandboxes,
  containers,
})
const show = (pod: ReturnType<typeof makePod>, runtime: PodRuntime, probes = healthy) => {
  const plan = planPod(pod, runtime, probes)
  const parts = [
    ...(plan.killSandboxes ? ['clear'] : []),
    ...(plan.createSandbox ? [`sandbox ${plan.createSandbox.attempt}`] : []),
    ...plan.kill.map((k) => `kill ${k.container.name}`),
    ...plan.start.map((s) => `start ${s.container.name}`),
  ]
  return parts.join(', ')
}
const podOf = (restartPolicy: string, containers: string, inits = '') =>
  makePod({
    spec: {
      restartPolicy,
      containers: containers.split(' ').map((name) => ({ name, image: 'x' })),
      initContainers: inits
        .split(' ')
        .filter((n) => n !== '')
        .map((n) => ({
          name: n.replace('+', ''),
          image: 'x',
          ...(n.endsWith('+') ? { restartPolicy: 'Always' } : {}),
        })),
    },
  })

describe('the restart table', () => {
  const phaseOf = (pod: ReturnType<typeof makePod>, runtime: PodRuntime) =>
    computeStatus(pod, runtime, undefined, facts).phase
  it.each([
    // policy, runs, phase, what is started
    ['Always', 'c0', 'Running', 'start c'],
    ['OnFailure', 'c0', 'Succeeded', ''],
    ['Never', 'c0', 'Succeeded', ''],
    ['Always', 'c1', 'Running', 'start c'],
    ['OnFailure', 'c1', 'Running', 'start c'],
    ['Never', 'c1', 'Failed', ''],
    ['Always', 'c!', 'Running', 'start c'],
    ['OnFailure', 'c!', 'Running', 'start c'],
    ['Never', 'c!', 'Failed', ''],
  ])('%s, one container: %s', (policy, text, phase, started) => {
    const pod = podOf(policy, 'c')
    const runtime = runtimeOf(runs(pod, text))
    expect(phaseOf(pod, runtime)).toBe(phase)
    expect(show(pod, runtime)).toBe(started)
    expect(isPodDone(pod, runtime, undefined, facts)).toBe(phase !== 'Running')
  })
  it.each([
    ['Always', 'a1 b', 'Running', 'start a'],
    ['OnFailure', 'a1 b', 'Running', 'start a'],
    ['Never', 'a1 b', 'Running', ''],
    ['Never', 'a1 b0', 'Failed', ''],
    ['Never', 'a0 b0', 'Succeeded', ''],
    ['OnFailure', 'a0 b0', 'Succeeded', ''],
    ['OnFailure', 'a0 b1', 'Running', 'start b'],
  ])('%s, two containers: %s', (policy, text, phase, started) => {
    const pod = podOf(policy, 'a b')
    const runtime = runtimeOf(runs(pod, text))
    expect(phaseOf(pod, runtime)).toBe(phase)
    expect(show(pod, runtime)).toBe(started)
  })
})

describe('planPod', () => {
  it.each([
    ['a new pod', 'Always', 'a b', '', '', undefined, 'sandbox 0, start a, start b'],
    ['all run', 'Always', 'a b', '', 'a b', ['s0'], ''],
    ['one is missing', 'Always', 'a b', '', 'a', ['s0'], 'start b'],
    ['made but not started', 'Always', 'a', '', 'a?', ['s0'], 'start a'],
    ['out of sight', 'Always', 'a', '', 'a~', ['s0'], 'kill a, start a'],
    ['out of sight, OnFailure: killed first', 'OnFailure', 'a', '', 'a~', ['s0'], 'kill a'],
    ['out of sight, Never: it may have run', 'Never', 'a', '', 'a~', ['s0'], 'kill a'],
    ['an init out of sight', 'Always', 'a', 'i', 'i~', ['s0'], 'kill i'],
    ['the sandbox died', 'Always', 'a', '', 'a', ['s0-'], 'clear, sandbox 1, start a'],
    ['the sandbox died, Never', 'Never', 'a', '', 'a1', ['s0-'], ''],
    ['the sandbox died before anything ran, Never', 'Never', 'a', '', '', ['s0-'], 'sandbox 1, start a'],
    ['the sandbox died, OnFailure, done', 'OnFailure', 'a', '', 'a0', ['s0-'], ''],
    ['inits first', 'Always', 'a', 'i j', '', undefined, 'sandbox 0, start i'],
    ['init runs', 'Always', 'a', 'i j', 'i', ['s0'], ''],
    ['first init done', 'Always', 'a', 'i j', 'i0', ['s0'], 'start j'],
    ['all inits done', 'Always', 'a', 'i j', 'i0 j0', ['s0'], 'start a'],
    ['init failed', 'Always', 'a', 'i j', 'i1', ['s0'], 'start i'],
    ['init failed, Never', 'Never', 'a', 'i', 'i1', ['s0'], ''],
    ['initialised, init containers gone', 'Always', 'a', 'i', 'a1', ['s0'], 'start a'],
    ['sidecar first', 'Always', 'a', 's+ i', 's', ['s0'], 'start i'],
    ['sidecar ended with 0', 'Always', 'a', 's+', 's0 a', ['s0'], 'start s'],
    ['sidecar fails while inits go on', 'Always', 'a', 'i s+', 'i0 s1', ['s0'], 'start s'],
    ['inits run again in a new sandbox', 'Always', 'a', 'i', 'i0 a', ['s1', 's0-'], 'start i'],
  ] as const)('%s', (_, policy, containers, inits, text, sandboxes, expected) => {
    const pod = podOf(policy, containers, inits)
    const all = (sandboxes ?? []).map((s) => sandboxOf(s.replace('-', ''), { ready: !s.endsWith('-') }))
    expect(show(pod, runtimeOf(runs(pod, text), all))).toBe(expected)
  })
  it('waits for a sidecar to have started', () => {
    const pod = podOf('Always', 'a', 's+')
    const runtime = runtimeOf(runs(pod, 's'))
    expect(show(pod, runtime, { ...healthy, started: () => false })).toBe('')
    expect(show(pod, runtime)).toBe('start a')
  })
  it('kills and restarts what a probe condemned', () => {
    const pod = podOf('Always', 'a b')
    const runtime = runtimeOf(runs(pod, 'a b'))
    const probes: ProbeFacts = { failed: (id) => (id === 'a-0' ? 'liveness' : undefined), started: () => true }
    expect(show(pod, runtime, probes)).toBe('kill a, start a')
    expect(planPod(pod, runtime, probes).kill[0]?.message).toBe('Container a failed liveness probe, will be restarted')
    expect(show(podOf('Never', 'a b'), runtime, probes)).toBe('kill a')
  })
  it('replaces a container whose image changed, in the same sandbox', () => {
    const before = podOf('Always', 'a b')
    const runtime = runtimeOf(runs(before, 'a b'))
    const after = makePod({
      spec: { ...before.spec, containers: [{ name: 'a', image: 'y' }, before.spec.containers[1]] },
    })
    expect(show(after, runtime)).toBe('kill a, start a')
  })
  it('starts an ephemeral container once', () => {
    const base = podOf('Always', 'a')
    const pod = makePod({ spec: { ...base.spec, ephemeralContainers: [{ name: 'e', image: 'x' }] } })
    expect(show(pod, runtimeOf(runs(pod, 'a')))).toBe('start e')
    expect(show(pod, runtimeOf(runs(pod, 'a e1')))).toBe('')
  })
  it('follows the restart rules of a container before its policy', () => {
    const rule = { action: 'Restart', exitCodes: { operator: 'In', values: [42] } }
    const pod = makePod({
      spec: {
        restartPolicy: 'Never',
        containers: [{ name: 'a', image: 'x', restartPolicy: 'Never', restartPolicyRules: [rule] }],
      },
    })
    const ended = (exitCode: number) => runtimeOf([runOf(pod, 'a', { state: 'exited', exitCode })])
    expect(show(pod, ended(42))).toBe('start a')
    expect(show(pod, ended(1))).toBe('')
    expect(isPodDone(pod, ended(42), undefined, facts)).toBe(false)
  })
})

describe('podPhase', () => {
  it('is Pending while a container has never run', () => {
    const pod = podOf('Always', 'a b')
    const state = { waiting: { reason: 'ContainerCreating' } }
    const base = { image: '', imageID: '', ready: false, restartCount: 0, lastState: {} }
    expect(
      podPhase(
        pod.spec,
        [],
        [
          { ...base, name: 'a', state: { running: {} } },
          { ...base, name: 'b', state },
        ],
        false,
      ),
    ).toBe('Pending')
  })
})
