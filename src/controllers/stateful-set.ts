// StatefulSet: pods with names that last, made, updated and removed in order, each with claims that are found again.
import { controllerRevisions } from '../api/apps/controller-revision.ts'
import { type StatefulSet, statefulSets } from '../api/apps/stateful-set.ts'
import { persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { type Pod, pods as podKind } from '../api/core/pod.ts'
import type { PodTemplateSpec } from '../api/core/pod-template.ts'
import { isReason } from '../api/machinery/errors.ts'
import { labelSelectorMatcher } from '../api/machinery/labels.ts'
import { keyOf } from '../client/informer.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { createClaimer, enqueueOwners } from './framework/ownership.ts'
import { isNamespaceTerminating, messageOf } from './framework/pod-control.ts'
import { isTerminating, nextAvailabilityMs } from './framework/pods.ts'
import { startReconciler, type Writes } from './framework/reconciler.ts'
import { type History, planTruncation, revisionTemplate, syncHistory } from './framework/revisions.ts'
import { sameStatus } from './framework/status.ts'
import {
  planStatefulSet,
  planStatefulStatus,
  revisionOfPod,
  type StatefulState,
  type StatefulStep,
} from './stateful-set-plan.ts'
import {
  claimNameOf,
  claimsOf,
  ordinalOf,
  planClaimOwners,
  podIndexLabel,
  podNameLabel,
  podNameOf,
  statefulPod,
} from './stateful-set-pods.ts'

export const statefulSetController: Controller = {
  name: 'statefulset-controller',
  start(context) {
    const { clock, informers } = context
    const recorder = recorderFor(context, 'statefulset-controller')
    const sets = informers.informer(statefulSets)
    const pods = informers.informer(podKind)
    const revisions = informers.informer(controllerRevisions)
    const claims = informers.informer(persistentVolumeClaims)
    const podClaimer = createClaimer(context, statefulSets, pods)
    const revisionClaimer = createClaimer(context, statefulSets, revisions)

    function record(set: StatefulSet, verb: 'create' | 'delete' | 'update', pod: string, error?: unknown): void {
      const reason = `${error === undefined ? 'Successful' : 'Failed'}${verb[0]?.toUpperCase()}${verb.slice(1)}`
      const message =
        error === undefined
          ? `${verb} Pod ${pod} in StatefulSet ${set.metadata.name} successful`
          : `${verb} Pod ${pod} in StatefulSet ${set.metadata.name} failed error: ${messageOf(error)}`
      recorder.event(set, error === undefined ? 'Normal' : 'Warning', reason, message)
    }
    async function ensureClaims(set: StatefulSet, ordinal: number, writes: Writes): Promise<void> {
      const pod = podNameOf(set, ordinal)
      for (const claim of claimsOf(set, ordinal)) {
        const name = claim.metadata.name ?? ''
        const known = claims.get(name, set.metadata.namespace)
        if (known !== undefined) {
          // Its pod was scaled away and it goes too: wait, lest the new pod get a volume that vanishes.
          if (isTerminating(known)) throw new Error(`pvc ${name} is being deleted`)
          continue
        }
        const about = `Claim ${name} Pod ${pod} in StatefulSet ${set.metadata.name}`
        try {
          await writes.create(persistentVolumeClaims, claim)
          recorder.event(set, 'Normal', 'SuccessfulCreate', `create ${about} success`)
        } catch (error) {
          if (isReason(error, 'AlreadyExists')) continue
          recorder.event(set, 'Warning', 'FailedCreate', `create ${about} failed error: ${messageOf(error)}`)
          throw error
        }
      }
    }
    async function fixClaimOwners(set: StatefulSet, pod: Pod, condemned: boolean, writes: Writes): Promise<void> {
      const ordinal = ordinalOf(set, pod) ?? 0
      for (const template of set.spec.volumeClaimTemplates ?? []) {
        const claim = claims.get(claimNameOf(set, template.metadata.name ?? '', ordinal), set.metadata.namespace)
        if (claim === undefined) continue
        const ownerReferences = planClaimOwners(set, pod, claim, condemned)
        if (ownerReferences === undefined) continue
        await writes.update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, ownerReferences } })
      }
    }
    const templateOf = (history: History, revision: string, set: StatefulSet): PodTemplateSpec => {
      const found = history.revisions.find(({ metadata }) => metadata.name === revision)
      return (found && revisionTemplate(found)) ?? set.spec.template
    }
    async function createPod(
      set: StatefulSet,
      step: StatefulStep & { type: 'create' },
      history: History,
      writes: Writes,
    ) {
      const name = podNameOf(set, step.ordinal)
      try {
        await ensureClaims(set, step.ordinal, writes)
        const pod = statefulPod(set, step.ordinal, templateOf(history, step.revision, set), step.revision)
        await writes.create(podKind, pod)
        record(set, 'create', name)
      } catch (error) {
        if (isNamespaceTerminating(error)) return
        record(set, 'create', name, error)
        throw error
      }
    }
    async function deletePod(set: StatefulSet, { pod, why }: StatefulStep & { type: 'delete' }, writes: Writes) {
      const { name, namespace } = set.metadata
      if (why === 'failed')
        recorder.event(
          set,
          'Warning',
          'RecreatingFailedPod',
          `StatefulSet ${namespace}/${name} is recreating failed Pod ${pod.metadata.name}`,
        )
      if (why === 'succeeded')
        recorder.event(
          set,
          'Normal',
          'RecreatingTerminatedPod',
          `StatefulSet ${namespace}/${name} is recreating terminated Pod ${pod.metadata.name}`,
        )
      try {
        await writes.delete(podKind, pod)
        record(set, 'delete', pod.metadata.name)
      } catch (error) {
        record(set, 'delete', pod.metadata.name, error)
        throw error
      }
    }
    async function repairPod(set: StatefulSet, pod: Pod, ordinal: number, writes: Writes): Promise<void> {
      await ensureClaims(set, ordinal, writes)
      const labels = {
        ...pod.metadata.labels,
        [podNameLabel]: podNameOf(set, ordinal),
        [podIndexLabel]: String(ordinal),
      }
      try {
        await writes.update(podKind, { ...pod, metadata: { ...pod.metadata, labels } })
        record(set, 'update', pod.metadata.name)
      } catch (error) {
        record(set, 'update', pod.metadata.name, error)
        throw error
      }
    }
    async function carryOut(set: StatefulSet, step: StatefulStep, history: History, writes: Writes): Promise<void> {
      switch (step.type) {
        case 'create':
          return createPod(set, step, history, writes)
        case 'delete':
          return deletePod(set, step, writes)
        case 'repair':
          return repairPod(set, step.pod, step.ordinal, writes)
        case 'claims':
          if (!step.condemned && step.pod.status.phase === 'Pending') await ensureClaims(set, step.ordinal, writes)
          return fixClaimOwners(set, step.pod, step.condemned, writes)
      }
    }

    async function reconcile(key: string, writes: Writes): Promise<number | void> {
      const set = sets.byKey(key)
      if (set === undefined) return
      const matches = labelSelectorMatcher(set.spec.selector)
      const owned = await revisionClaimer.claim(set, matches, writes)
      const claimed = await podClaimer.claim(set, matches, writes)
      const history = await syncHistory(
        context,
        {
          kind: statefulSets,
          owner: set,
          template: set.spec.template,
          collisionCount: set.status.collisionCount,
          hashLabel: 'controller.kubernetes.io/hash',
        },
        owned,
        writes,
      )
      const updateRevision = history.update.metadata.name
      const known = history.revisions.find(({ metadata }) => metadata.name === set.status.currentRevision)
      const currentRevision = known?.metadata.name ?? updateRevision
      const state: StatefulState = { set, pods: claimed, currentRevision, updateRevision, nowMs: clock.now() }
      let failure: unknown
      const steps = planStatefulSet(state)
      if (set.spec.podManagementPolicy === 'Parallel') {
        const results = await Promise.allSettled(steps.map((step) => carryOut(set, step, history, writes)))
        failure = results.find((result) => result.status === 'rejected')?.reason
      } else
        for (const step of steps) {
          try {
            await carryOut(set, step, history, writes)
          } catch (error) {
            failure = error
            break
          }
        }
      const status = planStatefulStatus(state, history.collisionCount)
      if (!sameStatus(status, set.status)) await writes.updateStatus(statefulSets, { ...set, status })
      if (failure !== undefined) throw failure
      const live = new Set([status.currentRevision, status.updateRevision, ...claimed.map(revisionOfPod)])
      const dead = planTruncation(
        history.revisions,
        ({ metadata }) => live.has(metadata.name),
        set.spec.revisionHistoryLimit ?? 10,
      )
      for (const revision of dead) await writes.delete(controllerRevisions, revision)
      return nextAvailabilityMs(claimed, set.spec.minReadySeconds ?? 0, clock.now())
    }

    const reconciler = startReconciler({
      context,
      caches: [sets, pods, revisions, claims],
      reconcile,
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const enqueue = (set: StatefulSet) => reconciler.enqueue(keyOf(set))
    const handlers = [
      sets.handle({ add: enqueue, update: enqueue }),
      enqueueOwners({
        owners: sets,
        dependents: pods,
        enqueue,
        matches: (set) => labelSelectorMatcher(set.spec.selector),
      }),
      enqueueOwners({ owners: sets, dependents: revisions, enqueue }),
    ]
    return reconciler
  },
}
