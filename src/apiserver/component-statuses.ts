// GET of componentstatuses: whether the parts of this control plane work, found out when asked for. Deprecated upstream, and
// told so with each answer.
import { type ComponentStatus, componentStatuses } from '../api/core/component-status.ts'
import { notFound } from '../api/machinery/errors.ts'
import { freeze } from '../api/machinery/freeze.ts'
import { apiVersionOf } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { Component, ResourceRequest, ServerContext } from './context.ts'
import type { Outcome } from './responders/outcome.ts'

/** What is wrong with a part; undefined: nothing. */
type Check = (server: ServerContext) => Promise<string | undefined>
const runs =
  (part: Component): Check =>
  async (server) =>
    server.components.has(part) ? undefined : `no ${part} runs in this process`
const parts: Readonly<Record<string, Check>> = {
  scheduler: runs('scheduler'),
  'controller-manager': runs('controller-manager'),
  'etcd-0': (server) =>
    server.store.count('/registry/namespaces/').then(
      () => undefined,
      (error: unknown) => String(error),
    ),
}

async function statusOf(server: ServerContext, name: string, check: Check): Promise<ComponentStatus> {
  const problem = await check(server)
  return {
    kind: componentStatuses.kind,
    apiVersion: apiVersionOf(componentStatuses),
    metadata: { name },
    conditions: [
      problem === undefined
        ? { type: 'Healthy', status: 'True', message: 'ok' }
        : { type: 'Healthy', status: 'False', message: problem },
    ],
  } as unknown as ComponentStatus
}

export async function readComponentStatuses({ server, info, warnings }: ResourceRequest): Promise<Outcome> {
  warnings.push('v1 ComponentStatus is deprecated in v1.19+')
  if (info.name !== '') {
    const check = parts[info.name]
    if (check === undefined) throw notFound({ group: '', resource: 'componentstatuses' }, info.name)
    return { kind: 'unstored', status: 200, object: freeze(await statusOf(server, info.name, check)) }
  }
  const all = await Promise.all(Object.entries(parts).map(([name, check]) => statusOf(server, name, check)))
  return {
    kind: 'list',
    entries: [],
    objects: freeze(all) as unknown as readonly KubeObject[],
    revision: 0,
    continue: undefined,
    remaining: undefined,
  }
}
