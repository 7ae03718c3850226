// One real cluster for a file of scenarios, driven by an unchanged kubectl: what a user types, and what a user sees.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { Pod } from '../../src/api/core/pod.ts'
import { type Result, testCluster } from '../cli/cox.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { nginxArchive } from '../images/nginx.ts'
import { kubectlFile } from './binary.ts'

export interface Kubectl {
  /** Runs kubectl; never rejects for an exit code. */
  run(args: readonly string[], input?: string): Promise<Result>
  /** Standard output of a call that must succeed. */
  ok(args: readonly string[], input?: string): Promise<string>
  apply(manifest: string): Promise<string>
  pod(name: string): Promise<Pod>
  /** Waits until the pod is as asked. */
  podIs(name: string, check: (pod: Pod) => boolean, timeoutMs?: number): Promise<Pod>
  ready(name: string, timeoutMs?: number): Promise<Pod>
  /** "Reason: message" of the events about an object. */
  events(name: string): Promise<readonly string[]>
  /** Runs a shell line in a pod. */
  sh(pod: string, line: string, container?: string): Promise<string>
  readonly env: Readonly<Record<string, string>>
  remove(): Promise<void>
}

export function spawned(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input?: string,
): Promise<Result> {
  return new Promise((done, fail) => {
    const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: 'pipe' })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.stdin.on('error', () => child.stdin.destroy())
    child.on('error', fail)
    child.on('close', (code) => done({ code, stdout, stderr }))
    child.stdin.end(input ?? '')
  })
}

/** Starts a cluster with busybox and nginx loaded. */
export async function kubectlCluster(name: string): Promise<Kubectl> {
  const cluster = testCluster(name)
  const must = ({ code, stdout, stderr }: Result): string => {
    if (code !== 0) throw new Error(`exit code ${code}: ${stderr}${stdout}`)
    return stdout
  }
  must(await cluster.run(['up', '--detach', '--yes', '--listen', '127.0.0.1:0']))
  for (const archive of [busyboxArchive(), nginxArchive()])
    must(await cluster.run(['image', 'load', '-'], { input: await archive }))
  const env = { KUBECONFIG: join(cluster.dataDir, 'kubeconfig') }
  const run = (args: readonly string[], input?: string) => spawned(kubectlFile, args, env, input)
  const ok = async (args: readonly string[], input?: string) => must(await run(args, input))
  const pod = async (podName: string) => JSON.parse(await ok(['get', 'pod', podName, '-o', 'json'])) as Pod
  const podIs: Kubectl['podIs'] = async (podName, check, timeoutMs = 120_000) => {
    const end = Date.now() + timeoutMs
    for (;;) {
      const seen = await pod(podName)
      if (check(seen)) return seen
      if (Date.now() > end)
        throw new Error(`pod ${podName} is not as expected: ${JSON.stringify(seen.status, undefined, 1)}`)
      await new Promise((done) => setTimeout(done, 200))
    }
  }
  return {
    run,
    ok,
    env,
    // The marker keeps kubectl from taking a document in braces for JSON.
    apply: (manifest) => ok(['apply', '-f', '-'], `---\n${manifest}`),
    pod,
    podIs,
    ready: (podName, timeoutMs) => podIs(podName, isReady, timeoutMs),
    async events(object) {
      const list = JSON.parse(await ok(['get', 'events', '-A', '-o', 'json'])) as {
        items: { involvedObject: { name: string }; reason: string; message: string }[]
      }
      return list.items.filter((e) => e.involvedObject.name === object).map((e) => `${e.reason}: ${e.message}`)
    },
    sh: (podName, line, container) =>
      ok(['exec', podName, ...(container === undefined ? [] : ['-c', container]), '--', 'sh', '-c', line]),
    remove: () => cluster.remove(),
  }
}

export const isReady = (pod: Pod): boolean =>
  pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true
/** The one container's waiting reason. */
export const waitingReason = (pod: Pod): string | undefined => pod.status.containerStatuses?.[0]?.state?.waiting?.reason
export const restarts = (pod: Pod): number => pod.status.containerStatuses?.[0]?.restartCount ?? 0

/** Documents of a file beside this one, as text, by the name of their object. */
export function manifests(file: string): ReadonlyMap<string, string> {
  const text = readFileSync(new URL(`../manifests/${file}`, import.meta.url), 'utf8')
  const out = new Map<string, string>()
  for (const document of parseAllDocuments(text)) {
    const object = document.toJS() as { kind: string; metadata: { name: string } }
    out.set(
      out.has(object.metadata.name) ? `${object.kind}/${object.metadata.name}` : object.metadata.name,
      document.toString(),
    )
  }
  return out
}
