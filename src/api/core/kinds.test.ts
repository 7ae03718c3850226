import { describe, expect, it } from 'vitest'
import { daemonSets } from '../apps/daemon-set.ts'
import { deployments } from '../apps/deployment.ts'
import { statefulSets } from '../apps/stateful-set.ts'
import { decode } from '../machinery/decode.ts'
import type { Draft, JsonObject } from '../machinery/schema.ts'
import { configMaps } from './config-map.ts'
import { endpoints } from './endpoints.ts'
import { events } from './event.ts'
import { limitRanges } from './limit-range.ts'
import { namespaces } from './namespace.ts'
import { nodes } from './node.ts'
import { persistentVolumeClaims } from './persistent-volume-claim.ts'
import { persistentVolumes } from './persistent-volume.ts'
import { replicationControllers } from './replication-controller.ts'
import { resourceQuotas } from './resource-quota.ts'
import { secrets } from './secret.ts'
import { services } from './service.ts'
import { admitted, nowMs, updateErrors } from './testing/admitted.ts'

describe('namespace', () => {
  it('gets its name as a label and the finalizer that holds its contents', () => {
    const { object, errors } = admitted(namespaces, '{metadata: {name: a}}')
    expect(errors).toEqual([])
    expect(object.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'a' })
    expect(object.spec).toEqual({ finalizers: ['kubernetes'] })
    expect(object.status).toEqual({ phase: 'Active' })
  })
})

describe('node', () => {
  it('shows state and roles', () => {
    const { object } = admitted(
      nodes,
      '{metadata: {name: n, labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: ""}}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: "True"}], nodeInfo: {kubeletVersion: v1}, addresses: [{type: InternalIP, address: 10.0.0.1}]}}',
    )
    expect(nodes.table?.row(object, nowMs)).toEqual([
      'n',
      'Ready,SchedulingDisabled',
      'control-plane,worker',
      '24h',
      'v1',
      '10.0.0.1',
      '<none>',
      '<unknown>',
      '<unknown>',
      '<unknown>',
    ])
  })
  it('keeps its pod range', () => {
    const { object } = admitted(nodes, '{metadata: {name: n}, spec: {podCIDR: 10.1.0.0/24}}')
    expect(object.spec.podCIDRs).toEqual(['10.1.0.0/24'])
    expect(
      updateErrors(nodes, object, ({ spec }) => {
        spec.podCIDRs = ['10.2.0.0/24']
      }),
    ).toEqual(['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'])
  })
  it('has each taint once', () => {
    const { errors } = admitted(
      nodes,
      '{metadata: {name: n}, spec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule, value: x}]}}',
    )
    expect(errors).toEqual([
      'spec.taints[1]: Duplicate value: {"effect":"NoSchedule","key":"a","value":"x"}: taints must be unique by key and effect pair',
    ])
  })
})

describe('configuration', () => {
  it('folds stringData into data', () => {
    const { object } = admitted(secrets, '{metadata: {name: s}, data: {a: eA==}, stringData: {b: "grüße"}}')
    expect(object.data).toEqual({ a: 'eA==', b: 'Z3LDvMOfZQ==' })
    expect(object.stringData).toBeUndefined()
    expect(object.type).toBe('Opaque')
  })
  it.each([
    ['{metadata: {name: s}, type: kubernetes.io/tls, data: {tls.crt: eA==}}', ['data[tls.key]: Required value']],
    [
      '{metadata: {name: s}, type: kubernetes.io/service-account-token}',
      ['metadata.annotations[kubernetes.io/service-account.name]: Required value'],
    ],
    ['{metadata: {name: s}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "{}"}}', []],
  ])('a secret by its type', (yaml, expected) => {
    expect(admitted(secrets, yaml).errors).toEqual(expected)
  })
  it('what is immutable stays', () => {
    const { object } = admitted(configMaps, '{metadata: {name: c}, immutable: true, data: {a: b}}')
    expect(
      updateErrors(configMaps, object, (draft) => {
        draft.data = { a: 'c' }
        draft.immutable = false
      }),
    ).toEqual([
      'immutable: Forbidden: field is immutable when `immutable` is set',
      'data: Forbidden: field is immutable when `immutable` is set',
    ])
  })
  it('a key is a file name', () => {
    expect(admitted(configMaps, '{metadata: {name: c}, data: {"..": a}}').errors).toEqual([
      `data[..]: Invalid value: "..": must not be '..'`,
    ])
  })
})

