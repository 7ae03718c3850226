// Every subresource that has handlers, by resource; status and scale are there for every kind that declares them.
import type { ResourceRequest } from '../context.ts'
import { get } from '../handlers/get.ts'
import { patchUnder } from '../handlers/patch.ts'
import { statusRule, updateStatus } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import type { ServedResource } from '../resources.ts'

/** Handlers by verb. */
export type SubresourceHandlers = Readonly<Record<string, (call: ResourceRequest) => Promise<Outcome>>>

const status: SubresourceHandlers = {
  get,
  update: updateStatus,
  patch: (call) => patchUnder(call, statusRule(call)),
}

const custom: Readonly<Record<string, SubresourceHandlers>> = {}

export function subresourceOf(resource: ServedResource, name: string): SubresourceHandlers | undefined {
  const { kind } = resource
  if (name === 'status') return kind.subresources?.status === true ? status : undefined
  const id = `${kind.group}/${kind.plural}/${name}`
  return Object.hasOwn(custom, id) ? custom[id] : undefined
}
