// Carries a rolling update out: scales the two controllers step by step, waits for pods by watching, and cleans up. Whatever
// is needed to go on after an interruption stands in the controllers themselves.
import { pods } from '../../api/core/pod.ts'
import { type ReplicationController, replicationControllers } from '../../api/core/replication-controller.ts'
import { isReason } from '../../api/machinery/errors.ts'
import { formatSelector, selectorOfLabels } from '../../api/machinery/labels.ts'
import type { Client, Input } from '../../client/client.ts'
import type { Clock } from '../../ports/clock.ts'
import { CliError } from '../command.ts'
import {
  adoptedSpec,
  annotated,
  desiredReplicas,
  labelled,
  type NewController,
  nextController,
  numberIn,
  originalReplicas,
  updatePartner,
} from './partners.ts'
import { keptAvailable, mostPods, planStep, type Side } from './plan.ts'

export interface UpdateOptions {
  readonly client: Client
  readonly namespace: string
  /** Between two steps of the new controller. */
  readonly updatePeriodMs: number
  /** Without any progress for so long the update is given up. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly say: (line: string) => void
}
type Change = (current: ReplicationController) => ReplicationController

export class RollingUpdate {
  private readonly options: UpdateOptions
  /** Generations of our last writes: what a watch shows from before them is no longer true. */
  private readonly written = new Map<string, number>()
  constructor(options: UpdateOptions) {
    this.options = options
  }
  private get controllers() {
    return this.options.client.resource(replicationControllers)
  }
  find(name: string): Promise<ReplicationController | undefined> {
    return this.controllers.find(name, this.options.namespace)
  }

  /** Changes a controller as it is now; somebody else's change in between is looked at again. */
  async change(name: string, change: Change): Promise<ReplicationController> {
    for (;;) {
      const current = await this.controllers.get(name, this.options.namespace)
      const wished = change(current)
      if (wished === current) return current
      try {
        return await this.controllers.update(wished)
      } catch (error) {
        if (!isReason(error, 'Conflict')) throw error
      }
    }
  }
  private async scale(name: string, replicas: number): Promise<void> {
    const { metadata } = await this.change(name, (current) => ({ ...current, spec: { ...current.spec, replicas } }))
    this.written.set(name, metadata.generation ?? 0)
  }

  /** The new controller, made with no pods yet where it is not there. */
  async open(old: ReplicationController, next: NewController): Promise<ReplicationController> {
    const { namespace, say } = this.options
    const existing = await this.find(next.metadata.name)
    if (existing !== undefined) {
      say(`Continuing update with existing controller ${next.metadata.name}.`)
      return existing
    }
    const wished = annotated(next, {
      [desiredReplicas]: String(next.spec.replicas),
      [updatePartner]: old.metadata.name,
    })
    const { uid: _uid, resourceVersion: _version, creationTimestamp: _time, ...metadata } = wished.metadata
    const object = { metadata: { ...metadata, namespace }, spec: { ...wished.spec, replicas: 0 } }
    const created = await this.controllers.create(object as Input<ReplicationController>)
    say(`Created ${created.metadata.name}`)
    return created
  }

  /** Tells the old controller's pods from those of the new one, by one more label. Done already where the key is there. */
  async separate(old: ReplicationController, key: string, value: string): Promise<ReplicationController> {
    if (old.spec.selector?.[key] !== undefined) return old
    const { namespace, client } = this.options
    // Template first: a pod that is made meanwhile carries the label already.
    await this.change(old.metadata.name, (current) => {
      const { selector } = current.spec
      const wished = labelled(current, key, value)
      return { ...wished, spec: { ...wished.spec, ...(selector === undefined ? {} : { selector }) } }
    })
    const labelSelector = formatSelector(selectorOfLabels(old.spec.selector ?? {}))
    const { items } = await client.resource(pods).list({ namespace, labelSelector })
    for (const pod of items) {
      if (pod.metadata.labels?.[key] !== undefined) continue
      try {
        const patch = { metadata: { uid: pod.metadata.uid, labels: { [key]: value } } }
        await client.resource(pods).patch(pod.metadata.name, namespace, 'merge', patch)
      } catch (error) {
        if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict')) throw error
      }
    }
    return this.change(old.metadata.name, (current) => labelled(current, key, value))
  }

  /** Moves the pods from `old` to `next`; both know each other. Throws CliError where nothing moves any more. */
  async roll(oldName: string, newName: string): Promise<void> {
    const { say } = this.options
    const first = await this.change(oldName, (current) =>
      numberIn(current, originalReplicas) === undefined
        ? annotated(current, { [originalReplicas]: String(current.spec.replicas) })
        : current,
    )
    const original = numberIn(first, originalReplicas) ?? first.spec.replicas
    const next = await this.controllers.get(newName, this.options.namespace)
    const desired = numberIn(next, desiredReplicas) ?? original
    const bounds = { desired, original }
    say(
      `Scaling up ${newName} from ${next.spec.replicas} to ${desired}, scaling down ${oldName} from ${first.spec.replicas} to 0 (keep ${keptAvailable(bounds)} pods available, don't exceed ${mostPods(bounds)} pods)`,
    )
    let scaledUpMs = Number.NEGATIVE_INFINITY
    for await (const [old, now] of this.views(oldName, newName)) {
      const step = planStep({ old, new: now, ...bounds })
      if (step.type === 'done') return
      if (step.type === 'wait') continue
      if (step.type === 'scaleUp') {
        await this.pause(scaledUpMs)
        say(`Scaling ${newName} up to ${step.to}`)
        await this.scale(newName, step.to)
        scaledUpMs = this.options.clock.monotonic()
      } else if (step.to === old.replicas) await this.scale(newName, desired)
      else {
        say(`Scaling ${oldName} down to ${step.to}`)
        await this.scale(oldName, step.to)
      }
    }
  }
  private pause(sinceMs: number): Promise<void> {
    const { clock, updatePeriodMs } = this.options
    const leftMs = sinceMs + updatePeriodMs - clock.monotonic()
    return leftMs > 0 ? new Promise((done) => void clock.after(leftMs, done)) : Promise.resolve()
  }

