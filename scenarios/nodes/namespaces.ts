// Several nodes on one machine: each in a network namespace of its own, joined by a bridge or by a router, with a data
// directory and a containerd of its own. The first runs `cox up`, the others `cox agent`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cox, type Result } from '../cli/cox.ts'
import { spawned } from '../kubectl/cluster.ts'
import { kubectlFile } from '../kubectl/binary.ts'

export interface Nodes {
  readonly names: readonly string[]
  /** Holds the nodes' data directories. */
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  /** Runs kubectl; never rejects for an exit code. */
  run(args: readonly string[], input?: string): Promise<Result>
  /** Standard output of a call that must succeed. */
  ok(args: readonly string[], input?: string): Promise<string>
  /** cox with the data directory of a node, in its namespace. */
  cox(node: string, args: readonly string[]): Promise<Result>
  /** A shell line in a node's namespace. */
  shell(node: string, line: string): Promise<string>
  /** A shell line on a machine of the same link that is no node. */
  neighbour(line: string): Promise<string>
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

export interface NodesOptions {
  /** Each node has a link of its own to a router that knows no pods; else all share one link. */
  readonly apart?: boolean
  /** More flags of the first node's `cox up`. */
  readonly flags?: readonly string[]
}
interface Place {
  readonly tag: string
  readonly names: readonly string[]
  readonly octet: number
  readonly namespaceOf: (node: string) => string
  readonly deviceOf: (node: string) => string
}
interface Links {
  readonly address: (node: string) => string
  /** The script that joins the node's namespace, which is there. */
  readonly join: (node: string) => string
  readonly begin: string
  readonly end: string
}
const neighbourName = 'nx'
function bridged({ tag, names, octet, namespaceOf, deviceOf }: Place): Links {
  const bridge = `cxb${tag}`
  const gateway = `10.99.${octet}.254`
  const address = (node: string) => `10.99.${octet}.${node === neighbourName ? 200 : names.indexOf(node) + 1}`
  return {
    address,
    begin: `ip link add ${bridge} type bridge; ip address add ${gateway}/24 dev ${bridge}; ip link set ${bridge} up`,
    join: (node) => `
      ip link add ${deviceOf(node)} type veth peer name eth0 netns ${namespaceOf(node)}
      ip link set ${deviceOf(node)} master ${bridge} up
      ip -n ${namespaceOf(node)} address add ${address(node)}/24 dev eth0
      ip -n ${namespaceOf(node)} link set eth0 up
      ip -n ${namespaceOf(node)} route add default via ${gateway}`,
    end: `ip link delete ${bridge}`,
  }
}
/** A namespace is the router; 16 addresses for each link, the last 16 for ours. */
function routed({ tag, names, octet, namespaceOf, deviceOf }: Place): Links {
  const router = namespaceOf('router')
  const link = (i: number) => [`10.99.${octet}.${16 * i + 1}`, `10.99.${octet}.${16 * i + 2}`] as const
  const [gateway, own] = link(15)
  return {
    address: (node) => link(names.indexOf(node))[1],
    begin: `
      ip netns add ${router}; ip netns exec ${router} sysctl -q -w net.ipv4.ip_forward=1
      ip link add cxr${tag} type veth peer name root netns ${router}
      ip address add ${own}/28 dev cxr${tag}; ip link set cxr${tag} up; ip route add 10.99.${octet}.0/24 via ${gateway} dev cxr${tag}
      ip -n ${router} address add ${gateway}/28 dev root; ip -n ${router} link set root up`,
    join: (node) => {
      const [routers, nodes] = link(names.indexOf(node))
      const there = `ip -n ${namespaceOf(node)}`
      return `
        ip -n ${router} link add ${deviceOf(node)} type veth peer name eth0 netns ${namespaceOf(node)}
        ip -n ${router} address add ${routers}/28 dev ${deviceOf(node)}; ip -n ${router} link set ${deviceOf(node)} up
        ${there} address add ${nodes}/28 dev eth0; ${there} link set eth0 up; ${there} route add default via ${routers}`
    },
    end: `ip netns delete ${router}`,
  }
}

/** Starts `count` nodes named n1, n2 ..., each with the images of these archives. */
export async function startNodes(
  count: number,
  images: Readonly<Record<string, Uint8Array>>,
  { apart = false, flags = [] }: NodesOptions = {},
): Promise<Nodes> {
  const folder = mkdtempSync(join(tmpdir(), 'cox-nodes-'))
  const tag = folder.slice(-6).toLowerCase()
  const names = Array.from({ length: count }, (_, i) => `n${i + 1}`)
  const namespaceOf = (node: string) => `cox-${tag}-${node}`
  const within = (node: string) => ['nsenter', `--net=/run/netns/${namespaceOf(node)}`]
  const deviceOf = (node: string) => `cx${tag}${node}`
  const place = { tag, names, octet: 1 + (process.pid % 250), namespaceOf, deviceOf }
  const links = apart ? routed(place) : bridged(place)
  const { address } = links
  const coxIn = (node: string, args: readonly string[]) =>
    cox(args, { prefix: within(node), env: { COX_DATA_DIR: join(folder, node) } })

  await root(links.begin)
  const machines = apart ? names : [...names, neighbourName]
  for (const node of machines)
    await root(`ip netns add ${namespaceOf(node)}; ip -n ${namespaceOf(node)} link set lo up; ${links.join(node)}`)
  const [first = '', ...others] = names
  must(await coxIn(first, ['up', '--detach', '--yes', '--node-name', first, ...flags]))
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
  const shell = async (node: string, line: string) =>
    must(await spawned('nsenter', [...within(node).slice(1), 'sh', '-c', line], {}))
  const run = (args: readonly string[], input?: string) => spawned(kubectlFile, args, env, input)
  return {
    names,
    folder,
    env,
    run,
    ok: async (args, input) => must(await run(args, input)),
    cox: coxIn,
    shell,
    neighbour: (line) => shell(neighbourName, line),
    async link(node, state) {
      const where = apart ? `-n ${namespaceOf('router')} ` : ''
      await root(`ip ${where}link set ${deviceOf(node)} ${state}`)
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
      for (const node of machines) await root(`ip netns delete ${namespaceOf(node)}`)
      await root(links.end)
      rmSync(folder, { recursive: true })
    },
  }
}
