// Images that no container uses are removed, least recently used first, when the disk is fuller than a threshold, until
// it is emptier than a lower one. What an image was last used for is remembered while the kubelet runs; an image that was
// never seen in use counts from when it was first seen.
import { every, type Timer } from '../ports/clock.ts'
import type { RuntimeImage } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'

const periodMs = 300_000

interface Seen {
  readonly firstMs: number
  lastUsedMs: number
}

/** Of the file system that images lie in, which need not be the node's. */
export async function imageFileSystem({
  runtime,
  disk,
  config,
}: KubeletContext): ReturnType<KubeletContext['disk']['fileSystem']> {
  const images = await runtime.imageFsInfo()
  return disk.fileSystem(images === undefined || images.path === '' ? config.rootDirectory : images.path)
}

export class ImageCollector {
  readonly #context: KubeletContext
  readonly #recordNode: (type: 'Normal' | 'Warning', reason: string, message: string) => void
  readonly #seen = new Map<string, Seen>()
  #timer: Timer | undefined
  constructor(
    context: KubeletContext,
    recordNode: (type: 'Normal' | 'Warning', reason: string, message: string) => void,
  ) {
    this.#context = context
    this.#recordNode = recordNode
  }
  start(): void {
    this.#timer = every(this.#context.clock, periodMs, async () => {
      // Boundary: told on the node and tried again with the next round.
      await this.collect().catch((error: unknown) =>
        this.#recordNode('Warning', 'ImageGCFailed', error instanceof Error ? error.message : String(error)),
      )
    })
  }
  stop(): void {
    this.#timer?.cancel()
  }
  /** Frees disk when it is too full. */
  async collect(): Promise<void> {
    const { config } = this.#context
    await this.#note()
    await this.#removeStale()
    const { capacityBytes, availableBytes } = await imageFileSystem(this.#context)
    if (capacityBytes === 0) return
    const usedPercent = 100 - (availableBytes * 100) / capacityBytes
    if (usedPercent < config.imageGcHighPercent) return
    const target = Math.ceil((capacityBytes * (100 - config.imageGcLowPercent)) / 100) - availableBytes
    const freed = await this.#free(target)
    if (freed < target)
      this.#recordNode(
        'Warning',
        'FreeDiskSpaceFailed',
        `Failed to garbage collect required amount of images. Attempted to free ${target} bytes, but only found ${freed} bytes eligible to free.`,
      )
  }
  /** Removes every image that nobody uses: the disk is nearly full. */
  async collectAll(): Promise<void> {
    await this.#note()
    await this.#free(Number.POSITIVE_INFINITY)
  }
  /** Images that nobody has used for too long, however much room there is. */
  async #removeStale(): Promise<void> {
    const { clock, config } = this.#context
    if (config.imageGcMostAgeMs === 0) return
    await this.#free(Number.POSITIVE_INFINITY, clock.monotonic() - config.imageGcMostAgeMs)
  }
  #inUse(image: RuntimeImage): boolean {
    for (const { imageRef, image: name } of this.#context.view.containers())
      if (imageRef === image.id || image.repoDigests.includes(imageRef) || image.repoTags.includes(name)) return true
    return false
  }
  async #note(): Promise<void> {
    const { runtime, clock } = this.#context
    const nowMs = clock.monotonic()
    const images = await runtime.listImages()
    for (const image of images) {
      const seen = this.#seen.get(image.id) ?? { firstMs: nowMs, lastUsedMs: 0 }
      if (this.#inUse(image)) seen.lastUsedMs = nowMs
      this.#seen.set(image.id, seen)
    }
    for (const id of this.#seen.keys()) if (!images.some((image) => image.id === id)) this.#seen.delete(id)
  }
  /** Answers how many bytes became free. */
  async #free(wantedBytes: number, usedBeforeMs = Number.POSITIVE_INFINITY): Promise<number> {
    const { runtime, clock, log, config, pulledImages } = this.#context
    const images = (await runtime.listImages()).filter((image) => !image.pinned && !this.#inUse(image))
    const age = (image: RuntimeImage) => {
      const seen = this.#seen.get(image.id)
      return seen?.lastUsedMs || seen?.firstMs || 0
    }
    let freed = 0
    for (const image of images.sort((a, b) => age(a) - age(b))) {
      if (freed >= wantedBytes) break
      if (clock.monotonic() - (this.#seen.get(image.id)?.firstMs ?? 0) < config.imageGcLeastAgeMs) continue
      if (age(image) > usedBeforeMs) continue
      await runtime.removeImage(image.id)
      await pulledImages.forget(image.id)
      log.info('removed an image that nobody uses', { image: image.repoTags[0] ?? image.id, bytes: image.sizeBytes })
      freed += image.sizeBytes
    }
    return freed
  }
}
