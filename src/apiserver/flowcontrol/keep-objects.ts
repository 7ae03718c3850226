// Keeps the flow schemas and priority levels that every cluster has, says in each schema's status whether its level exists,
// and puts the objects in force whenever they change.
import {
  type FlowSchema,
  flowSchemas,
  type PriorityLevelConfiguration,
  priorityLevelConfigurations,
} from '../../api/flowcontrol/flow-control.ts'
import { equal } from '../../api/machinery/equal.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Client } from '../../client/client.ts'
import { createWorkQueue, type WorkQueue } from '../../client/work-queue.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { ServerContext } from '../context.ts'
import type { Extension } from '../extensions/extension.ts'
import type { Change, Collection } from '../storage/collection.ts'
import { autoUpdateSpec, type FlowObject, flowObjects } from './bootstrap-objects.ts'

const group = flowSchemas.group
const byKey = new Map(flowObjects.map((object) => [`${object.plural}/${object.name}`, object]))
type Stored = KubeObject & { readonly spec: object }

/** `client` acts as the server itself. */
export function flowObjectKeeper(server: ServerContext, client: Client): Extension {
  const served = [flowSchemas, priorityLevelConfigurations].every(({ plural }) =>
    server.resources.storage(group, plural),
  )
  return served ? keeperOf(server, client) : { start: async () => {}, stop: async () => {} }
}

function keeperOf(server: ServerContext, client: Client): Extension {
  const schemas = server.resources.required(group, flowSchemas.plural).collection
  const levels = server.resources.required(group, priorityLevelConfigurations.plural).collection
  const queue: WorkQueue<string> = createWorkQueue({
    clock: server.clock,
    parallel: 1,
    run: reconcile,
    onError: (key, error) => server.log.warn('a flow control object waits', { key, error: String(error) }),
  })
  const listening: (() => void)[] = []

  const find = (collection: Collection, name: string): Stored | undefined => {
    const entry = collection.find('', name)
    return entry === undefined ? undefined : (collection.object(entry) as Stored)
  }
  const refresh = (): void =>
    server.flowControl.configure(
      schemas.all('').map((entry) => schemas.object(entry) as unknown as FlowSchema),
      levels.all('').map((entry) => levels.object(entry) as unknown as PriorityLevelConfiguration),
    )

  async function reconcile(key: string): Promise<void> {
    const wanted = byKey.get(key)
    if (wanted !== undefined) await settle(wanted)
    if (key.startsWith(flowSchemas.plural)) await sayWhetherDangling(key.slice(flowSchemas.plural.length + 1))
  }

  /** Makes an object of ours what it is to be. */
  async function settle({ plural, kind, name, mandatory, spec }: FlowObject): Promise<void> {
    const resource = client.resource<KubeObject>(kind === 'FlowSchema' ? schemas.kind : levels.kind)
    const stored = find(plural === 'flowschemas' ? schemas : levels, name)
    try {
      if (stored === undefined) {
        const metadata = { name, annotations: { [autoUpdateSpec]: 'true' } }
        await resource.create({ metadata, spec } as Parameters<typeof resource.create>[0])
      } else if ((mandatory || stored.metadata.annotations?.[autoUpdateSpec] === 'true') && !equal(stored.spec, spec)) {
        await resource.update({ ...stored, spec } as KubeObject)
      }
    } catch (error) {
      // Somebody else wrote (another server of this cluster): the change that we are about to see decides anew.
      if (!isReason(error, 'AlreadyExists') && !isReason(error, 'Conflict')) throw error
    }
  }

  async function sayWhetherDangling(name: string): Promise<void> {
    const schema = find(schemas, name) as FlowSchema | undefined
    if (schema === undefined) return
    const level = schema.spec.priorityLevelConfiguration.name
    const missing = find(levels, level) === undefined
    const conditions = schema.status.conditions ?? []
    const before = conditions.find(({ type }) => type === 'Dangling')
    const status = missing ? 'True' : 'False'
    const message = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} ${missing ? 'but there is no such object' : 'and it exists'}`
    if (before?.status === status && before.message === message) return
    const condition = {
      type: 'Dangling',
      status,
      lastTransitionTime: rfc3339(server.clock.now()),
      reason: missing ? 'NotFound' : 'Found',
      message,
    }
    const others = conditions.filter(({ type }) => type !== 'Dangling')
    try {
      await client.resource(flowSchemas).updateStatus({ ...schema, status: { conditions: [...others, condition] } })
    } catch (error) {
      if (!isReason(error, 'Conflict') && !isReason(error, 'NotFound')) throw error
    }
  }

  function follow(collection: Collection): void {
    const { plural } = collection.kind
    const isLevel = collection === levels
    const changed = (changes: readonly Change[]): void => {
      refresh()
      for (const { entry, previous } of changes) {
        const name = (entry ?? previous)?.name ?? ''
        queue.add(`${plural}/${name}`)
        // Whether a level exists is said by the schemas that lead to it.
        if (isLevel && (entry === undefined || previous === undefined)) {
          for (const schema of schemas.all('')) queue.add(`${flowSchemas.plural}/${schema.name}`)
        }
      }
    }
    const reset = (): void => {
      void collection.ready().then(() => {
        refresh()
        for (const key of byKey.keys()) queue.add(key)
      })
    }
    listening.push(collection.listen({ changed, reset }))
  }

  return {
    async start() {
      await Promise.all([schemas.ready(), levels.ready()])
      await Promise.all(flowObjects.map(settle))
      refresh()
      follow(levels)
      follow(schemas)
      for (const { name } of schemas.all('')) queue.add(`${flowSchemas.plural}/${name}`)
    },
    async stop() {
      for (const stop of listening) stop()
      server.flowControl.close()
      await queue.stop()
    },
  }
}
