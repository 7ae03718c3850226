import { describe, expect, it } from 'vitest'
import type { Draft } from '../machinery/schema.ts'
import { deployments } from '../apps/deployment.ts'
import { imageTag } from './pod-defaults.ts'
import { podLimits, podRequests } from './pod-resources.ts'
import { type Pod, pods } from './pod.ts'
import { computeQosClass } from './pod-qos.ts'
import { summarizePod } from './pod-table.ts'
import { admitted, defaultedDraft, nowMs } from './testing/admitted.ts'

const make = (spec: string, status = '{}'): Pod => {
  const { object } = admitted(pods, `{metadata: {name: p}, spec: ${spec}}`)
  const withStatus = `{metadata: {name: p}, spec: ${spec}, status: ${status}}`
  return { ...object, status: decodeStatus(withStatus) }
}
const decodeStatus = (yaml: string): Pod['status'] => defaultedDraft(pods, yaml).draft.status

describe('defaults', () => {
  it('of a bare pod', () => {
    const { object } = admitted(
      pods,
      '{metadata: {name: p}, spec: {containers: [{name: c, image: nginx}], volumes: [{name: v}]}}',
    )
    expect(object.spec).toEqual({
      volumes: [{ name: 'v', emptyDir: {} }],
      containers: [
        {
          name: 'c',
          image: 'nginx',
          resources: {},
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          imagePullPolicy: 'Always',
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
    })
    expect(object.status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' })
  })
  it('of probes, ports, limits and the host network', () => {
    const { object } = admitted(
      pods,
      '{metadata: {name: p}, spec: {hostNetwork: true, containers: [{name: c, image: "a:1", ports: [{containerPort: 80}], resources: {limits: {cpu: 1, memory: 1Gi}, requests: {memory: 1Mi}}, livenessProbe: {httpGet: {port: 80}, periodSeconds: 0}}]}}',
    )
    const [container] = object.spec.containers
    expect(container).toMatchObject({
      imagePullPolicy: 'IfNotPresent',
      ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
      resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Mi' } },
      livenessProbe: {
        httpGet: { path: '/', port: 80, scheme: 'HTTP' },
        timeoutSeconds: 1,
        periodSeconds: 10,
        successThreshold: 1,
        failureThreshold: 3,
      },
    })
  })
  it('of a template leave to the pod what is the pod’s', () => {
    const { object } = admitted(
      deployments,
      '{metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: a, resources: {limits: {cpu: 1}}}]}}}}',
    )
    expect(object.spec).toMatchObject({
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    })
    expect(object.spec.template.spec.enableServiceLinks).toBeUndefined()
    expect(object.spec.template.spec.containers[0]?.resources).toEqual({ limits: { cpu: '1' } })
  })
  it.each([
    ['nginx', 'latest'],
    ['nginx:1.7', '1.7'],
    ['localhost:5000/nginx', 'latest'],
    ['localhost:5000/nginx:v2', 'v2'],
    ['nginx@sha256:abc', ''],
    ['nginx:latest@sha256:abc', 'latest'],
  ])('the tag of %s is %s', (image, tag) => {
    expect(imageTag(image)).toBe(tag)
  })
})

describe('quality of service', () => {
  const of = (...resources: readonly object[]) =>
    computeQosClass({ containers: resources.map((one) => ({ resources: one })) })
  const full = { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Gi' } }
  it.each([
    ['nothing', [{}], 'BestEffort'],
    ['everything limited', [full, full], 'Guaranteed'],
    ['one container without', [full, {}], 'Burstable'],
    ['less requested than limited', [{ ...full, requests: { cpu: '500m', memory: '1Gi' } }], 'Burstable'],
    ['zero is nothing', [{ requests: { cpu: '0' } }], 'BestEffort'],
    ['other resources do not count', [{ requests: { 'ephemeral-storage': '1Gi' } }], 'BestEffort'],
  ] as const)('%s', (_, resources, expected) => {
    expect(of(...resources)).toBe(expected)
  })
})

describe('what a pod needs in sum', () => {
  const amount = (cpu: string) => ({ resources: { requests: { cpu }, limits: { cpu } } })
  it('is the larger of all containers and the largest init container', () => {
    expect(podRequests({ containers: [amount('1'), amount('500m')], initContainers: [amount('2')] })).toEqual({
      cpu: '2',
    })
    expect(podRequests({ containers: [amount('2'), amount('500m')], initContainers: [amount('2')] })).toEqual({
      cpu: '2500m',
    })
  })
  it('counts a sidecar beside both, and overhead on top', () => {
    const sidecar = { ...amount('1'), restartPolicy: 'Always' }
    const spec = { containers: [amount('1')], initContainers: [sidecar, amount('3')], overhead: { cpu: '250m' } }
    expect(podRequests(spec)).toEqual({ cpu: '4250m' })
    expect(podLimits(spec, { overhead: false })).toEqual({ cpu: '4' })
  })
})

describe('the table', () => {
  const running = (name: string, extra = '') =>
    `{name: ${name}, image: a, imageID: a, ready: true, restartCount: 0, state: {running: {}}${extra}}`
  const spec =
    '{containers: [{name: a, image: a}, {name: b, image: a}], initContainers: [{name: i, image: a}, {name: j, image: a}]}'
  const table: readonly (readonly [string, string, string, string])[] = [
    ['nothing known', '{phase: Pending}', 'Pending', '0/2'],
    [
      'init running',
      '{phase: Pending, initContainerStatuses: [{name: i, restartCount: 0, state: {running: {}}}, {name: j, state: {waiting: {reason: PodInitializing}}}]}',
      'Init:0/2',
      '0/2',
    ],
    [
      'second init waits for its image',
      '{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, state: {waiting: {reason: ImagePullBackOff}}}]}',
      'Init:ImagePullBackOff',
      '0/2',
    ],
    [
      'init failed',
      '{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3}}}]}',
      'Init:ExitCode:3',
      '0/2',
    ],
    ['running', `{phase: Running, containerStatuses: [${running('a')}, ${running('b')}]}`, 'Running', '2/2'],
    [
      'one crashes',
      `{phase: Running, containerStatuses: [{name: a, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}}, ${running('b')}]}`,
      'CrashLoopBackOff',
      '1/2',
    ],
    [
      'one done, one running and ready',
      `{phase: Running, conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, ${running('b')}]}`,
      'Running',
      '1/2',
    ],
    [
      'one done, one running, not ready',
      `{phase: Running, containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, ${running('b')}]}`,
      'NotReady',
      '1/2',
    ],
    [
      'all done',
      '{phase: Succeeded, containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: b, state: {terminated: {exitCode: 0, reason: Completed}}}]}',
      'Completed',
      '0/2',
    ],
    [
      'killed',
      '{phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 137, signal: 9}}}]}',
      'Signal:9',
      '0/2',
    ],
    ['evicted', '{phase: Failed, reason: Evicted}', 'Evicted', '0/2'],
  ]
  it.each(table)('%s', (_, status, reason, ready) => {
    const pod = make(spec, status)
    expect(pods.table?.row(pod, nowMs).slice(1, 3)).toEqual([ready, reason])
  })
  it('says when it was last restarted', () => {
    const status =
      '{phase: Running, containerStatuses: [{name: a, restartCount: 3, lastState: {terminated: {exitCode: 1, finishedAt: "2026-01-01T23:55:00Z"}}, state: {running: {}}}]}'
    expect(pods.table?.row(make(spec, status), nowMs)[3]).toBe('3 (5m ago)')
  })
  it('counts sidecars among the containers', () => {
    const withSidecar =
      '{containers: [{name: a, image: a}], initContainers: [{name: s, image: a, restartPolicy: Always}]}'
    const status = `{phase: Running, initContainerStatuses: [${running('s', ', started: true')}], containerStatuses: [${running('a')}]}`
    expect(summarizePod(make(withSidecar, status))).toMatchObject({ ready: 2, total: 2, reason: 'Running' })
  })
  it('shows that it is being deleted', () => {
    const pod = make(spec, '{phase: Running}')
    const deleted: Pod = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
    expect(pods.table?.row(deleted, nowMs)[2]).toBe('Terminating')
  })
})

it('has a grace period only where somebody runs it', () => {
  const pod = make('{containers: [{name: a, image: a}], nodeName: n}')
  const grace = (change: (draft: Draft<Pod>) => void, requested?: number) => {
    const draft = structuredClone(pod) as Draft<Pod>
    change(draft)
    return pods.gracePeriodSeconds?.(draft, requested)
  }
  expect(grace(() => {})).toBe(30)
  expect(grace(() => {}, 5)).toBe(5)
  expect(grace(() => {}, -1)).toBe(1)
  expect(grace((draft) => delete draft.spec.nodeName)).toBe(0)
  expect(grace((draft) => Object.assign(draft.status, { phase: 'Failed' }))).toBe(0)
})
