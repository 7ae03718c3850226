// TCP connections a second (connect, one byte each way, close) from a pod to another directly and through a cluster IP among
// many services: three network namespaces, the rules in the middle one. Both are asked in short turns and go before the
// machine's other work, which would be most of what is measured. As root: node bench/run.mjs connection-rate [SERVICES] [ENDPOINTS] [TURNS]
import { execFileSync, spawn } from 'node:child_process'
import { nftablesDataplane } from '../src/host/nftables/dataplane.ts'
import { createShell } from '../src/host/shell.ts'
import type { ServiceRule } from '../src/ports/dataplane.ts'
import { silentLog as log } from '../src/ports/log.ts'

const [serviceCount = 5000, endpointCount = 50_000, turns = 20] = process.argv.slice(2).map(Number)
const turnMs = 250
const perService = endpointCount / serviceCount
const id = `coxrate${process.pid}`
const [node, client, server] = [`${id}n`, `${id}c`, `${id}s`]
const sh = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' })
const print = (text: string) => process.stdout.write(`${text}\n`)

// The server closes first, as TIME_WAIT at the client would make its ports rare and the search for one long.
// Perl, which costs less for a connection than the connection does: Node would be most of what is measured.
// Each way has a server of its own: what the other way has left in TIME_WAIT would refuse a first packet now and then.
const serving = (
  port: number,
) => `use Socket; $| = 1; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(S, sockaddr_in(${port}, INADDR_ANY)) or die; listen(S, 4096); print "up\\n";
  while (accept(C, S)) { sysread(C, $b, 1); syswrite(C, "y"); close(C) }`
const asking = `use Socket; use Time::HiRes "time"; $| = 1;
  while (<STDIN>) { my ($host, $port, $ms) = split; my $to = sockaddr_in($port, inet_aton($host)); my ($n, $start) = (0, time);
    while (time - $start < $ms / 1000) { socket(C, PF_INET, SOCK_STREAM, 0); connect(C, $to) or die "connect: $!";
      syswrite(C, "x"); sysread(C, $b, 1) == 1 or die "read: $!"; sysread(C, $b, 1); close(C); $n++ }
    printf "%.1f\\n", $n / (time - $start) }`
const perl = (netns: string, script: string) =>
  spawn('chrt', ['-f', '10', 'ip', 'netns', 'exec', netns, 'perl', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })

const octets = (n: number) => `${n >> 8}.${n & 255}`
const endpointsOf = (i: number) =>
  i === serviceCount >> 1
    ? [{ ip: '10.66.1.2', port: 8081, local: true }]
    : Array.from({ length: perService }, (_, e) => ({ ip: `10.${70 + e}.${octets(i)}`, port: 8080, local: false }))
const rules = Array.from(
  { length: serviceCount },
  (_, i): ServiceRule => ({
    key: `default/s${i}:http`,
    family: 4,
    protocol: 'TCP',
    clusterIP: `10.200.${octets(i)}`,
    port: 80,
    nodePort: undefined,
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    affinitySeconds: undefined,
    internalEndpoints: endpointsOf(i),
    externalEndpoints: endpointsOf(i),
    dropInternal: false,
    dropExternal: false,
    keepClientAddress: false,
  }),
)

sh(`ip netns add ${node}; ip -n ${node} link set lo up; ip netns exec ${node} sysctl -qw net.ipv4.ip_forward=1`)
for (const [i, pod] of [client, server].entries())
  sh(`ip netns add ${pod}; ip -n ${pod} link set lo up
    ip link add ${id}${i} netns ${node} type veth peer name eth0 netns ${pod}
    ip -n ${node} addr add 10.66.${i}.1/24 dev ${id}${i}; ip -n ${node} link set ${id}${i} up
    ip -n ${pod} addr add 10.66.${i}.2/24 dev eth0; ip -n ${pod} link set eth0 up; ip -n ${pod} route add default via 10.66.${i}.1`)
const shell = createShell(1)
const servers = [8080, 8081].map((port) => perl(server, serving(port)))
const asker = perl(client, asking)
const line = (child: typeof asker) =>
  new Promise<string>((done) => child.stdout.once('data', (text: Buffer) => done(text.toString().trim())))
const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0
try {
  await Promise.all(servers.map(line))
  await nftablesDataplane({ table: 'cox_bench', log, shell, netns: node }).apply({
    podCidrs: ['10.64.0.0/10'],
    serviceCidrs: ['10.200.0.0/16'],
    ownAddresses: [],
    nodePortAddresses: [],
    announcedAddresses: [],
    services: rules,
    policies: [],
  })
  // Flows that have ended leave the connection table at once: it would be full of them after some seconds.
  sh(`ip netns exec ${node} sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_time_wait=1`)
  const ways = { direct: '10.66.1.2 8080', cluster: `10.200.${octets(serviceCount >> 1)} 80` }
  const rates: Record<keyof typeof ways, number[]> = { direct: [], cluster: [] }
  const ask = async (way: keyof typeof ways) => {
    asker.stdin.write(`${ways[way]} ${turnMs}\n`)
    rates[way].push(Number(await line(asker)))
  }
  for (let turn = 0; turn < turns; turn++)
    for (const way of turn % 2 === 0 ? (['direct', 'cluster'] as const) : (['cluster', 'direct'] as const))
      await ask(way)
  const ratio = median(rates.cluster.map((rate, i) => rate / (rates.direct[i] ?? 1)))
  print(
    `${serviceCount} services, ${endpointCount} endpoints; connections a second, one after the other, ${turns} turns:`,
  )
  print(
    `direct ${median(rates.direct).toFixed(0)}, through a cluster IP ${median(rates.cluster).toFixed(0)}; ratio ${ratio.toFixed(3)}`,
  )
} finally {
  for (const child of [...servers, asker]) child.kill('SIGKILL')
  shell.close()
  for (const netns of [node, client, server]) sh(`ip netns del ${netns}`)
}
process.exit(0)
