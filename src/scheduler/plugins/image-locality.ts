// Prefers nodes that already hold the pod's images, the more so the larger they are and the more nodes hold them.
import type { PluginFactory } from '../framework.ts'
import type { ClusterState } from '../state/cluster-state.ts'
import { maxScore } from './normalize.ts'

const mebibyte = 1024 * 1024
/** Below this an image is quickly pulled, above it more makes no difference; for every container. */
const leastBytes = 23 * mebibyte
const mostBytes = 1000 * mebibyte

/** Images without a tag mean :latest. */
function normalized(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image
}

export const imageLocality: PluginFactory = {
  name: 'ImageLocality',
  create() {
    let images: { readonly name: string; readonly spread: number }[] = []
    let containers = 1
    const spreadOf = (name: string, state: ClusterState) =>
      (state.imageNodes.get(name) ?? 0) / Math.max(1, state.order.length)
    return {
      name: 'ImageLocality',
      preScore({ pod, state }) {
        if (state.imageNodes.size === 0) return 'skip'
        const { initContainers = [], containers: apps, volumes = [] } = pod.pod.spec
        const names = [
          ...[...initContainers, ...apps].map(({ image }) => image ?? ''),
          ...volumes.flatMap((volume) => (volume.image?.reference ? [volume.image.reference] : [])),
        ].map(normalized)
        containers = names.length
        images = names.map((name) => ({ name, spread: spreadOf(name, state) })).filter(({ spread }) => spread > 0)
        return images.length === 0 ? 'skip' : undefined
      },
      score(_cycle, node) {
        let sum = 0
        for (const { name, spread } of images) sum += Math.trunc((node.images.get(name) ?? 0) * spread)
        const most = mostBytes * containers
        const bounded = Math.min(most, Math.max(leastBytes, sum))
        return Math.trunc((maxScore * (bounded - leastBytes)) / (most - leastBytes))
      },
    }
  },
}
