// Deployment: rolls ReplicaSets forward. The decisions are in deployment-rollout.ts and deployment-status.ts; this loop
// carries out one plan per run, then writes the status once.
import { isReason } from '../api/machinery/errors.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import { equal } from '../api/machinery/equal.ts'
import { type Deployment, type DeploymentStatus, deployments } from '../api/apps/deployment.ts'
import { type ReplicaSet, replicaSets } from '../api/apps/replica-set.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import type { Input } from '../client/client.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import { keyOf } from '../client/informer.ts'
import {
  currentSetAnnotations,
  isScalingEvent,
  planCleanup,
  planRecreate,
  planRollback,
  planRollingUpdate,
  planScaling,
  type Rollout,
  type RolloutStep,
  revisionAnnotation,
  rolledBack,
  rollbackToAnnotation,
  rolloutOf,
  sameTemplate,
  sizeAnnotations,
  sizeOf,
  templateHashLabel,
} from './deployment-rollout.ts'
import {
  countStatus,
  hasDeadline,
  isComplete,
  nextCheckMs,
  pausedConditions,
  planStatus,
  setCondition,
} from './deployment-status.ts'
import { findCondition } from './framework/conditions.ts'
import { type Controller, type ControllerContext, recorderFor } from './framework/controller.ts'
import { templateHash } from './framework/hash.ts'
import {
  controllerOf,
  controllerRef,
  createClaimer,
  enqueueOwners,
  isControlledBy,
  ownerIn,
} from './framework/ownership.ts'
import { isNamespaceTerminating } from './framework/pod-control.ts'
import { isPodTerminal, isTerminating } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { sameStatus } from './framework/status.ts'

type Conditions = NonNullable<DeploymentStatus['conditions']>
const longestName = 253

