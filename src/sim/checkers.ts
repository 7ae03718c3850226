// What must never happen, looked for after every step of the clock: a revision that goes back, a watch that differs from a
// list, an acknowledged write that is gone, a pod bound twice, a container that runs twice, writers that quarrel for ever.
import type { Pod } from '../api/core/pod.ts'
import type { Informer } from '../client/informer.ts'
import type { Clock } from '../ports/clock.ts'
import type { Operation, Store, TxnResult } from '../store/store.ts'
import type { SimNode } from './sim-node.ts'

export interface Checkers {
  /** The store to give to the cluster: it remembers what it promised. */
  readonly store: Store
  /** What went wrong so far, one line each. */
  readonly violations: readonly string[]
  /** Looks at the present state; cheap, after every step. */
  step(): void
  /** Compares everything with the store; throws with all violations when there are any. */
  verify(): Promise<void>
  watchPods(informer: Informer<Pod>): void
  stop(): void
}

/** More writes than this while time stands still are a quarrel that would never end. */
const maxWritesAtOnce = 20_000

/** Wraps a store with checkers. `nodes` are asked what runs. */
export function startCheckers(inner: Store, clock: Clock, nodes: () => Iterable<SimNode>): Checkers {
  const violations: string[] = []
  const say = (text: string) => {
    if (!violations.includes(text)) violations.push(text)
  }
  const seen = new Map<string, number>()
  const deleted = new Map<string, number>()
  /** The last acknowledged write of a key, and whether it left something there. */
  const promised = new Map<string, { readonly revision: number; readonly there: boolean }>()
  const bound = new Map<string, string>()
  let lastRevision = inner.currentRevision()
  let watchRevision = lastRevision
  const watch = inner.watch('', {
    onEvents: (events, revision) => {
      if (revision <= watchRevision) say(`the watch went back from ${watchRevision} to ${revision}`)
      watchRevision = revision
      for (const event of events)
        if (event.type === 'put') seen.set(event.kv.key, event.kv.modRevision)
        else {
          seen.delete(event.key)
          deleted.set(event.key, event.revision)
        }
    },
    onError: (error) => say(`the watch ended: ${error.message}`),
  })
  let instantMs = -1
  let writes = 0
  /** Breaks an endless exchange of writes by refusing one, and says what the last ones were. */
  const countWrites = (operations: readonly Operation[]) => {
    writes = clock.monotonic() === instantMs ? writes + 1 : 0
    instantMs = clock.monotonic()
    if (writes < maxWritesAtOnce) return
    const last = operations.map((o) => (o.type === 'put' ? `${o.key} ${new TextDecoder().decode(o.value)}` : o.key))
    if (writes < maxWritesAtOnce + 4) say(`endless writes at ${instantMs} ms: ${last.join(', ')}`)
    else throw new Error('endless writes')
  }
  const store: Store = {
    currentRevision: () => inner.currentRevision(),
    compactedRevision: () => inner.compactedRevision(),
    latestRevision: () => inner.latestRevision(),
    get: (...args) => inner.get(...args),
    list: (...args) => inner.list(...args),
    count: (...args) => inner.count(...args),
    async txn(compares, operations): Promise<TxnResult> {
      countWrites(operations)
      const result = await inner.txn(compares, operations)
      if (!result.ok) return result
      for (const { key, type } of operations)
        if ((promised.get(key)?.revision ?? 0) < result.revision)
          promised.set(key, { revision: result.revision, there: type === 'put' })
      return result
    },
    watch: (...args) => inner.watch(...args),
    compact: (...args) => inner.compact(...args),
    grantLease: (...args) => inner.grantLease(...args),
    keepAlive: (...args) => inner.keepAlive(...args),
    revokeLease: (...args) => inner.revokeLease(...args),
    stats: () => inner.stats(),
    close: () => inner.close(),
  }
  const noteBinding = (pod: Pod) => {
    const { uid, namespace, name } = pod.metadata
    const { nodeName } = pod.spec
    if (nodeName === undefined || nodeName === '') return
    const before = bound.get(uid)
    if (before !== undefined && before !== nodeName)
      say(`pod ${namespace}/${name} was bound to ${before} and then to ${nodeName}`)
    bound.set(uid, nodeName)
  }
  return {
    store,
    violations,
    step() {
      const revision = inner.currentRevision()
      if (revision < lastRevision) say(`the revision went back from ${lastRevision} to ${revision}`)
      lastRevision = revision
      const running = new Map<string, string>()
      for (const { name: node, runtime } of nodes())
        for (const { podUid, name } of runtime.running()) {
          const key = `${podUid}/${name}`
          const other = running.get(key)
          if (other !== undefined) say(`container ${name} of pod ${podUid} runs twice: on ${other} and on ${node}`)
          running.set(key, node)
        }
    },
    async verify() {
      const listed = new Map((await inner.list('')).items.map((kv) => [kv.key, kv.modRevision]))
      for (const [key, revision] of listed)
        if (seen.has(key) && seen.get(key) !== revision) say(`${key} is at ${revision}, the watch saw ${seen.get(key)}`)
      for (const key of seen.keys()) if (!listed.has(key)) say(`the watch still has ${key}, the list does not`)
      for (const [key, { revision, there }] of promised) {
        const newest = listed.get(key) ?? deleted.get(key) ?? 0
        if (there && newest < revision)
          say(`the write of ${key} at ${revision} was acknowledged and is gone, ${newest} is there`)
        if (!there && listed.has(key) && newest < revision)
          say(`the deletion of ${key} at ${revision} was acknowledged, ${newest} is there`)
      }
      if (violations.length > 0) throw new Error(violations.join('\n'))
    },
    watchPods(informer) {
      informer.handle({ add: noteBinding, update: noteBinding })
    },
    stop: () => watch.close(),
  }
}
