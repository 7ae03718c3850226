// Several nodes on one machine: each in a network namespace of its own, joined by a bridge, with a data directory and a
// containerd of its own. The first runs `cox up`, the others `cox agent`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cox, type Result } from '../cli/cox.ts'
import { spawned } from '../kubectl/cluster.ts'

export interface Nodes {
  readonly names: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Runs kubectl; never rejects for an exit code. */
  run(args: readonly string[], input?: string): Promise<Result>
  /** Standard output of a call that must succeed. */
  ok(args: readonly string[], input?: string): Promise<string>
  /** cox with the data directory of a node, in its namespace. */
  cox(node: string, args: readonly string[]): Promise<Result>
  /** A shell line in a node's namespace. */
  shell(node: string, line: string): Promise<string>
  /** Cuts a node's link, or mends it. */
  link(node: string, state: 'up' | 'down'): Promise<void>
  /** Waits until `check` answers something. */
  until<T>(what: string, check: () => Promise<T | undefined | false>, timeoutMs?: number): Promise<T>
  remove(): Promise<void>
}

const must = ({ code, stdout, stderr }: Result): string => {
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}${stdout}`)
  return stdout
}
const root = async (line: string) => must(await spawned('sh', ['-c', line], {}))

/** Starts `count` nodes named n1, n2 ..., each with the images of these archives. */
export async function startNodes(count: number, images: Readonly<Record<string, Uint8Array>>): Promise<Nodes> {
  const folder = mkdtempSync(join(tmpdir(), 'cox-nodes-'))
  const tag = folder.slice(-6).toLowerCase()
  const bridge = `cxb${tag}`
  const names = Array.from({ length: count }, (_, i) => `n${i + 1}`)
  const octet = 1 + (process.pid % 250)
  const address = (node: string) => `10.99.${octet}.${names.indexOf(node) + 1}`
  const gateway = `10.99.${octet}.254`
  const namespaceOf = (node: string) => `cox-${tag}-${node}`
  const within = (node: string) => ['nsenter', `--net=/run/netns/${namespaceOf(node)}`]
  const deviceOf = (node: string) => `cx${tag}${node}`
  const coxIn = (node: string, args: readonly string[]) =>
    cox(args, { prefix: within(node), env: { COX_DATA_DIR: join(folder, node) } })

  await root(`ip link add ${bridge} type bridge; ip address add ${gateway}/24 dev ${bridge}; ip link set ${bridge} up`)
  for (const node of names)
    await root(`
      ip netns add ${namespaceOf(node)}
      ip link add ${deviceOf(node)} type veth peer name eth0 netns ${namespaceOf(node)}
      ip link set ${deviceOf(node)} master ${bridge} up
      ${within(node).join(' ')} sh -c '
        ip link set lo up; ip address add ${address(node)}/24 dev eth0; ip link set eth0 up
        ip route add default via ${gateway}'`)
  const [first = '', ...others] = names
  must(await coxIn(first, ['up', '--detach', '--yes', '--node-name', first]))
  const kubeconfig = join(folder, first, 'kubeconfig')
  const config = readFileSync(kubeconfig, 'utf8')
  writeFileSync(kubeconfig, config.replace('https://127.0.0.1:', `https://${address(first)}:`))
  const token = must(await coxIn(first, ['token', 'create'])).trim()
  const server = `https://${address(first)}:${readFileSync(join(folder, first, 'port'), 'utf8').trim()}`
  for (const node of others)
    must(await coxIn(node, ['agent', '--detach', '--yes', '--node-name', node, '--server', server, '--token', token]))
  for (const [name, archive] of Object.entries(images)) {
    const path = join(folder, `${name}.tar`)
    writeFileSync(path, archive)
    for (const node of names) must(await coxIn(node, ['image', 'load', path]))
  }
  const env = { KUBECONFIG: kubeconfig }
  const run = (args: readonly string[], input?: string) => spawned('kubectl', args, env, input)
  return {
    names,
    env,
    run,
    ok: async (args, input) => must(await run(args, input)),
    cox: coxIn,
    shell: async (node, line) => must(await spawned('nsenter', [...within(node).slice(1), 'sh', '-c', line], {})),
    async link(node, state) {
      await root(`ip link set ${deviceOf(node)} ${state}`)
    },
    async until(what, check, timeoutMs = 120_000) {
      const end = Date.now() + timeoutMs
      for (;;) {
        const answer = await check()
        if (answer !== undefined && answer !== false) return answer
        if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
        await new Promise((done) => setTimeout(done, 300))
      }
    },
    async remove() {
      for (const node of names.toReversed()) must(await coxIn(node, ['down']))
      for (const node of names) await root(`ip netns delete ${namespaceOf(node)}`)
      await root(`ip link delete ${bridge}`)
      rmSync(folder, { recursive: true })
    },
  }
}
