// The images on a simulated node. An image is its name: the same name has the same id everywhere.
import { ImagePullError, type RuntimeImage } from '../ports/container-runtime.ts'
import { hash } from './seeded-random.ts'
import { fullName, type SimWorld } from './world.ts'

export class SimImages {
  private readonly world: SimWorld
  private readonly images = new Map<string, RuntimeImage>()

  constructor(world: SimWorld) {
    this.world = world
  }

  list(): readonly RuntimeImage[] {
    return [...this.images.values()]
  }
  /** By id or by any form of its name. */
  find(reference: string): RuntimeImage | undefined {
    return this.list().find((image) => image.id === reference) ?? this.images.get(fullName(reference))
  }
  /** What the registry gives, or says instead, as containerd words it. */
  pull(reference: string): RuntimeImage {
    const name = fullName(reference)
    const image = this.world.lookUp(reference)
    const failed = `failed to pull and unpack image "${name}": failed to resolve reference "${name}"`
    if (image === undefined) throw new ImagePullError('not-found', `${failed}: ${name}: not found`)
    if (image.pullError !== undefined)
      throw new ImagePullError(image.pullError.kind, `${failed}: ${image.pullError.message}`)
    return this.add(name)
  }
  /** Puts the image of this full name on the node. */
  add(name: string): RuntimeImage {
    const known = this.images.get(name)
    if (known !== undefined) return known
    const digest = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => hash(`${i}${name}`).toString(16).padStart(8, '0')).join('')
    const { sizeBytes = 20_000_000 + (hash(name) % 100_000_000), uid = 0 } = this.world.lookUp(name) ?? {}
    const bare = name.split('@')[0]?.replace(/:[^:/]*$/, '') ?? name
    const image: RuntimeImage = {
      id: `sha256:${digest}`,
      repoTags: name.includes('@') ? [] : [name],
      repoDigests: [`${bare}@sha256:${digest}`],
      sizeBytes,
      uid,
      username: '',
      pinned: false,
    }
    this.images.set(name, image)
    return image
  }
  /** Every name of it. */
  remove(reference: string): void {
    const found = this.find(reference)
    if (found === undefined) return
    for (const [name, image] of this.images) if (image.id === found.id) this.images.delete(name)
  }
  fsInfo(): { readonly path: string; readonly usedBytes: number; readonly inodesUsed: number } {
    const usedBytes = this.list().reduce((sum, image) => sum + image.sizeBytes, 0)
    return { path: '/var/lib/containerd', usedBytes, inodesUsed: this.images.size * 100 }
  }
}
