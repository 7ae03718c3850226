// How many questions a second the cluster's DNS answers over UDP, and how long they wait. A process of its own asks, with a
// fixed number of questions under way. node bench/run.mjs dns [SERVICES] [SECONDS] [UNDER_WAY]
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { decode, encode } from 'dns-packet'
import { builtinKinds } from '../src/api/kinds.ts'
import { services } from '../src/api/core/service.ts'
import { createApiServer } from '../src/apiserver/server.ts'
import { testIdentity } from '../src/apiserver/testing/server.ts'
import { createClient } from '../src/client/api-client.ts'
import { createInformerFactory } from '../src/client/informer.ts'
import { startDns } from '../src/dns/dns.ts'
import { hostDnsSockets } from '../src/host/dns-sockets.ts'
import { systemClock as clock, systemRandom as random } from '../src/host/system.ts'
import { silentLog as log } from '../src/ports/log.ts'
import { openMemoryStore } from '../src/store/memory.ts'

const [first = '1000', seconds = '5', underWay = '32'] = process.argv.slice(2)
const address = '127.0.53.53'
const print = (text: string) => process.stdout.write(`${text}\n`)
const nameOf = (i: number) => `s${i}.default.svc.cluster.local`

/** The asker: prints one line. */
function ask(count: number, ms: number, width: number): void {
  const socket = createSocket('udp4')
  const questions = Array.from({ length: count }, (_, i) =>
    encode({ type: 'query', id: 0, flags: 256, questions: [{ type: 'A', name: nameOf(i), class: 'IN' }] }),
  )
  const sentAt = new Float64Array(65_536)
  const waits: number[] = []
  let [next, wrong] = [0, 0]
  const send = (id: number) => {
    const query = Buffer.from(questions[next++ % count] ?? '')
    query.writeUInt16BE(id, 0)
    sentAt[id] = performance.now()
    socket.send(query, 53, address)
  }
  const begun = performance.now()
  const cpu = process.cpuUsage()
  socket.on('message', (packet) => {
    const id = packet.readUInt16BE(0)
    waits.push(performance.now() - (sentAt[id] ?? 0))
    if (waits.length === 1 && decode(packet).answers?.[0]?.type !== 'A') wrong++
    if ((packet[3] ?? 0) & 15 || packet.readUInt16BE(6) !== 1) wrong++
    if (performance.now() - begun < ms) return send(id)
    socket.close()
    waits.sort((a, b) => a - b)
    const at = (part: number) => waits[Math.floor((waits.length - 1) * part)]?.toFixed(2)
    const rate = Math.round((waits.length / (performance.now() - begun)) * 1000)
    const { user, system } = process.cpuUsage(cpu)
    const own = ((user + system) / waits.length).toFixed(1)
    print(`${rate} answers/s, ${wrong} wrong; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; the asker: ${own} us CPU each`)
    process.exit(0)
  })
  for (let id = 0; id < width; id++) send(id)
}

async function serve(): Promise<void> {
  const count = Number(first)
  const api = await createApiServer({
    store: openMemoryStore({ clock }),
    kinds: builtinKinds,
    clock,
    random,
    log,
    identity: testIdentity(),
    nodes: { connect: () => Promise.reject(new Error('no nodes')) },
    settings: { serviceCidrs: ['10.96.0.0/12'], advertiseAddress: '192.0.2.1' },
  })
  const client = createClient(api.transport({ name: 'admin', groups: ['system:masters'] }))
  for (let i = 0; i < count; i++)
    await client
      .resource(services)
      .create({ metadata: { name: `s${i}`, namespace: 'default' }, spec: { ports: [{ port: 80 }] } } as never)
  const informers = createInformerFactory({ client, clock, random, log, bookmarks: false })
  const dns = startDns({ informers, sockets: hostDnsSockets, clock, random, log, addresses: [address] })
  await dns.ready
  const began = process.cpuUsage()
  const asker = spawn(process.execPath, [process.argv[1] ?? '', 'ask', first, seconds, underWay], { stdio: 'pipe' })
  let said = ''
  asker.stdout.on('data', (text: Buffer) => (said += String(text)))
  await new Promise((done) => asker.once('close', done))
  const { user, system } = process.cpuUsage(began)
  print(`${count} services, ${underWay} questions under way: ${said.trim()}`)
  print(`the server: ${((user + system) / 1e6).toFixed(2)} s CPU in ${seconds} s`)
  await dns.stop()
  process.exit(0)
}

if (first === 'ask') ask(Number(process.argv[3]), Number(process.argv[4]) * 1000, Number(process.argv[5]))
else await serve()
