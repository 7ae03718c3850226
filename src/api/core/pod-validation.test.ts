import { describe, expect, it } from 'vitest'
import { deployments } from '../apps/deployment.ts'
import { replicaSets } from '../apps/replica-set.ts'
import { pods } from './pod.ts'
import { admitted, updateErrors } from './testing/admitted.ts'

const pod = (spec: string): string => `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: ${spec}}`
const one = (container: string, rest = ''): string =>
  pod(`{containers: [{name: c, image: "busybox:1", ${container}}]${rest === '' ? '' : `, ${rest}`}}`)

describe('what a pod may not be', () => {
  const table: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'a mount without its volume',
      one('volumeMounts: [{name: x, mountPath: /x}]'),
      ['spec.containers[0].volumeMounts[0].name: Not found: "x"'],
    ],
    [
      'one name for an init and an app container',
      pod('{initContainers: [{name: c, image: b}], containers: [{name: c, image: b}]}'),
      ['spec.initContainers[0].name: Duplicate value: "c"'],
    ],
    [
      'limits below requests',
      one('resources: {requests: {cpu: "2"}, limits: {cpu: "1"}}'),
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    ['no containers', pod('{containers: []}'), ['spec.containers: Required value']],
    ['no image', pod('{containers: [{name: c}]}'), ['spec.containers[0].image: Required value']],
    [
      'a bad container name',
      pod('{containers: [{name: C_1, image: b}]}'),
      [
        `spec.containers[0].name: Invalid value: "C_1": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
      ],
    ],
    [
      'a bad restart policy',
      one('', 'restartPolicy: Sometimes'),
      ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'],
    ],
    [
      'a bad pull policy',
      one('imagePullPolicy: Perhaps'),
      [
        'spec.containers[0].imagePullPolicy: Unsupported value: "Perhaps": supported values: "Always", "IfNotPresent", "Never"',
      ],
    ],
    [
      'two handlers',
      one('livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}'),
      ['spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
    ],
    [
      'no handler',
      one('readinessProbe: {periodSeconds: 1}'),
      ['spec.containers[0].readinessProbe: Required value: must specify a handler type'],
    ],
    [
      'a liveness probe that must succeed twice',
      one('livenessProbe: {exec: {command: [a]}, successThreshold: 2}'),
      ['spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1'],
    ],
    [
      'a port out of range',
      one('ports: [{containerPort: 70000}]'),
      ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ],
    [
      'one host port twice',
      one('ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]'),
      ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
    ],
    [
      'a volume of two types',
      one('', 'volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]'),
      ['spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type'],
    ],
    ['a volume name twice', one('', 'volumes: [{name: v}, {name: v}]'), ['spec.volumes[1].name: Duplicate value: "v"']],
    [
      'an item that escapes',
      one('', 'volumes: [{name: v, configMap: {name: m, items: [{key: k, path: ../x}]}}]'),
      [`spec.volumes[0].configMap.items[0].path: Invalid value: "../x": must not contain '..'`],
    ],
    [
      'an unknown host path type',
      one('', 'volumes: [{name: v, hostPath: {path: /x, type: Dir}}]'),
      [
        'spec.volumes[0].hostPath.type: Unsupported value: "Dir": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
      ],
    ],
    [
      'a value and a source',
      one('env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]'),
      ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ],
    [
      'a field that an environment cannot show',
      one('env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]'),
      [
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
      ],
    ],
    [
      'a toleration of everything with a value',
      one('', 'tolerations: [{operator: Equal, value: x}]'),
      [
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ],
    ],
    [
      'a toleration in time without eviction',
      one('', 'tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 1}]'),
      [
        'spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' when `tolerationSeconds` is set',
      ],
    ],
    [
      'a weight out of range',
      one(
        '',
        'affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}',
      ),
      [
        'spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100',
      ],
    ],
    [
      'a spread without skew',
      one('', 'topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]'),
      ['spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero'],
    ],
    [
      'no name server',
      one('', 'dnsPolicy: None, dnsConfig: {searches: [a.b]}'),
      ['spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None'],
    ],
    [
      'a deadline of nothing',
      one('', 'activeDeadlineSeconds: 0'),
      ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    ],
    [
      'privileged without escalation',
      one('securityContext: {privileged: true, allowPrivilegeEscalation: false}'),
      [
        'spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
      ],
    ],
    [
      'an ephemeral container from the start',
      one('', 'ephemeralContainers: [{name: e, image: b}]'),
      ['spec.ephemeralContainers: Forbidden: cannot be set on create'],
    ],
    [
      'a node in spite of a gate',
      one('', 'nodeName: n, schedulingGates: [{name: a}]'),
      ['spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared'],
    ],
    [
      'a probe on an init container',
      pod(
        '{initContainers: [{name: i, image: b, livenessProbe: {exec: {command: [a]}}}], containers: [{name: c, image: b}]}',
      ),
      [
        'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      'huge pages alone',
      one('resources: {limits: {hugepages-2Mi: 4Mi}}'),
      ['spec.containers[0].resources: Forbidden: HugePages require cpu or memory'],
    ],
    [
      'half a GPU',
      one('resources: {limits: {example.com/gpu: 500m}}'),
      [
        'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
        'spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
      ],
    ],
    [
      'a token that dies at once',
      one('', 'volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 60}}]}}]'),
      [
        'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes',
      ],
    ],
  ]
  it.each(table)('%s', (_, yaml, expected) => {
    expect(admitted(pods, yaml).errors).toEqual(expected)
  })

  it('names a misspelt field with its path', () => {
    expect(admitted(pods, one('', 'volumes: [{name: app-logs, emptuDir: {}}]')).unknownFields).toEqual([
      'spec.volumes[0].emptuDir',
    ])
    const template = 'template: {metadata: {labels: {app: n}}, spec: {containers: [{name: n, images: "nginx:1"}]}}'
    const deployment = `{metadata: {name: d}, spec: {selector: {matchLabels: {app: n}}, ${template}}}`
    expect(admitted(deployments, deployment).unknownFields).toEqual(['spec.template.spec.containers[0].images'])
  })
  it('has nothing against an ordinary pod', () => {
    const yaml = one(
      'ports: [{name: http, containerPort: 80}], env: [{name: A, value: ""}], readinessProbe: {httpGet: {port: http}}',
      'hostAliases: [{ip: 127.0.0.1, hostnames: [a.b]}], nodeSelector: {a: b}, tolerations: [{operator: Exists}]',
    )
    expect(admitted(pods, yaml).errors).toEqual([])
  })
})

it('a selector must match its template', () => {
  const yaml =
    '{metadata: {name: r}, spec: {replicas: 1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c, image: b}]}}}}'
  expect(admitted(replicaSets, yaml).errors).toEqual([
    'spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does not match template `labels`',
  ])
})

describe('what may change in a pod', () => {
  const base = admitted(pods, one('', 'activeDeadlineSeconds: 100, tolerations: [{key: a, operator: Exists}]')).object
  const prefix =
    'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'
  it('images, shorter deadlines and more tolerations', () => {
    expect(
      updateErrors(pods, base, ({ spec }) => {
        spec.activeDeadlineSeconds = 50
        spec.tolerations?.push({ key: 'b', operator: 'Exists' })
        for (const container of spec.containers) container.image = 'other:2'
      }),
    ).toEqual([])
  })
  it('nothing else', () => {
    const [error, ...more] = updateErrors(pods, base, ({ spec }) => {
      spec.hostname = 'x'
    })
    expect(more).toEqual([])
    expect(error?.startsWith(prefix)).toBe(true)
    expect(error).toContain('spec.hostname')
  })
  it('no containers come or go', () => {
    expect(
      updateErrors(pods, base, ({ spec }) => {
        spec.initContainers = [...spec.containers]
      }),
    ).toContain('spec.initContainers: Forbidden: pod updates may not add or remove containers')
  })
  it('no longer deadline, no toleration less', () => {
    expect(
      updateErrors(pods, base, ({ spec }) => {
        spec.activeDeadlineSeconds = 101
        spec.tolerations = []
      }),
    ).toEqual([
      'spec.activeDeadlineSeconds: Invalid value: 101: must be less than or equal to previous value',
      'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds',
    ])
  })
  it('gates only go, and while one stands placement may be narrowed', () => {
    const gated = admitted(pods, one('', 'schedulingGates: [{name: a}], nodeSelector: {a: b}')).object
    expect(gated.status.conditions?.[0]?.reason).toBe('SchedulingGated')
    expect(
      updateErrors(pods, gated, ({ spec }) => {
        delete spec.schedulingGates
        spec.nodeSelector = { a: 'b', c: 'd' }
      }),
    ).toEqual([])
    expect(
      updateErrors(pods, gated, ({ spec }) => {
        spec.schedulingGates?.push({ name: 'b' })
      }),
    ).toEqual(["spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gate 'b'"])
    expect(
      updateErrors(pods, gated, ({ spec }) => {
        spec.nodeSelector = {}
      }),
    ).toHaveLength(1)
  })
})
