// Pods that this node runs by itself: manifests in a folder or at a URL. The API sees each through a mirror pod, whose
// deletion does not stop it; taking the manifest away does.
import { setPodDefaults } from '../api/core/pod-defaults.ts'
import { type Pod, pods } from '../api/core/pod.ts'
import { decode } from '../api/machinery/decode.ts'
import { applyDefaults } from '../api/machinery/defaults.ts'
import { freeze } from '../api/machinery/freeze.ts'
import { parseYaml } from '../api/machinery/parse.ts'
import type { Draft, Json, JsonObject } from '../api/machinery/schema.ts'
import { createSettleLoop } from '../client/settle-loop.ts'
import { every, rfc3339, type Timer } from '../ports/clock.ts'
import type { KubeletContext } from './context.ts'
import { referencesOf } from './references.ts'

export const hashAnnotation = 'kubernetes.io/config.hash'
export const mirrorAnnotation = 'kubernetes.io/config.mirror'
const sourceAnnotation = 'kubernetes.io/config.source'
const seenAnnotation = 'kubernetes.io/config.seen'

export const isStaticPod = (pod: Pod): boolean => {
  const source = pod.metadata.annotations?.[sourceAnnotation]
  return source === 'file' || source === 'http'
}
export const isMirrorPod = (pod: Pod): boolean => pod.metadata.annotations?.[mirrorAnnotation] !== undefined

/** 128 bits of FNV in four lanes: names a manifest, protects nothing. */
function fingerprint(text: string): string {
  const lanes = [0x811c9dc5, 0x01000193, 0x9e3779b9, 0x85ebca6b]
  for (let i = 0; i < text.length; i++)
    for (let lane = 0; lane < lanes.length; lane++)
      lanes[lane] = Math.imul((lanes[lane] ?? 0) ^ (text.charCodeAt(i) + lane * 0x9e37), 0x01000193) >>> 0
  return lanes.map((lane) => lane.toString(16).padStart(8, '0')).join('')
}

export interface ManifestOrigin {
  readonly source: 'file' | 'http'
  /** Path or URL: part of the pod's identity. */
  readonly where: string
  readonly nodeName: string
  readonly nowMs: number
}

/** The pod that a manifest means on this node. Throws with what is wrong with it. */
export const staticPod = (text: string, origin: ManifestOrigin): Pod =>
  podOf(parseYaml(text, { duplicates: false }).value, origin)

/** The pods of a manifest that is a Pod or a PodList. Throws with what is wrong with it. */
export function staticPods(text: string, origin: ManifestOrigin): readonly Pod[] {
  const { value } = parseYaml(text, { duplicates: false })
  const isList = typeof value === 'object' && value !== null && !Array.isArray(value) && 'items' in value
  if (!isList) return [podOf(value, origin)]
  const { kind, items } = value as JsonObject
  if (kind !== 'PodList' || !Array.isArray(items)) throw new Error('expected a Pod or a PodList')
  return (items as readonly JsonObject[]).map((item) => podOf({ apiVersion: 'v1', kind: 'Pod', ...item }, origin))
}

function podOf(manifest: Json, origin: ManifestOrigin): Pod {
  const { value } = decode<Draft<Pod>>(pods.schema, manifest)
  const draft = value
  if (draft.kind !== 'Pod') throw new Error(`expected a Pod, found ${draft.kind || 'nothing'}`)
  applyDefaults(pods.schema, draft)
  setPodDefaults(draft)
  const { source, where, nodeName, nowMs } = origin
  const hash = fingerprint(`${nodeName}\n${where}\n${JSON.stringify(manifest)}`)
  const { metadata, spec } = draft
  metadata.uid = hash
  metadata.name = `${metadata.name}-${nodeName.toLowerCase()}`
  metadata.namespace ??= 'default'
  metadata.resourceVersion = '0'
  metadata.creationTimestamp = rfc3339(nowMs)
  metadata.annotations = {
    ...metadata.annotations,
    [hashAnnotation]: hash,
    [sourceAnnotation]: source,
    [seenAnnotation]: rfc3339(nowMs),
  }
  spec.nodeName = nodeName
  spec.tolerations = [...(spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }]
  draft.status = { phase: 'Pending' }
  const pod = freeze(draft) as unknown as Pod
  const { configMaps, secrets } = referencesOf(pod)
  if (configMaps.size + secrets.size > 0 || pod.spec.serviceAccountName)
    throw new Error('static pods may not reference ConfigMaps, Secrets or a service account')
  return pod
}