/** The ReplicaSet of a Deployment's template, ready to be created. */
export function newReplicaSet(deployment: Deployment, old: readonly ReplicaSet[], replicas: number): Input<ReplicaSet> {
  const { template, minReadySeconds, selector } = deployment.spec
  const hash = templateHash(template, deployment.status.collisionCount)
  const labels = { ...template.metadata.labels, [templateHashLabel]: hash }
  return {
    metadata: {
      name: `${deployment.metadata.name.slice(0, longestName - hash.length - 1)}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: { ...currentSetAnnotations(deployment, old, undefined), ...sizeAnnotations(deployment) },
      ownerReferences: [controllerRef(deployments, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [templateHashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  }
}

/** One run over one Deployment: carries out steps and gathers what the status shall say. */
class Run {
  rollout: Rollout
  conditions: Conditions
  collisionCount: number | undefined
  private readonly context: ControllerContext
  private readonly recorder: EventRecorder
  private readonly writes: Writes
  constructor(
    rollout: Rollout,
    conditions: Conditions,
    context: ControllerContext,
    recorder: EventRecorder,
    writes: Writes,
  ) {
    this.rollout = rollout
    this.conditions = conditions
    this.collisionCount = rollout.deployment.status.collisionCount
    this.context = context
    this.recorder = recorder
    this.writes = writes
  }
  private note(status: string, reason: string, message: string): void {
    if (!hasDeadline(this.rollout.deployment)) return
    const nowMs = this.context.clock.now()
    this.conditions = setCondition(this.conditions, 'Progressing', status, reason, message, nowMs)
  }
  private replace(set: ReplicaSet): void {
    const { deployment, current, old } = this.rollout
    const swap = (other: ReplicaSet) => (other.metadata.uid === set.metadata.uid ? set : other)
    this.rollout = { deployment, current: current && swap(current), old: old.map(swap) }
  }

  /** Hands annotations and minReadySeconds down to the current ReplicaSet. */
  async updateCurrent(): Promise<void> {
    const { deployment, current, old } = this.rollout
    if (current === undefined) return
    const annotations = currentSetAnnotations(deployment, old, current)
    const { minReadySeconds } = deployment.spec
    const isSame =
      equal(annotations, current.metadata.annotations ?? {}) &&
      (current.spec.minReadySeconds ?? 0) === (minReadySeconds ?? 0)
    if (!isSame)
      this.replace(
        await this.writes.update(replicaSets, {
          ...current,
          metadata: { ...current.metadata, annotations },
          spec: { ...current.spec, minReadySeconds },
        }),
      )
    if (findCondition(this.conditions, 'Progressing') === undefined)
      this.note('True', 'FoundNewReplicaSet', `Found new replica set "${current.metadata.name}"`)
  }
  async carryOut(steps: readonly RolloutStep[]): Promise<void> {
    for (const step of steps)
      if (step.type === 'create') await this.create(step.replicas)
      else if (step.type === 'scale') await this.scale(step.set, step.replicas)
      else await this.writes.delete(replicaSets, step.set)
  }
  private async scale(set: ReplicaSet, replicas: number): Promise<void> {
    const { deployment } = this.rollout
    const from = sizeOf(set)
    const annotations = { ...set.metadata.annotations, ...sizeAnnotations(deployment) }
    if (from === replicas && equal(annotations, set.metadata.annotations ?? {})) return
    const updated = await this.writes.update(replicaSets, {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { ...set.spec, replicas },
    })
    this.replace(updated)
    if (from !== replicas) this.recordScaling(set.metadata.name, from, replicas)
  }
  private recordScaling(name: string, from: number, to: number): void {
    const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${name} from ${from} to ${to}`
    this.recorder.event(this.rollout.deployment, 'Normal', 'ScalingReplicaSet', message)
  }
  private async create(replicas: number): Promise<void> {
    const { deployment, old } = this.rollout
    const wanted = newReplicaSet(deployment, old, replicas)
    const name = wanted.metadata.name ?? ''
    let current: ReplicaSet
    try {
      current = await this.writes.create(replicaSets, wanted)
    } catch (error) {
      if (isReason(error, 'AlreadyExists')) return this.resolveCollision(name)
      if (!isNamespaceTerminating(error)) {
        const message = `Failed to create new replica set "${name}": ${String((error as Error).message)}`
        this.note('False', 'ReplicaSetCreateError', message)
      }
      throw error
    }
    this.rollout = { ...this.rollout, current }
    if (replicas > 0) this.recordScaling(name, 0, replicas)
    this.note('True', 'NewReplicaSetCreated', `Created new replica set "${name}"`)
  }
  /** The name is taken: by our own set that the cache does not show yet, or by another template with the same hash. */
  private async resolveCollision(name: string): Promise<void> {
    const { deployment } = this.rollout
    const taken = await this.context.client.resource(replicaSets).find(name, deployment.metadata.namespace)
    if (
      taken !== undefined &&
      isControlledBy(taken, deployment) &&
      sameTemplate(taken.spec.template, deployment.spec.template)
    )
      this.rollout = { ...this.rollout, current: taken }
    else this.collisionCount = (this.collisionCount ?? 0) + 1
  }
}

export const deploymentController: Controller = {
  name: 'deployment-controller',
  start(context) {
    const { informers, clock } = context
    const recorder = recorderFor(context, 'deployment-controller')
    const owners = informers.informer(deployments)
    const sets = informers.informer(replicaSets)
    const pods = informers.informer(podKind)
    const claimer = createClaimer(context, deployments, sets)
    const setClaimer = createClaimer(context, replicaSets, pods)

    const podsRun = (of: readonly ReplicaSet[]): boolean =>
      of.some((set) => setClaimer.controlledBy(set).some((pod) => !isPodTerminal(pod)))

    async function writeStatus(run: Run, status: DeploymentStatus, writes: Writes): Promise<void> {
      const { deployment, current } = run.rollout
      const revision = current?.metadata.annotations?.[revisionAnnotation]
      const known = deployment.metadata.annotations?.[revisionAnnotation]
      const next: DeploymentStatus =
        run.collisionCount === undefined ? status : { ...status, collisionCount: run.collisionCount }
      const annotate = revision !== undefined && revision !== known
      if (!annotate && sameStatus(next, deployment.status)) return
      const annotations = {
        ...deployment.metadata.annotations,
        ...(annotate ? { [revisionAnnotation]: revision } : {}),
      }
      const metadata = annotate ? { ...deployment.metadata, annotations } : deployment.metadata
      await writes.updateStatus(deployments, { ...deployment, metadata, status: next })
    }
    async function rollBack(rollout: Rollout, revision: number, writes: Writes): Promise<void> {
      const { deployment } = rollout
      const plan = planRollback(rollout, revision)
      const { name } = deployment.metadata
      if (plan.type === 'not-found') recorder.event(deployment, 'Warning', 'RollbackRevisionNotFound', plan.message)
      else if (plan.type === 'unchanged') {
        const message = `The rollback revision contains the same template as current deployment "${name}"`
        recorder.event(deployment, 'Warning', 'RollbackTemplateUnchanged', message)
      } else {
        const message = `Rolled back deployment "${name}" to revision ${plan.revision}`
        recorder.event(deployment, 'Normal', 'RollbackDone', message)
      }
      await writes.update(deployments, rolledBack(deployment, plan.type === 'to' ? plan.set : undefined))
    }
    /** The steps of one run; answers whether the size changed or the Deployment is paused, when progress is not judged. */
    async function roll(run: Run): Promise<boolean> {
      const { deployment } = run.rollout
      await run.updateCurrent()
      if (deployment.spec.paused || isScalingEvent(run.rollout)) {
        await run.carryOut(planScaling(run.rollout))
        if (deployment.spec.paused) await run.carryOut(planCleanup(run.rollout))
        return true
      }
      const steps =
        deployment.spec.strategy.type === 'Recreate'
          ? planRecreate(run.rollout, podsRun(run.rollout.old))
          : planRollingUpdate(run.rollout)
      await run.carryOut(steps)
      if (steps.length === 0 && isComplete(deployment, countStatus(run.rollout, run.conditions, clock.now())))
        await run.carryOut(planCleanup(run.rollout))
      return false
    }
    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      const deployment = owners.byKey(key)
      if (deployment === undefined) return
      const { selector } = deployment.spec
      if (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0) {
        const message = 'This deployment is selecting all pods. A non-empty selector is required.'
        recorder.event(deployment, 'Warning', 'SelectingAll', message)
        return
      }
      const claimed = await claimer.claim(deployment, labelSelectorMatcher(selector), writes)
      const rollout = rolloutOf(deployment, claimed)
      const run = new Run(rollout, pausedConditions(deployment, clock.now()), context, recorder, writes)
      if (isTerminating(deployment)) return writeStatus(run, countStatus(rollout, run.conditions, clock.now()), writes)
      const rollbackTo = deployment.metadata.annotations?.[rollbackToAnnotation]
      if (rollbackTo !== undefined && !deployment.spec.paused) return rollBack(rollout, Number(rollbackTo) || 0, writes)
      let sizeOnly = false
      try {
        sizeOnly = await roll(run)
      } catch (error) {
        if (!isReason(error, 'Conflict') && !isNamespaceTerminating(error))
          await writeStatus(run, planStatus(run.rollout, run.conditions, clock.now()), writes)
        if (isNamespaceTerminating(error)) return
        throw error
      }
      const nowMs = clock.now()
      const status = (sizeOnly ? countStatus : planStatus)(run.rollout, run.conditions, nowMs)
      await writeStatus(run, status, writes)
      if (sizeOnly) return
      return nextCheckMs(deployment, status, nowMs)
    }

    const reconciler = startReconciler({
      context,
      caches: [owners, sets, pods],
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (deployment: Deployment) => reconciler.enqueue(keyOf(deployment))
    /** Recreate waits for the old pods' end. */
    const podEnded = (pod: Pod) => {
      if (controllerOf(pod)?.kind !== 'ReplicaSet') return
      const set = ownerIn(sets, pod)
      const deployment = set && ownerIn(owners, set)
      if (deployment?.spec.strategy.type === 'Recreate') enqueue(deployment)
    }
    const handlers = [
      owners.handle({ add: enqueue, update: enqueue }),
      enqueueOwners({
        owners,
        dependents: sets,
        enqueue,
        matches: (deployment) => labelSelectorMatcher(deployment.spec.selector),
      }),
      pods.handle({
        update: (pod, old) => void (isPodTerminal(pod) && !isPodTerminal(old) && podEnded(pod)),
        delete: podEnded,
      }),
    ]
    return reconciler
  },
}
