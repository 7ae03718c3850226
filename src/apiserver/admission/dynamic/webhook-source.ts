// The webhooks of all configurations, in the order in which they are called: by the configuration's name, then as listed.
// Read from this server's own collection, so that a configuration is in force when its write has been answered.
import { compileExpression } from '../../../api/admissionregistration/expressions.ts'
import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from '../../../api/admissionregistration/webhooks.ts'
import { bool } from '../../../api/machinery/cel/types.ts'
import type { ServerContext } from '../../context.ts'
import type { Collection } from '../../storage/collection.ts'
import type { Condition } from './evaluation.ts'
import type { MatchCriteria } from './matching.ts'

export interface Webhook<W = MutatingWebhook | ValidatingWebhook> {
  readonly id: string
  readonly configuration: string
  readonly webhook: W
  readonly criteria: MatchCriteria
  readonly conditions: readonly Condition[]
}
type Configuration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration

/** What is made of all objects of a collection, made again when one of them changes. */
export class Derived<T> {
  private readonly known = new WeakMap<Collection, { readonly at: number; readonly value: T }>()
  private readonly plural: string
  private readonly make: (collection: Collection) => T
  constructor(plural: string, make: (collection: Collection) => T) {
    this.plural = plural
    this.make = make
  }
  /** Undefined where there are no objects. At once, unless the collection is not loaded yet. */
  of(server: ServerContext): T | undefined | Promise<T | undefined> {
    const collection = server.resources.storage('admissionregistration.k8s.io', this.plural)?.collection
    if (collection === undefined) return undefined
    if (!collection.loaded) return collection.ready().then(() => this.read(collection))
    return collection.size === 0 ? undefined : this.read(collection)
  }
  private read(collection: Collection): T | undefined {
    if (collection.size === 0) return undefined
    const known = this.known.get(collection)
    if (known !== undefined && known.at === collection.changedAt) return known.value
    const value = this.make(collection)
    this.known.set(collection, { at: collection.changedAt, value })
    return value
  }
}

const webhooksOf = <W>(plural: string) =>
  new Derived<readonly Webhook<W>[]>(plural, (collection) =>
    collection.all('').flatMap((entry) => {
      const { metadata, webhooks = [] } = collection.object(entry) as unknown as Configuration
      return webhooks.map((webhook, i) => compiled<W>(metadata.name, webhook as unknown as W & AnyWebhook, i))
    }),
  )
type AnyWebhook = MutatingWebhook | ValidatingWebhook

function compiled<W>(configuration: string, webhook: W & AnyWebhook, index: number): Webhook<W> {
  return {
    id: `${configuration}/${webhook.name}/${index}`,
    configuration,
    webhook,
    criteria: {
      rules: webhook.rules ?? [],
      matchPolicy: webhook.matchPolicy,
      namespaceSelector: webhook.namespaceSelector,
      objectSelector: webhook.objectSelector,
    },
    conditions: (webhook.matchConditions ?? []).map(({ name, expression }) => {
      const program = compileExpression(expression, {}, bool)
      return { name, program: program.ok ? program.program : `compilation error: ${program.error}` }
    }),
  }
}

export const mutatingWebhooks = webhooksOf<MutatingWebhook>('mutatingwebhookconfigurations')
export const validatingWebhooks = webhooksOf<ValidatingWebhook>('validatingwebhookconfigurations')