describe('service', () => {
  it('is filled in by its type', () => {
    const of = (spec: string) => admitted(services, `{metadata: {name: s}, spec: ${spec}}`).object.spec
    expect(of('{ports: [{port: 80}]}')).toEqual({
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
    })
    expect(
      of('{type: LoadBalancer, sessionAffinity: ClientIP, clusterIP: 10.0.0.1, ports: [{port: 80}]}'),
    ).toMatchObject({
      allocateLoadBalancerNodePorts: true,
      externalTrafficPolicy: 'Cluster',
      clusterIPs: ['10.0.0.1'],
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
    })
  })
  it.each([
    ['{}', ['spec.ports: Required value']],
    ['{ports: [{port: 80}, {port: 81}]}', ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value']],
    ['{type: ExternalName}', ['spec.externalName: Required value']],
    [
      '{ports: [{port: 80, nodePort: 30000}]}',
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      '{type: NodePort, clusterIP: None, ports: [{port: 80}]}',
      [`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`],
    ],
    [
      '{externalIPs: [127.0.0.1], ports: [{port: 80}]}',
      ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
    ],
  ])('%s', (spec, expected) => {
    expect(admitted(services, `{metadata: {name: s}, spec: ${spec}}`).errors).toEqual(expected)
  })
  it('keeps what was allocated through updates, and lets it go with the type', () => {
    const before = admitted(
      services,
      '{metadata: {name: s}, spec: {type: NodePort, clusterIP: 10.0.0.1, ports: [{port: 80, nodePort: 30000}]}}',
    ).object
    const updated = (change: (draft: Draft<typeof before>) => void) => {
      const draft = structuredClone(before) as Draft<typeof before>
      change(draft)
      services.prepareForUpdate?.(draft, before, { nowMs: 0 })
      return draft.spec
    }
    expect(
      updated(({ spec }) => {
        delete spec.clusterIP
        delete spec.clusterIPs
        spec.ports = [{ port: 80, protocol: 'TCP' }]
      }),
    ).toMatchObject({ clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1'], ports: [{ nodePort: 30000 }] })
    const asCluster = updated(({ spec }) => {
      spec.type = 'ClusterIP'
    })
    expect(asCluster.ports?.[0]?.nodePort).toBeUndefined()
    expect(asCluster.externalTrafficPolicy).toBeUndefined()
    expect(
      updateErrors(services, before, ({ spec }) => {
        spec.clusterIP = '10.0.0.2'
        spec.clusterIPs = ['10.0.0.2']
      }),
    ).toEqual(['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'])
  })
  it('shows addresses and ports', () => {
    const { object } = admitted(
      services,
      '{metadata: {name: s}, spec: {type: LoadBalancer, clusterIP: 10.0.0.1, ports: [{port: 80, nodePort: 30000}, {name: d, port: 53, protocol: UDP}], selector: {b: c, a: b}}}',
    )
    expect(services.table?.row(object, nowMs)).toEqual([
      's',
      'LoadBalancer',
      '10.0.0.1',
      '<pending>',
      '80:30000/TCP,53/UDP',
      '24h',
      'a=b,b=c',
    ])
  })
  it('endpoints are shown by three', () => {
    const { object } = admitted(
      endpoints,
      '{metadata: {name: e}, subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}, {ip: 10.0.0.3}, {ip: 10.0.0.4}], ports: [{port: 80}]}]}',
    )
    expect(endpoints.table?.row(object, nowMs)[1]).toBe('10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...')
  })
})

describe('storage', () => {
  const claim = '{metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}'
  it('a claim starts pending and shows what it got', () => {
    const { object } = admitted(persistentVolumeClaims, claim)
    expect(object.status).toEqual({ phase: 'Pending' })
    expect(persistentVolumeClaims.table?.row(object, nowMs)).toEqual([
      'c',
      'Pending',
      '',
      '',
      '',
      '',
      '<unset>',
      '24h',
      'Filesystem',
    ])
    const bound = {
      ...object,
      spec: { ...object.spec, volumeName: 'v' },
      status: { phase: 'Bound', accessModes: ['ReadWriteMany', 'ReadWriteOnce'], capacity: { storage: '2Gi' } },
    }
    expect(persistentVolumeClaims.table?.row(bound, nowMs).slice(1, 5)).toEqual(['Bound', 'v', '2Gi', 'RWO,RWX'])
  })
  it.each([
    [
      '{accessModes: [], resources: {}}',
      [
        'spec.accessModes: Required value: at least 1 access mode is required',
        'spec.resources[storage]: Required value',
      ],
    ],
    [
      '{accessModes: [Own], resources: {requests: {storage: 1Gi}}}',
      [
        'spec.accessModes: Unsupported value: "Own": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      ],
    ],
  ])('a claim %s', (spec, expected) => {
    expect(admitted(persistentVolumeClaims, `{metadata: {name: c}, spec: ${spec}}`).errors).toEqual(expected)
  })
  it('a claim may be bound and grow, nothing else', () => {
    const { object } = admitted(persistentVolumeClaims, claim)
    expect(
      updateErrors(persistentVolumeClaims, object, ({ spec }) => {
        spec.volumeName = 'v'
      }),
    ).toEqual([])
    const bound = { ...object, status: { phase: 'Bound', capacity: { storage: '1Gi' } } }
    const grow = (size: string) =>
      updateErrors(persistentVolumeClaims, bound, ({ spec }) => {
        spec.resources = { requests: { storage: size } }
      })
    expect(grow('2Gi')).toEqual([])
    expect(grow('1Mi')).toEqual([
      'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
    ])
    expect(
      updateErrors(persistentVolumeClaims, object, ({ spec }) => {
        spec.accessModes = ['ReadOnlyMany']
      })[0],
    ).toContain(
      'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    )
  })
  it.each([
    ['{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce]}', ['spec: Required value: must specify a volume type']],
    [
      '{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], local: {path: /x}}',
      ['spec.nodeAffinity: Required value: Local volume requires node affinity'],
    ],
    ['{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}', []],
  ])('a volume %s', (spec, expected) => {
    expect(admitted(persistentVolumes, `{metadata: {name: v}, spec: ${spec}}`).errors).toEqual(expected)
  })
})

describe('quotas and ranges', () => {
  it('a range fills itself in', () => {
    const { object, errors } = admitted(
      limitRanges,
      '{metadata: {name: l}, spec: {limits: [{type: Container, max: {cpu: 2}, min: {memory: 1Mi}}]}}',
    )
    expect(errors).toEqual([])
    expect(object.spec.limits[0]).toEqual({
      type: 'Container',
      max: { cpu: '2' },
      min: { memory: '1Mi' },
      default: { cpu: '2' },
      defaultRequest: { cpu: '2', memory: '1Mi' },
    })
  })
  it('a range that contradicts itself is refused', () => {
    expect(
      admitted(limitRanges, '{metadata: {name: l}, spec: {limits: [{type: Pod, max: {cpu: 1}, min: {cpu: 2}}]}}')
        .errors,
    ).toEqual(['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'])
  })
  it('a quota shows requests and limits apart', () => {
    const { object } = admitted(resourceQuotas, '{metadata: {name: q}, spec: {hard: {pods: 2, limits.cpu: 4}}}')
    const used = { ...object, status: { hard: { pods: '2', 'limits.cpu': '4' }, used: { pods: '1' } } }
    expect(resourceQuotas.table?.row(used, nowMs)).toEqual(['q', 'pods: 1/2', 'limits.cpu: 0/4', '24h'])
  })
  it('a quota of scopes', () => {
    expect(
      admitted(resourceQuotas, '{metadata: {name: q}, spec: {hard: {pods: 1}, scopes: [Terminating, NotTerminating]}}')
        .errors,
    ).toEqual(['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'])
  })
})

describe('workloads', () => {
  const template = 'template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: b}]}}'
  it('a replication controller takes its labels from the template', () => {
    const { object, errors } = admitted(replicationControllers, `{metadata: {name: r}, spec: {${template}}}`)
    expect(errors).toEqual([])
    expect(object.spec).toMatchObject({ replicas: 1, selector: { a: 'b' } })
    expect(object.metadata.labels).toEqual({ a: 'b' })
    expect(replicationControllers.table?.row(object, nowMs)).toEqual(['r', 1, 0, 0, '24h', 'c', 'b', 'a=b'])
  })
  const selected = `selector: {matchLabels: {a: b}}, ${template}`
  it.each([
    [
      'strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}',
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ],
    [
      'strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}',
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0',
    ],
    [
      'strategy: {rollingUpdate: {maxUnavailable: 101%}}',
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ],
    [
      'progressDeadlineSeconds: 5, minReadySeconds: 5',
      'spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds',
    ],
    ['replicas: -1', 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
  ])('a deployment with %s', (spec, expected) => {
    expect(admitted(deployments, `{metadata: {name: d}, spec: {${selected}, ${spec}}}`).errors).toEqual([expected])
  })
  it('a selector never changes', () => {
    const { object } = admitted(deployments, `{metadata: {name: d}, spec: {${selected}}}`)
    expect(
      updateErrors(deployments, object, ({ spec }) => {
        spec.selector = { matchLabels: { a: 'c' } }
        spec.template.metadata.labels = { a: 'c' }
      }),
    ).toEqual(['spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'])
  })
  it('a stateful set changes in a few fields only', () => {
    const { object, errors } = admitted(statefulSets, `{metadata: {name: s}, spec: {serviceName: x, ${selected}}}`)
    expect(errors).toEqual([])
    expect(object.spec).toMatchObject({
      podManagementPolicy: 'OrderedReady',
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    })
    expect(
      updateErrors(statefulSets, object, ({ spec }) => {
        spec.serviceName = 'y'
      }),
    ).toEqual([
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ])
  })
  it('a daemon set surges or goes without, never both', () => {
    const errors = (rolling: string) =>
      admitted(daemonSets, `{metadata: {name: d}, spec: {${selected}, updateStrategy: {rollingUpdate: ${rolling}}}}`)
        .errors
    expect(errors('{maxSurge: 1}')).toEqual([
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero',
    ])
    expect(errors('{maxSurge: 1, maxUnavailable: 0}')).toEqual([])
    expect(errors('{maxUnavailable: 0}')).toEqual([
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0',
    ])
  })
})

describe('events', () => {
  const [v1] = events.versions ?? []
  const stored = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'default' },
    involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
    reason: 'Scheduled',
    message: 'done',
    source: { component: 'default-scheduler' },
    firstTimestamp: '2026-01-01T23:59:00Z',
    lastTimestamp: '2026-01-01T23:59:30Z',
    count: 2,
    type: 'Normal',
    reportingComponent: 'default-scheduler',
    reportingInstance: '',
  }
  it('have two names for each field', () => {
    const draft = structuredClone(stored) as unknown as Draft<JsonObject>
    v1?.fromStored(draft)
    expect(draft).toMatchObject({
      regarding: { kind: 'Pod', name: 'p' },
      note: 'done',
      reportingController: 'default-scheduler',
      deprecatedSource: { component: 'default-scheduler' },
      deprecatedCount: 2,
    })
    expect(Object.keys(draft)).not.toContain('involvedObject')
    v1?.toStored(draft)
    expect(draft).toEqual(stored)
  })
  it.each([
    [
      '{kind: Pod, namespace: other}',
      ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    ],
    ['{kind: Node, name: n}', []],
  ])('about %s belong where that is', (about, expected) => {
    expect(admitted(events, `{metadata: {name: e}, involvedObject: ${about}}`).errors).toEqual(expected)
  })
  it('of the new style say who reports what', () => {
    const yaml =
      '{metadata: {name: e}, eventTime: "2026-01-01T00:00:00Z", type: Normal, involvedObject: {namespace: default}}'
    expect(admitted(events, yaml).errors.filter((line) => line.includes('Required'))).toEqual([
      'reportingController: Required value',
      'reportingInstance: Required value',
      'action: Required value',
      'reason: Required value',
    ])
  })
  it('are shown as kubectl shows them', () => {
    const { value } = decode<typeof stored>(events.schema, stored)
    expect(events.table?.row(value as never, nowMs)).toEqual([
      '30s',
      'Normal',
      'Scheduled',
      'pod/p',
      '',
      'default-scheduler',
      'done',
      '60s',
      '2',
      'e',
    ])
  })
})
