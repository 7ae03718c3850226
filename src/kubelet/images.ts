// Images for containers: present or pulled as the policy says, with the events and waiting reasons that users know.
// Pulls of one image by several pods are one pull; failures wait 10 s doubling to 5 min, per pod and image.
import type { Clock } from '../ports/clock.ts'
import {
  type ContainerRuntime,
  ImagePullError,
  type RuntimeImage,
  type SandboxConfig,
} from '../ports/container-runtime.ts'
import { BackOff, type Failure, formatDuration } from './back-off.ts'
import { applyDefaultTag } from './image-reference.ts'
import type { PullCredential, PulledImages } from './pulled-images.ts'
import type { Waiting } from './status.ts'
import type { Pod, RecordPodEvent } from './types.ts'

export interface ImageRequest {
  readonly pod: Pod
  /** For events; undefined for an image volume. */
  readonly container: string | undefined
  readonly image: string
  readonly pullPolicy: string | undefined
  readonly sandbox: SandboxConfig
  /** Credentials to try, in order; empty for anonymous. Asked for only when something is pulled. */
  readonly credentials: () => Promise<readonly PullCredential[]>
}
export type ImageResult =
  | { readonly ok: true; readonly image: RuntimeImage; readonly reference: string }
  | {
      readonly ok: false
      readonly waiting: Waiting
      /** When to try again; undefined where only a change of the pod helps. */
      readonly retryAfterMs: number | undefined
    }