  /** The two controllers whenever either has caught up with its spec and something changed. */
  private async *views(oldName: string, newName: string): AsyncGenerator<readonly [Side, Side]> {
    const { clock, namespace, timeoutMs } = this.options
    let last = ''
    let movedMs = clock.monotonic()
    for (;;) {
      const { items, resourceVersion } = await this.controllers.list({ namespace })
      const stop = new AbortController()
      const giveUp = clock.after(Math.max(0, movedMs + timeoutMs - clock.monotonic()), () => stop.abort())
      const known = new Map(items.map((item) => [item.metadata.name, item]))
      try {
        const watch = this.controllers.watch({ namespace, resourceVersion, signal: stop.signal })
        const events = watch[Symbol.asyncIterator]()
        for (;;) {
          const sides = [oldName, newName].map((name) => caughtUp(known.get(name), this.written.get(name) ?? 0))
          const [old, next] = sides
          const picture = JSON.stringify(sides)
          if (picture !== last && old !== undefined && next !== undefined) {
            last = picture
            movedMs = clock.monotonic()
            yield [old, next]
          }
          const event = await events.next()
          if (event.done === true) break
          if (event.value.type === 'DELETED') known.delete(event.value.object.metadata.name)
          else if (event.value.type !== 'BOOKMARK') known.set(event.value.object.metadata.name, event.value.object)
          for (const name of [oldName, newName])
            if (!known.has(name)) throw new CliError(`replicationcontrollers "${name}" was deleted during the update`)
        }
      } finally {
        giveUp.cancel()
        stop.abort()
      }
      if (clock.monotonic() - movedMs >= timeoutMs)
        throw new CliError('timed out waiting for any update progress to be made')
    }
  }

  /** Takes the marks of the update from the controller that stays, and the other one away. */
  async finish(oldName: string, newName: string): Promise<void> {
    this.options.say(`Update succeeded. Deleting ${oldName}`)
    await this.change(newName, (current) => annotated(current, unmarked))
    await this.remove(oldName, 'Background')
  }

  /** The old name takes over the new controller's spec and pods. It stays interruptible: the spec waits in an annotation. */
  async rename(oldName: string, newName: string): Promise<void> {
    const { say } = this.options
    say(`Update succeeded. Deleting old controller: ${oldName}`)
    say(`Renaming ${newName} to ${oldName}`)
    const next = await this.find(newName)
    if (next !== undefined)
      await this.change(oldName, (current) => annotated(current, { [adoptedSpec]: JSON.stringify(next.spec) }))
    await this.remove(newName, 'Orphan')
    await this.adopt(oldName)
  }
  async adopt(name: string): Promise<void> {
    await this.change(name, (current) => {
      const text = current.metadata.annotations?.[adoptedSpec]
      if (text === undefined) return current
      const spec = JSON.parse(text) as ReplicationController['spec']
      const labels = { ...current.metadata.labels, ...spec.template?.metadata.labels }
      const unmarkedOne = annotated(current, { ...unmarked, [adoptedSpec]: undefined })
      return { ...unmarkedOne, metadata: { ...unmarkedOne.metadata, labels }, spec }
    })
  }

  /** Deletes a controller and resolves when it is gone. */
  private async remove(name: string, propagationPolicy: 'Background' | 'Orphan'): Promise<void> {
    const { namespace } = this.options
    const stop = new AbortController()
    const { resourceVersion } = await this.controllers.list({ namespace })
    const fieldSelector = `metadata.name=${name}`
    const watch = this.controllers.watch({ namespace, fieldSelector, resourceVersion, signal: stop.signal })
    try {
      await this.controllers.delete(name, namespace, { propagationPolicy })
      for await (const event of watch) if (event.type === 'DELETED') return
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error
    } finally {
      stop.abort()
    }
  }
}

const unmarked = {
  [desiredReplicas]: undefined,
  [originalReplicas]: undefined,
  [updatePartner]: undefined,
  [nextController]: undefined,
}
/** Undefined until the controller is of that generation and has seen its present spec. */
function caughtUp(controller: ReplicationController | undefined, atLeast: number): Side | undefined {
  if (controller === undefined) return undefined
  const { metadata, spec, status } = controller
  if ((metadata.generation ?? 0) < atLeast) return undefined
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) return undefined
  return { name: metadata.name, replicas: spec.replicas, ready: status.availableReplicas ?? 0 }
}
