// ConfigMaps and Secrets that pods of this node name, each followed by a watch of its own while some pod needs it: a node
// may see no others. A change wakes the pods that name it.
import { configMaps, type ConfigMap } from '../api/core/config-map.ts'
import { secrets, type Secret } from '../api/core/secret.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { Client } from '../client/client.ts'
import { createInformer, type Informer } from '../client/informer.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { referencesOf } from './references.ts'
import { namespaceOf, type Pod } from './types.ts'
import type { ObjectSource, TrustBundleSelection } from './volumes/volume.ts'

export interface ObjectCacheOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** An object that this pod names has changed. */
  readonly onChange: (uid: string) => void
}

interface Followed<T extends KubeObject> {
  readonly informer: Informer<T>
  readonly pods: Set<string>
}

/** Objects of one kind. */
class Follower<T extends KubeObject> {
  readonly #kind: Kind<T>
  readonly #options: ObjectCacheOptions
  readonly #followed = new Map<string, Followed<T>>()
  constructor(kind: Kind<T>, options: ObjectCacheOptions) {
    this.#kind = kind
    this.#options = options
  }
  /** Says which objects a pod names now. */
  follow(uid: string, namespace: string, names: ReadonlySet<string>): void {
    const keys = new Set([...names].map((name) => `${namespace}/${name}`))
    for (const [key, followed] of this.#followed) if (!keys.has(key)) this.#drop(key, followed, uid)
    for (const name of names) this.#entry(namespace, name).pods.add(uid)
  }
  async get(namespace: string, name: string): Promise<T | undefined> {
    const { informer } = this.#entry(namespace, name)
    await informer.synced
    // An absence may be news that has not arrived yet: ask once more.
    return informer.get(name, namespace) ?? this.#options.client.resource(this.#kind).find(name, namespace)
  }
  stop(): void {
    for (const { informer } of this.#followed.values()) informer.stop()
    this.#followed.clear()
  }
  #entry(namespace: string, name: string): Followed<T> {
    const key = `${namespace}/${name}`
    const known = this.#followed.get(key)
    if (known !== undefined) return known
    const { client, clock, random, log, onChange } = this.#options
    const selection = { namespace, fieldSelector: `metadata.name=${name}` }
    const informer = createInformer({ client, kind: this.#kind, clock, random, log, selection })
    const followed: Followed<T> = { informer, pods: new Set() }
    this.#followed.set(key, followed)
    const tell = () => {
      for (const uid of followed.pods) onChange(uid)
    }
    informer.handle({
      add: (_, initial) => {
        if (!initial) tell()
      },
      update: tell,
      delete: tell,
    })
    return followed
  }
  #drop(key: string, followed: Followed<T>, uid: string): void {
    if (!followed.pods.delete(uid) || followed.pods.size > 0) return
    followed.informer.stop()
    this.#followed.delete(key)
  }
}

const nothing: ReadonlySet<string> = new Set()

export class ObjectCache implements ObjectSource {
  readonly #configMaps: Follower<ConfigMap>
  readonly #secrets: Follower<Secret>
  readonly #options: ObjectCacheOptions
  constructor(options: ObjectCacheOptions) {
    this.#options = options
    this.#configMaps = new Follower(configMaps, options)
    this.#secrets = new Follower(secrets, options)
  }
  follow(pod: Pod): void {
    const { configMaps, secrets } = referencesOf(pod)
    this.#configMaps.follow(pod.metadata.uid, namespaceOf(pod), configMaps)
    this.#secrets.follow(pod.metadata.uid, namespaceOf(pod), secrets)
  }
  forget(uid: string): void {
    this.#configMaps.follow(uid, '', nothing)
    this.#secrets.follow(uid, '', nothing)
  }
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#configMaps.get(namespace, name)
  }
  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#secrets.get(namespace, name)
  }
  async trustBundle(selection: TrustBundleSelection): Promise<string | undefined> {
    const path = '/apis/certificates.k8s.io/v1beta1/clustertrustbundles'
    const { name, signerName } = selection
    const { status, text } = await this.#options.client.raw(name === undefined ? path : `${path}/${name}`)
    if (status === 404) return undefined
    type Bundle = { readonly spec: { readonly signerName?: string; readonly trustBundle: string } }
    const body = JSON.parse(text) as Bundle & { readonly items?: readonly Bundle[] }
    const found = body.items === undefined ? [body] : body.items.filter((b) => b.spec.signerName === signerName)
    return found.length === 0 ? undefined : found.map((b) => b.spec.trustBundle.trimEnd()).join('\n')
  }
  stop(): void {
    this.#configMaps.stop()
    this.#secrets.stop()
  }
}