/** Lets `limit` run at a time; the rest wait in order. */
class Gate {
  #free: number
  readonly #queue: (() => void)[] = []
  constructor(limit: number) {
    this.#free = limit
  }
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((go) => this.#queue.push(go))
    try {
      return await work()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** How long a failed pull shows as what it was. */
const shownMs = 2000

interface PullFailure extends Failure {
  readonly reason: string
  readonly message: string
}

export class Images {
  readonly #runtime: ContainerRuntime
  readonly #clock: Clock
  readonly #record: RecordPodEvent
  readonly #gate: Gate
  readonly #backOff: BackOff
  readonly #failures = new Map<string, PullFailure>()
  /** Pulls under way, by image and credentials. */
  readonly #pulling = new Map<string, Promise<string>>()
  readonly #pulled: PulledImages
  constructor(
    runtime: ContainerRuntime,
    clock: Clock,
    record: RecordPodEvent,
    options: { readonly parallelPulls: number; readonly pulled: PulledImages },
  ) {
    this.#pulled = options.pulled
    this.#runtime = runtime
    this.#clock = clock
    this.#record = record
    this.#gate = new Gate(options.parallelPulls)
    this.#backOff = new BackOff(clock, 10_000, 300_000)
  }
  /** Forgets the failures of a pod that is gone. */
  forget(uid: string): void {
    this.#backOff.forget(`${uid}_`)
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}_`)) this.#failures.delete(key)
  }

  async ensure(request: ImageRequest): Promise<ImageResult> {
    const { pod, container, pullPolicy } = request
    const tagged = applyDefaultTag(request.image)
    if (!tagged.ok) {
      this.#record(pod, container, 'Warning', 'InspectFailed', tagged.message)
      return { ok: false, waiting: { reason: 'InvalidImageName', message: tagged.message }, retryAfterMs: undefined }
    }
    const found = await this.#runtime.imageStatus(tagged.image)
    const policy = pullPolicy ?? (tagged.image.endsWith(':latest') ? 'Always' : 'IfNotPresent')
    const allowed =
      found !== undefined &&
      policy !== 'Always' &&
      !(await this.#pulled.mustPull(tagged.image, found.id, request.credentials))
    if (allowed) {
      const text = `Container image "${request.image}" already present on machine and can be accessed by the pod`
      this.#record(pod, container, 'Normal', 'Pulled', text)
      return { ok: true, image: found, reference: found.id }
    }
    if (policy === 'Never') {
      const missing =
        found === undefined ? 'not present with pull policy of Never' : 'present, but its use is not allowed'
      const message = `Container image "${request.image}" is ${missing}`
      this.#record(pod, container, 'Warning', 'ErrImageNeverPull', message)
      return { ok: false, waiting: { reason: 'ErrImageNeverPull', message }, retryAfterMs: 10_000 }
    }
    return this.#pull(request, tagged.image)
  }

  async #pull(request: ImageRequest, image: string): Promise<ImageResult> {
    const { pod, container } = request
    const key = `${pod.metadata.uid}_${image}`
    const last = this.#failures.get(key)
    const remainingMs = last === undefined ? 0 : this.#backOff.remainingMs(key, last)
    if (last !== undefined && remainingMs > 0) {
      const text = `Back-off pulling image "${request.image}"`
      this.#record(pod, container, 'Normal', 'BackOff', text)
      const message = `${text}: ${last.reason}: ${last.message}`
      this.#record(pod, container, 'Warning', 'Failed', 'Error: ImagePullBackOff')
      return { ok: false, waiting: { reason: 'ImagePullBackOff', message }, retryAfterMs: remainingMs }
    }
    this.#record(pod, container, 'Normal', 'Pulling', `Pulling image "${request.image}"`)
    const startedMs = this.#clock.monotonic()
    const timing = { beganMs: startedMs }
    try {
      const reference = await this.#shared(request, image, timing)
      const pulled = await this.#runtime.imageStatus(reference)
      if (pulled === undefined) throw new ImagePullError('other', `image ${image} vanished after it was pulled`)
      const nowMs = this.#clock.monotonic()
      const took = `${formatDuration(nowMs - timing.beganMs)} (${formatDuration(nowMs - startedMs)} including waiting)`
      const text = `Successfully pulled image "${request.image}" in ${took}. Image size: ${pulled.sizeBytes} bytes.`
      this.#record(pod, container, 'Normal', 'Pulled', text)
      this.#failures.delete(key)
      this.#backOff.forget(key)
      return { ok: true, image: pulled, reference }
    } catch (error) {
      // Boundary: what the registry or the runtime said becomes the container's waiting state.
      const message = error instanceof Error ? error.message : String(error)
      const kind = error instanceof ImagePullError ? error.kind : 'other'
      const reason =
        kind === 'unavailable'
          ? 'RegistryUnavailable'
          : kind === 'signature'
            ? 'SignatureValidationFailed'
            : 'ErrImagePull'
      const atMs = this.#clock.now()
      this.#backOff.advance(key, last?.atMs ?? atMs)
      this.#failures.set(key, { id: `${image} ${atMs}`, atMs, reason, message })
      this.#record(pod, container, 'Warning', 'Failed', `Failed to pull image "${request.image}": ${message}`)
      this.#record(pod, container, 'Warning', 'Failed', `Error: ${reason}`)
      // Looked at again soon: from then on it shows as ImagePullBackOff until the next attempt.
      return { ok: false, waiting: { reason, message }, retryAfterMs: shownMs }
    }
  }

  async #shared(request: ImageRequest, image: string, timing: { beganMs: number }): Promise<string> {
    const credentials = await request.credentials()
    const key = JSON.stringify([image, credentials])
    const busy = this.#pulling.get(key)
    if (busy !== undefined) return busy
    const pull = this.#gate
      .run(async () => {
        timing.beganMs = this.#clock.monotonic()
        return this.#tryEach(image, credentials, request.sandbox)
      })
      .finally(() => this.#pulling.delete(key))
    this.#pulling.set(key, pull)
    return pull
  }
  /** One credential after another; the last failure counts. */
  async #tryEach(image: string, credentials: readonly PullCredential[], sandbox: SandboxConfig): Promise<string> {
    const attempts: (PullCredential | undefined)[] = credentials.length === 0 ? [undefined] : [...credentials]
    await this.#pulled.begin(image)
    let failure: unknown
    for (const credential of attempts) {
      try {
        const reference = await this.#runtime.pullImage(image, credential?.auth, sandbox)
        const { id = reference } = (await this.#runtime.imageStatus(reference)) ?? {}
        await this.#pulled.record(image, id, credential)
        return reference
      } catch (error) {
        // Boundary: kept, and thrown below when no credential helps.
        failure = error
      }
    }
    await this.#pulled.abandon(image)
    throw failure
  }
}
