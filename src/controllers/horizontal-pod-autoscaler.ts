// Scales a target so that its metrics stay near what is wished. Every 15 s: read the scale, ask the metrics, plan, resize.
// The largest of several metrics wins; one that cannot be read prevents scaling down, never scaling up.
import {
  type HorizontalPodAutoscaler,
  horizontalPodAutoscalers,
  type MetricStatus,
} from '../api/autoscaling/horizontal-pod-autoscaler.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import { matchesSelector, parseSelector } from '../api/machinery/labels.ts'
import { equal } from '../api/machinery/equal.ts'
import { quantityNumber } from '../api/machinery/quantity.ts'
import { formatTime } from '../api/machinery/time.ts'
import { byNamespace, keyOf } from '../client/informer.ts'
import { failureOfMetric, type Measuring, measure, type MetricResult } from './autoscaler-measure.ts'
import { createMetricsReader } from './autoscaler-metrics.ts'
import { firstMemory, type Memory, type PlanCondition, planReplicas, remember } from './autoscaler-plan.ts'
import type { Observed } from './autoscaler-replicas.ts'
import { withCondition } from './framework/conditions.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { messageOf } from './framework/pod-control.ts'
import { isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { createScales, type Scale } from './framework/scale.ts'
import { sameStatus } from './framework/status.ts'

type Status = HorizontalPodAutoscaler['status']
type Autoscaler = HorizontalPodAutoscaler

const syncPeriodMs = 15_000
const defaultTolerance = 0.1

/** The outcome of a look at all metrics: what they ask for, or why nothing can be said. */
type Measured =
  | { readonly ok: true; readonly replicas: number; readonly name: string; readonly statuses: readonly MetricStatus[] }
  | {
      readonly ok: false
      readonly active: PlanCondition
      readonly error: string
      readonly statuses: readonly MetricStatus[]
    }

type Say = (type: 'AbleToScale' | 'ScalingActive' | 'ScalingLimited', condition: PlanCondition) => void
interface Decision {
  readonly desired: number
  readonly reason: string
  readonly metrics: readonly MetricStatus[]
}

export const horizontalPodAutoscalerController: Controller = {
  name: 'horizontal-pod-autoscaler-controller',
  start(context) {
    const { clock, informers, client } = context
    const recorder = recorderFor(context, 'horizontal-pod-autoscaler')
    const autoscalers = informers.informer(horizontalPodAutoscalers)
    const pods = informers.informer(podKind)
    const podsIn = pods.index(byNamespace)
    const scales = createScales(client)
    const reader = createMetricsReader(client)
    const memories = new Map<string, Memory>()
    /** What the target of each autoscaler selects, to find targets that share pods. */
    const selectors = new Map<string, string>()
    const warn = (hpa: Autoscaler, reason: string, message: string) => recorder.event(hpa, 'Warning', reason, message)

    const selected = (namespace: string, selector: string): readonly Pod[] => {
      const parsed = parseSelector(selector)
      return podsIn.get(namespace).filter((pod) => matchesSelector(parsed, pod.metadata.labels))
    }
    /** Other autoscalers whose targets have pods in common with this one's, and itself. */
    function rivals(hpa: Autoscaler, mine: readonly Pod[]): readonly string[] {
      const { namespace = '' } = hpa.metadata
      const own = keyOf(hpa)
      const found = [...selectors].filter(([key, selector]) => {
        if (key === own || !key.startsWith(`${namespace}/`) || autoscalers.byKey(key) === undefined) return false
        const parsed = parseSelector(selector)
        return mine.some((pod) => matchesSelector(parsed, pod.metadata.labels))
      })
      return found.length === 0 ? [] : [own, ...found.map(([key]) => key)].sort()
    }
    async function measureAll(hpa: Autoscaler, scale: Scale): Promise<Measured> {
      const { namespace = '' } = hpa.metadata
      const selector = scale.status.selector ?? ''
      const refuse = (reason: string, message: string, told: string): Measured => {
        warn(hpa, reason === 'InvalidSelector' ? 'SelectorRequired' : reason, told)
        return { ok: false, active: { status: 'False', reason, message }, error: told, statuses: [] }
      }
      if (selector === '')
        return refuse('InvalidSelector', "the HPA target's scale is missing a selector", 'selector is required')
      selectors.set(keyOf(hpa), selector)
      const mine = selected(namespace, selector)
      const others = rivals(hpa, mine)
      if (others.length > 0) {
        const message = `pods by selector ${selector} are controlled by multiple HPAs: [${others.join(' ')}]`
        return refuse('AmbiguousSelector', message, message)
      }
      const currentReplicas = scale.spec.replicas ?? 0
      const toleranceOf = (direction: 'scaleUp' | 'scaleDown'): number => {
        const own = hpa.spec.behavior?.[direction]?.tolerance
        return own === undefined ? defaultTolerance : quantityNumber(own)
      }
      const tolerance = { up: toleranceOf('scaleUp'), down: toleranceOf('scaleDown') }
      const observed: Observed = { pods: mine, currentReplicas, tolerance, nowMs: clock.now() }
      const measuring: Measuring = {
        reader,
        resourceOf: (described) => scales.resourceOf(described),
        namespace,
        selector,
        observed,
        statusReplicas: scale.status.replicas,
      }
      const statuses: MetricStatus[] = []
      let best: MetricResult | undefined
      let first: { readonly reason: string; readonly message: string } | undefined
      let failures = 0
      const metrics = hpa.spec.metrics ?? []
      for (const metric of metrics) {
        try {
          const result = await measure(measuring, metric)
          statuses.push(result.status)
          if (best === undefined || result.replicas > best.replicas) best = result
        } catch (error) {
          // Boundary: a metric that cannot be read is told, and counts below.
          const failure = failureOfMetric(metric, error)
          warn(hpa, failure.reason, failure.message)
          first ??= failure
          failures++
          // Keeps its place, so that statuses and specs stay side by side.
          statuses.push({ type: '' })
        }
      }
      if (best === undefined || (first !== undefined && best.replicas < currentReplicas)) {
        const why = `invalid metrics (${failures} invalid out of ${metrics.length}), first error is: ${first?.message ?? 'there are no metrics'}`
        const message = `the HPA was unable to compute the replica count: ${first?.message ?? ''}`
        return {
          ok: false,
          active: { status: 'False', reason: first?.reason ?? 'InvalidMetricSourceType', message },
          error: why,
          statuses,
        }
      }
      return { ok: true, replicas: best.replicas, name: best.name, statuses }
    }

    /** What the target's size is to be. Asks the metrics only where the size is within the bounds. */
    async function decide(hpa: Autoscaler, scale: Scale, say: Say): Promise<Decision | 'unknown'> {
      const { maxReplicas, minReplicas = 1 } = hpa.spec
      const current = scale.spec.replicas ?? 0
      const key = keyOf(hpa)
      const memory = memories.get(key) ?? firstMemory(current, clock.monotonic())
      memories.set(key, memory)
      const metrics = hpa.status.currentMetrics ?? []
      if (current === 0) {
        const message = 'scaling is disabled since the replica count of the target is zero'
        say('ScalingActive', { status: 'False', reason: 'ScalingDisabled', message })
        return { desired: 0, reason: '', metrics }
      }
      if (current > maxReplicas)
        return { desired: maxReplicas, reason: 'Current number of replicas above Spec.MaxReplicas', metrics }
      if (current < minReplicas)
        return { desired: minReplicas, reason: 'Current number of replicas below Spec.MinReplicas', metrics }
      const measured = await measureAll(hpa, scale)
      if (!measured.ok) {
        say('ScalingActive', measured.active)
        warn(hpa, 'FailedComputeMetricsReplicas', measured.error)
        return 'unknown'
      }
      const message = `the HPA was able to successfully calculate a replica count from ${measured.name}`
      say('ScalingActive', { status: 'True', reason: 'ValidMetricFound', message })
      const proposal = { spec: hpa.spec, current, proposed: measured.replicas, memory, nowMs: clock.monotonic() }
      const plan = planReplicas(proposal)
      memories.set(key, plan.memory)
      say('AbleToScale', plan.able)
      say('ScalingLimited', plan.limited)
      const reason = plan.replicas > current ? `${measured.name} above target` : 'All metrics below target'
      return { desired: plan.replicas, reason, metrics: measured.statuses }
    }
    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      const hpa = autoscalers.byKey(key)
      if (hpa === undefined || isTerminating(hpa)) {
        memories.delete(key)
        selectors.delete(key)
        return undefined
      }
      const nowMs = clock.now()
      let conditions = hpa.status.conditions
      const say: Say = (type, condition) => {
        conditions = withCondition(conditions, { type, ...condition }, nowMs)
      }
      const write = async (part: Partial<Status>) => {
        const { generation } = hpa.metadata
        const status: Status = {
          ...hpa.status,
          ...(generation === undefined ? {} : { observedGeneration: generation }),
          ...part,
          ...(conditions === undefined ? {} : { conditions }),
        }
        if (!sameStatus(status, hpa.status)) await writes.updateStatus(horizontalPodAutoscalers, { ...hpa, status })
        return syncPeriodMs
      }
      const { scaleTargetRef: target } = hpa.spec
      let scale: Scale
      try {
        scale = await scales.get(target, hpa.metadata.namespace ?? '')
      } catch (error) {
        // Boundary: the target may not be there (yet); it is told and looked for again.
        warn(hpa, 'FailedGetScale', messageOf(error))
        const message = `the HPA controller was unable to get the target's current scale: ${messageOf(error)}`
        say('AbleToScale', { status: 'False', reason: 'FailedGetScale', message })
        return write({})
      }
      const current = scale.spec.replicas ?? 0
      say('AbleToScale', {
        status: 'True',
        reason: 'SucceededGetScale',
        message: "the HPA controller was able to get the target's current scale",
      })
      const decision = await decide(hpa, scale, say)
      if (decision === 'unknown') return write({ currentReplicas: current })
      const { desired, reason, metrics: currentMetrics } = decision
      if (desired === current) return write({ currentReplicas: current, desiredReplicas: desired, currentMetrics })
      const size = `New size: ${desired}; reason: ${reason}`
      try {
        await scales.resize(target, scale, desired)
      } catch (error) {
        warn(hpa, 'FailedRescale', `${size}; error: ${messageOf(error)}`)
        const message = `the HPA controller was unable to update the target scale: ${messageOf(error)}`
        say('AbleToScale', { status: 'False', reason: 'FailedUpdateScale', message })
        await write({ currentReplicas: current, currentMetrics })
        throw error
      }
      recorder.event(hpa, 'Normal', 'SuccessfulRescale', size)
      const message = `the HPA controller was able to update the target scale to ${desired}`
      say('AbleToScale', { status: 'True', reason: 'SucceededRescale', message })
      const sinceMs = clock.monotonic()
      memories.set(key, remember(memories.get(key) ?? firstMemory(current, sinceMs), current, desired, sinceMs))
      const lastScaleTime = formatTime(nowMs)
      return write({ currentReplicas: current, desiredReplicas: desired, currentMetrics, lastScaleTime })
    }

    const reconciler = startReconciler({
      context,
      caches: [autoscalers, pods],
      reconcile,
      onStop() {
        off()
        recorder.stop()
      },
    })
    const enqueue = (hpa: Autoscaler) => reconciler.enqueue(keyOf(hpa))
    const off = autoscalers.handle({
      add: enqueue,
      update(hpa, old) {
        if (!equal(hpa.spec, old.spec) || isTerminating(hpa)) enqueue(hpa)
      },
      delete: enqueue,
    })
    return reconciler
  },
}
