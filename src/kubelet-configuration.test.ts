import { describe, expect, it } from 'vitest'
import { readKubeletConfiguration } from './kubelet-configuration.ts'

const file = (body: string) => `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n${body}`

describe('a KubeletConfiguration', () => {
  it('becomes settings', () => {
    const { config, ignored } = readKubeletConfiguration(
      file(`maxPods: 40
staticPodPath: /etc/manifests
staticPodURL: https://example.com/pods
evictionHard: {memory.available: 200Mi, nodefs.available: 5%}
evictionSoft: {memory.available: 400Mi}
evictionSoftGracePeriod: {memory.available: 1m30s}
evictionMaxPodGracePeriod: 20
evictionMinimumReclaim: {nodefs.available: 500Mi}
evictionPressureTransitionPeriod: 30s
imageMinimumGCAge: 10m
containerLogMaxSize: 20Mi
containerLogMonitorInterval: 5s
enableDebuggingHandlers: false
kubeReserved: {cpu: 500m, memory: 1Gi}
cpuManagerPolicy: static
reservedSystemCPUs: 0-1
memoryManagerPolicy: Static
reservedMemory: [{numaNode: 0, limits: {memory: 1124Mi}}]
serializeImagePulls: false
maxParallelImagePulls: 3
crashLoopBackOff: {maxContainerRestartPeriod: 60s}
podsPerCore: 10
staticPodURLHeader: {X-Key: [a, b]}
cpuManagerPolicyOptions: {full-pcpus-only: "true", strict-cpu-reservation: "false"}
cpuCFSQuota: false
singleProcessOOMKill: true
memorySwap: {swapBehavior: LimitedSwap}
nodeStatusMaxImages: -1
registerWithTaints: [{key: a, value: b, effect: NoSchedule}]
shutdownGracePeriod: 30s
shutdownGracePeriodCriticalPods: 10s
cgroupDriver: systemd
readOnlyPort: 0
`),
    )
    expect(config).toEqual({
      maxPods: 40,
      staticPodPath: '/etc/manifests',
      staticPodUrl: 'https://example.com/pods',
      evictionHard: { 'memory.available': '200Mi', 'nodefs.available': '5%' },
      evictionSoft: { 'memory.available': '400Mi' },
      evictionSoftGraceMs: { 'memory.available': 90_000 },
      evictionMaxPodGraceSeconds: 20,
      evictionMinimumReclaim: { 'nodefs.available': '500Mi' },
      evictionTransitionMs: 30_000,
      imageGcLeastAgeMs: 600_000,
      containerLogMaxBytes: 20 * 2 ** 20,
      containerLogMonitorMs: 5000,
      debuggingHandlers: false,
      kubeReserved: { cpu: '500m', memory: '1Gi' },
      cpuManagerPolicy: 'static',
      reservedSystemCpus: '0-1',
      memoryManagerPolicy: 'Static',
      reservedMemory: [{ numaNode: 0, limits: { memory: 1124 * 2 ** 20 } }],
      serializeImagePulls: false,
      maxParallelImagePulls: 3,
      maxCrashBackOffMs: 60_000,
      podsPerCore: 10,
      staticPodUrlHeaders: [
        { name: 'X-Key', value: 'a' },
        { name: 'X-Key', value: 'b' },
      ],
      fullPcpusOnly: true,
      strictCpuReservation: false,
      cpuCfsQuota: false,
      singleProcessOomKill: true,
      swapBehavior: 'LimitedSwap',
      nodeStatusMaxImages: -1,
      nodeTaints: [{ key: 'a', value: 'b', effect: 'NoSchedule' }],
      shutdownGraceSeconds: 30,
      shutdownGraceCriticalSeconds: 10,
    })
    expect(ignored).toEqual(['cgroupDriver', 'readOnlyPort'])
  })
  it.each([
    ['maxPod: 3', 'strict decoding error: unknown field "maxPod"'],
    ['maxPods: many', 'maxPods: expected a whole number'],
    ['maxPods: -1', 'maxPods: must be at least 0'],
    ['imageGCHighThresholdPercent: 101', 'imageGCHighThresholdPercent: must be between 0 and 100'],
    ['imageGCLowThresholdPercent: 90', 'imageGCLowThresholdPercent: must be below imageGCHighThresholdPercent'],
    ['evictionHard: {memory.free: 1Gi}', 'evictionHard[memory.free]: unknown eviction signal'],
    ['evictionHard: {memory.available: 120%}', 'evictionHard[memory.available]: a percentage is at most 100%'],
    ['evictionSoft: {memory.available: 1Gi}', 'evictionSoft[memory.available]: grace period must be specified'],
    ['memorySwap: {swapBehavior: All}', 'memorySwap.swapBehavior: expected one of: NoSwap, LimitedSwap'],
    ['cpuManagerPolicyOptions: {faster: "true"}', 'cpuManagerPolicyOptions[faster]: unknown option'],
    ['cpuManagerPolicyOptions: {full-pcpus-only: "true"}', 'the options need cpuManagerPolicy: static'],
    ['cpuManagerPolicy: dynamic', 'cpuManagerPolicy: expected one of: none, static'],
    ['memoryManagerPolicy: BestEffort', 'memoryManagerPolicy: expected one of: None, Static'],
    ['containerLogMonitorInterval: 1s', 'containerLogMonitorInterval: must be at least 3s'],
    ['memorySwap: {swapBehaviour: NoSwap}', 'memorySwap.swapBehaviour: strict decoding error: unknown field'],
    ['registerWithTaints: [{key: a, effects: NoSchedule}]', 'registerWithTaints[0].effects: strict decoding error'],
    ['allowPrivileged: true', 'strict decoding error: unknown field "allowPrivileged"'],
    ['reservedMemory: [{numaNode: 0}]', 'reservedMemory[0]: expected numaNode, the number of a NUMA node, and limits'],
    ['reservedMemory: [{numaNode: 0, limits: {cpu: 1}}]', 'the limit type "cpu" for NUMA node 0'],
    ['reservedMemory: [{numaNode: 0, limits: {memory: 0}}]', 'reserved memory may not be zero for NUMA node 0'],
    [
      'reservedMemory: [{numaNode: 0, limits: {memory: 1Gi}}, {numaNode: 0, limits: {memory: 2Gi}}]',
      'reservedMemory[1].limits: the reserved memory has a duplicate value for NUMA node 0',
    ],
    ['reservedSystemCPUs: 3-1', '"3-1" is not a list of CPUs'],
    ['imageMinimumGCAge: 2 minutes', 'imageMinimumGCAge: expected a duration such as 10s or 1m30s'],
    [
      'crashLoopBackOff: {maxContainerRestartPeriod: 1h}',
      'crashLoopBackOff.maxContainerRestartPeriod: expected a duration',
    ],
    ['shutdownGracePeriodCriticalPods: 10s', 'must not be longer than shutdownGracePeriod'],
    ['systemReserved: {gpu: 1}', 'systemReserved[gpu]: only cpu, memory, ephemeral-storage and pid can be reserved'],
  ])('%s is refused', (body, message) => {
    expect(() => readKubeletConfiguration(file(body))).toThrow(message)
  })
  it('names what is set and does nothing', () => {
    expect(readKubeletConfiguration(file('reservedMemory: [{numaNode: 0, limits: {memory: 1Gi}}]')).ignored).toEqual([
      'reservedMemory',
    ])
  })
  it('of another kind is refused, and all problems are told at once', () => {
    expect(() => readKubeletConfiguration('kind: Pod\napiVersion: v1')).toThrow('found v1 and Pod')
    expect(() => readKubeletConfiguration(file('maxPods: x\nbogus: 1'))).toThrow(
      'strict decoding error: unknown field "bogus"\nmaxPods: expected a whole number',
    )
  })
})