export interface StaticPodSink {
  /** All static pods of one source as they are now. */
  set(source: 'file' | 'http', pods: readonly Pod[]): void
}

export interface Following {
  /** Resolves when every source has been read once: only then is it known which pods nobody wants. */
  readonly ready: Promise<void>
  stop(): void
}
/** Follows the manifests. */
export function followStaticPods(context: KubeletContext, sink: StaticPodSink): Following {
  const { staticPodPath, staticPodUrl } = context.config
  const stops: (() => void)[] = []
  const read: Promise<void>[] = []
  const follow = (start: (ready: () => void) => () => void) =>
    read.push(new Promise((ready) => stops.push(start(ready))))
  if (staticPodPath !== undefined) follow((ready) => followFolder(context, staticPodPath, sink, ready))
  if (staticPodUrl !== undefined) follow((ready) => followUrl(context, staticPodUrl, sink, ready))
  return {
    ready: Promise.all(read).then(() => {}),
    stop() {
      for (const stop of stops) stop()
    },
  }
}

const folderRelistMs = 20_000

function followFolder(context: KubeletContext, path: string, sink: StaticPodSink, ready: () => void): () => void {
  const { disk, clock, log, nodeName } = context
  /** Manifests by file: one that did not change stays the same pod. */
  let known = new Map<string, { readonly text: string; readonly pod: Pod | undefined }>()
  const readAll = async () => {
    const found: typeof known = new Map()
    for (const { name, type } of (await disk.readdir(path)) ?? []) {
      if (name.startsWith('.') || type === 'directory') continue
      const bytes = await disk.readFile(`${path}/${name}`)
      if (bytes === undefined) continue
      const text = new TextDecoder().decode(bytes)
      const before = known.get(name)
      found.set(name, before?.text === text ? before : { text, pod: read(`${path}/${name}`, text) })
    }
    known = found
    sink.set(
      'file',
      [...known.values()].flatMap(({ pod }) => pod ?? []),
    )
    ready()
  }
  /** Boundary: a manifest that is wrong is told of and left out. */
  const read = (where: string, text: string): Pod | undefined => {
    try {
      return staticPod(text, { source: 'file', where, nodeName, nowMs: clock.now() })
    } catch (error) {
      log.error('cannot use a static pod manifest', { path: where, error: String(error) })
      return undefined
    }
  }
  const loop = createSettleLoop(clock, folderRelistMs, readAll, (error) =>
    log.warn('cannot read static pods', { path, error: String(error) }),
  )
  let watch: { close(): void } | undefined
  let stopped = false
  const begin = async () => {
    await disk.mkdir(path)
    if (stopped) return
    watch = disk.watch(path, loop.poke)
    loop.poke()
  }
  // Boundary: without the folder there are no static pods; the relist goes on looking.
  begin().catch((error: unknown) => log.warn('cannot follow static pods', { path, error: String(error) }))
  const relist: Timer = every(clock, folderRelistMs, loop.poke)
  return () => {
    stopped = true
    watch?.close()
    relist.cancel()
    void loop.stop()
  }
}

function followUrl(context: KubeletContext, url: string, sink: StaticPodSink, ready: () => void): () => void {
  const { prober, clock, log, nodeName, config } = context
  const { protocol, hostname, port, pathname, search } = new URL(url)
  const https = protocol === 'https:'
  let last = ''
  const poll = async () => {
    const answer = await prober.httpGet({
      scheme: https ? 'HTTPS' : 'HTTP',
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (https ? 443 : 80) : Number(port),
      path: `${pathname}${search}`,
      headers: [{ name: 'User-Agent', value: `kubelet/${config.version}` }, ...config.staticPodUrlHeaders],
      timeoutMs: 10_000,
    })
    if (!answer.ok || answer.status !== 200) {
      log.warn('cannot fetch static pods', { url, answer: answer.ok ? String(answer.status) : answer.message })
      return
    }
    if (answer.body === last) return
    last = answer.body
    try {
      sink.set('http', staticPods(answer.body, { source: 'http', where: url, nodeName, nowMs: clock.now() }))
      ready()
    } catch (error) {
      // Boundary: a manifest that is wrong is told of; what ran before runs on.
      log.error('cannot use a static pod manifest', { url, error: String(error) })
    }
  }
  void poll()
  const timer = every(clock, config.staticPodUrlPeriodMs, poll)
  return () => timer.cancel()
}
