// The part of containerd's own API that CRI has no word for: its event stream, the labels of images, the records of
// containers, and leases.
import type { Method } from '../wire/grpc.ts'
import { bool, bytes, int, list, message, nested, string, stringMap, strings } from '../wire/protobuf.ts'

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

export const listRecords = method({
  path: '/containerd.services.containers.v1.Containers/List',
  request: message({ filters: strings(1) }),
  response: message({ containers: list(1, message({ id: string(1) })) }),
})
const any = message({ value: bytes(2) })
/** The same with what says where a sandbox's network namespace is: its specification, and CRI's own words. */
export const listSandboxRecords = method({
  path: listRecords.path,
  request: listRecords.request,
  response: message({
    containers: list(
      1,
      message({
        id: string(1),
        spec: nested(5, any),
        extensions: list(10, message({ key: string(1), value: nested(2, any) })),
      }),
    ),
  }),
})
const timestamp = message({ seconds: int(1), nanos: int(2) })
export const listLeases = method({
  path: '/containerd.services.leases.v1.Leases/List',
  request: message({ filters: strings(1) }),
  response: message({ leases: list(1, message({ id: string(1), createdAt: nested(2, timestamp) })) }),
})
/** `sync`: answers when what it held is collected. */
export const deleteLease = method({
  path: '/containerd.services.leases.v1.Leases/Delete',
  request: message({ id: string(1), sync: bool(2) }),
  response: message({}),
})

/** Events of tasks and containers: the container's id is field 1; an exec's own id differs from it. */
export const taskEvent = message({
  containerId: string(1),
  id: string(2),
  exitStatus: int(4),
  exitedAt: nested(5, timestamp),
})
export const containerEvent = message({ id: string(1) })
