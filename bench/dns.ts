// How many questions a second the cluster's DNS answers over UDP, and how long they wait. A process of its own asks, with a
// fixed number of questions under way, or so many a second while no more than that number are (a wait then begins when the
// question was due). node bench/run.mjs dns [SERVICES] [SECONDS] [UNDER_WAY] [RATE]
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

const [first = '1000', seconds = '5', underWay = '32', rate = '0'] = process.argv.slice(2)
const address = '127.0.53.53'
const warmMs = 1000
const print = (text: string) => process.stdout.write(`${text}\n`)
const nameOf = (i: number) => `s${i}.default.svc.cluster.local`

/** The asker: prints one line. With `perSecond` questions go out when they are due, else one for each answer. */
function ask(count: number, ms: number, width: number, perSecond: number): void {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: 1 << 20,
    lookup: (host, _options, found) => found(null, host, 4),
  })
  const questions = Array.from({ length: count }, (_, i) =>
    encode({ type: 'query', id: 0, flags: 256, questions: [{ type: 'A', name: nameOf(i), class: 'IN' }] }),
  )
  const dueAt = new Float64Array(65_536)
  const waits: number[] = []
  let [sent, answered, wrong] = [0, 0, 0]
  const send = (id: number, due: number) => {
    const query = Buffer.from(questions[sent++ % count] ?? '')
    query.writeUInt16BE(id, 0)
    dueAt[id] = due
    socket.send(query, 53, address)
  }
  // The compilers of both ends are done after a second.
  const begun = performance.now() + warmMs
  const end = begun + ms
  const cpu = process.cpuUsage()
  socket.on('message', (packet) => {
    const now = performance.now()
    const id = packet.readUInt16BE(0)
    const due = dueAt[id] ?? 0
    if (due >= begun) waits.push(now - due)
    if (answered++ === 0 && decode(packet).answers?.[0]?.type !== 'A') wrong++
    if ((packet[3] ?? 0) & 15 || packet.readUInt16BE(6) !== 1) wrong++
    if (perSecond === 0 && now < end) send(id, now)
  })
  const finish = () => {
    socket.close()
    waits.sort((a, b) => a - b)
    const at = (part: number) => waits[Math.floor((waits.length - 1) * part)]?.toFixed(2)
    const { user, system } = process.cpuUsage(cpu)
    print(
      `${Math.round((waits.length / ms) * 1000)} answers/s, ${wrong} wrong, ${sent - answered} lost; ` +
        `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; the asker: ${((user + system) / answered).toFixed(1)} us CPU each`,
    )
    process.exit(0)
  }
  // The last answers are waited for.
  setTimeout(finish, warmMs + ms + 500)
  if (perSecond === 0) for (let id = 0; id < width; id++) send(id, performance.now())
  let [from, before] = [performance.now(), 0]
  const pace = () => {
    const now = Math.min(performance.now(), end)
    // What the compilers have put off is forgotten.
    if (from < begun && now >= begun) [from, before] = [begun, sent]
    for (let due = from; (due = from + ((sent - before) / perSecond) * 1000) < now && sent - answered < width; )
      send(sent & 65_535, due)
    // Timers of a millisecond would send in bursts, whose last question waits for all before it.
    if (now < end) setImmediate(pace)
  }
  if (perSecond > 0) pace()
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
  const asker = spawn(process.execPath, [process.argv[1] ?? '', 'ask', first, seconds, underWay, rate], {
    stdio: 'pipe',
  })
  let said = ''
  asker.stdout.on('data', (text: Buffer) => (said += String(text)))
  await new Promise((done) => asker.once('close', done))
  const { user, system } = process.cpuUsage(began)
  print(
    `${count} services, ${rate === '0' ? `${underWay} questions under way` : `${rate} questions a second`}: ${said.trim()}`,
  )
  print(`the server: ${((user + system) / 1e6).toFixed(2)} s CPU in ${Number(seconds) + warmMs / 1000} s`)
  await dns.stop()
  process.exit(0)
}

if (first === 'ask') {
  const [count = 0, s = 0, width = 0, perSecond = 0] = process.argv.slice(3).map(Number)
  ask(count, s * 1000, width, perSecond)
} else await serve()
