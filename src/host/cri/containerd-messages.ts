// The part of containerd's own API that CRI has no word for: its event stream, and the labels of images.
import type { Method } from '../wire/grpc.ts'
import { bytes, int, list, message, nested, string, stringMap, strings } from '../wire/protobuf.ts'

const envelope = message({
  namespace: string(2),
  topic: string(3),
  event: nested(4, message({ typeUrl: string(1), value: bytes(2) })),
})
const image = message({
  name: string(1),
  labels: stringMap(2),
  target: nested(3, message({ mediaType: string(1), digest: string(2), size: int(3) })),
})
const method = <In, Out>(m: Method<In, Out>) => m
export const subscribe = method({
  path: '/containerd.services.events.v1.Events/Subscribe',
  request: message({ filters: strings(1) }),
  response: envelope,
})
export const listNamedImages = method({
  path: '/containerd.services.images.v1.Images/List',
  request: message({ filters: strings(1) }),
  response: message({ images: list(1, image) }),
})
export const updateNamedImage = method({
  path: '/containerd.services.images.v1.Images/Update',
  request: message({ image: nested(1, image), mask: nested(2, message({ paths: strings(1) })) }),
  response: message({ image: nested(1, image) }),
})

/** Events of tasks and containers: the container's id is field 1; an exec's own id differs from it. */
export const taskEvent = message({ containerId: string(1), id: string(2) })
export const containerEvent = message({ id: string(1) })
