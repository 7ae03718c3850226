// What the steps of a pod's life see of its worker.
import type { CgroupResources } from '../ports/node-host.ts'
import type { RuntimeFacts } from './field-ref.ts'
import type { PodPaths } from './paths.ts'
import type { PodVolumes } from './pod-volumes.ts'
import type { Pending } from './resize.ts'
import type { Waiting } from './status.ts'
import type { Container, Pod } from './types.ts'

type Requirements = NonNullable<Container['resources']>

export interface ResizeState {
  /** What the runtime enforces, by container id. */
  readonly enforced: Map<string, Requirements>
  /** What the pod's cgroup is set to. */
  cgroup: CgroupResources
  /** Why the newest wish is not granted. */
  pending: Pending | undefined
  /** Containers are being changed; a reason says what went wrong. */
  progress: Waiting | undefined
}

export interface PodHandle {
  readonly uid: string
  /** The newest that the API or the manifest says, with the resources that this node has granted. */
  readonly pod: Pod
  readonly paths: PodPaths
  readonly volumes: PodVolumes
  /** Why containers do not run, by name. */
  readonly waiting: Map<string, Waiting>
  /** Until when a container that could not be started, or the sandbox, is left alone, by name, on the monotonic clock. */
  readonly holds: Map<string, number>
  readonly resize: ResizeState
  /** Sandboxes whose stop has not come to its end, by id; undefined where it failed. */
  readonly stops: Map<string, Promise<void> | undefined>
  /** Aborted when the pod is to end. */
  readonly ending: AbortSignal
  readonly facts: () => RuntimeFacts
  /** Tells the API the status as it is now. */
  publish(): void
  /** The pod fails as a whole, and what runs of it ends. */
  fail(reason: string, message: string): void
  /** Wakes the worker in `delayMs` at the latest. */
  wakeIn(delayMs: number): void
  /** Wakes it after a wait that grows from failure to failure; answers how long that is, in milliseconds. */
  retry(): number
  /** All went well: the next failure waits briefly again. */
  recovered(): void
}
