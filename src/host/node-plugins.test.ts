// A driver as others write them, over real sockets: it registers, is called, leaves and comes back.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../ports/log.ts'
import type { NodePlugin } from '../ports/node-plugins.ts'
import { createNodePlugins, driverApi, registrationApi } from './node-plugins.ts'
import { systemClock } from './system.ts'
import { frame } from './wire/grpc.ts'
import { type GrpcServer, serveGrpc, serves } from './wire/grpc-server.ts'
import { encode } from './wire/protobuf.ts'

let directory: string
let watching: { close(): void }
let server: GrpcServer | undefined
let refusal: string | undefined
/** What happened, in order; waiters look again at every step. */
const seen: string[] = []
let wake = () => {}
const tell = (text: string) => {
  seen.push(text)
  wake()
}
async function until(text: string): Promise<void> {
  while (!seen.includes(text))
    await new Promise<void>((done) => {
      wake = done
    })
}
const log = { ...silentLog, info: (message: string, fields?: object) => tell(`${message} ${JSON.stringify(fields)}`) }
const plugins = createNodePlugins({ clock: systemClock, log })
const serve = (info: Partial<NodePlugin>) =>
  serveGrpc(
    join(directory, 'driver-reg.sock'),
    new Map([
      serves(registrationApi.info, () =>
        Promise.resolve({ type: 'DRAPlugin', name: 'd.example', endpoint: join(directory, 'dra.sock'), ...info }),
      ),
      serves(registrationApi.notify, ({ registered, error }) => {
        tell(registered ? 'told: registered' : `told: ${error}`)
        return Promise.resolve({})
      }),
    ]),
  )
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-plugins-'))
  seen.length = 0
  refusal = undefined
  watching = await plugins.watch(directory, {
    register({ name, versions }) {
      tell(`register ${name} ${versions.join()}`)
      return refusal === undefined ? Promise.resolve() : Promise.reject(new Error(refusal))
    },
    gone: ({ name }) => tell(`gone ${name}`),
  })
})
afterEach(async () => {
  watching.close()
  await server?.close()
  server = undefined
  rmSync(directory, { recursive: true })
})

describe('plugins that register by a socket', () => {
  it('are told that they are known, and forgotten with their socket', async () => {
    server = await serve({ versions: ['v1.DRAPlugin'] })
    await until('told: registered')
    expect(seen[0]).toBe('register d.example v1.DRAPlugin')
    await server.close()
    server = undefined
    await until('gone d.example')
  })
  it('are told why not, and are asked again', async () => {
    refusal = 'not today'
    server = await serve({ versions: ['v1.DRAPlugin'] })
    await until('told: not today')
    refusal = undefined
    await until('told: registered')
  })
})

/** Answers every call with the bytes that it is given. */
const program = `
  const [path, answer] = process.argv.slice(1)
  const server = require('node:http2').createServer()
  server.on('stream', (stream) => {
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.from(answer, 'base64'))
  })
  server.listen(path, () => console.log('listens'))`
const infoFrame = frame(
  encode(registrationApi.info.response, {
    type: 'DRAPlugin',
    name: 'killed.example',
    endpoint: '/none.sock',
    versions: ['v1.DRAPlugin'],
  }),
)
describe('a driver that is killed', () => {
  const socket = () => join(directory, '.dra.sock')
  let child: ChildProcess | undefined
  /** A process of its own, which leaves its socket behind when it is killed. */
  async function spawnDriver(path: string): Promise<void> {
    rmSync(path, { force: true })
    child = spawn(process.execPath, ['-e', program, path, infoFrame.toString('base64')], { stdio: 'pipe' })
    await once(child.stdout as Readable, 'data')
  }
  async function killDriver(): Promise<void> {
    child?.kill('SIGKILL')
    if (child?.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  afterEach(killDriver)

  it('is asked anew when it is back, be its socket made in the place of the old one', async () => {
    await spawnDriver(join(directory, 'driver-reg.sock'))
    await until('a plugin registered {"type":"DRAPlugin","name":"killed.example","endpoint":"/none.sock"}')
    await killDriver()
    // Removed and made in one turn of the event loop: the inode is free again, and nobody has looked in between.
    server = await serve({ versions: ['v1beta1.DRAPlugin'] })
    await until('register d.example v1beta1.DRAPlugin')
    expect(seen).toContain('gone killed.example')
  })
  it('is missed, and found again when it is back', async () => {
    await spawnDriver(socket())
    const driver = plugins.driver(
      { type: 'DRAPlugin', name: 'd.example', endpoint: socket(), versions: ['v1.DRAPlugin'] },
      (connected) => tell(connected ? `there ${seen.length}` : `lost ${seen.length}`),
    )
    await until('there 0')
    await killDriver()
    expect(existsSync(socket())).toBe(true)
    await until('lost 1')
    await spawnDriver(socket())
    await until('there 2')
    driver.close()
    await killDriver()
    expect(seen).toHaveLength(3)
  })
  it('is not there while nothing answers at its socket', async () => {
    const silent = createServer().listen(socket())
    await once(silent, 'listening')
    const asked = once(silent, 'connection')
    const driver = plugins.driver(
      { type: 'DRAPlugin', name: 'd.example', endpoint: socket(), versions: ['v1.DRAPlugin'] },
      (connected) => tell(`${connected}`),
    )
    const [connection] = (await asked) as [Socket]
    await once(connection, 'data')
    expect(seen).toEqual([])
    driver.close()
    await once(connection, 'close')
    silent.close()
    expect(seen).toEqual([])
  })
})

it.each(['v1', 'v1beta1'] as const)('a driver of %s makes devices ready and takes them back', async (version) => {
  const api = driverApi(version)
  server = await serveGrpc(
    join(directory, '.dra.sock'),
    new Map([
      serves(api.prepare, (request) =>
        Promise.resolve({
          claims: request.claims.map(({ uid, name }) => ({
            uid,
            answer:
              name === 'broken'
                ? { error: 'no such device' }
                : { devices: [{ requests: ['r'], pool: 'n1', device: 'gpu', cdiDevices: ['d.example/gpu=0'] }] },
          })),
        }),
      ),
      serves(api.unprepare, (request) =>
        Promise.resolve({
          claims: request.claims.map(({ uid, name }) => ({
            uid,
            answer: name === 'broken' ? { error: 'still busy' } : {},
          })),
        }),
      ),
    ]),
  )
  const driver = plugins.driver(
    {
      type: 'DRAPlugin',
      name: 'd.example',
      endpoint: join(directory, '.dra.sock'),
      versions: [`${version}.DRAPlugin`],
    },
    () => {},
  )
  const claims = ['fine', 'broken'].map((name) => ({ uid: `uid of ${name}`, namespace: 'n', name }))
  const ready = await driver.prepare(claims)
  expect(ready.get('uid of fine')).toEqual([
    { requests: ['r'], pool: 'n1', device: 'gpu', cdiDevices: ['d.example/gpu=0'], shareId: '' },
  ])
  expect(ready.get('uid of broken')).toEqual(new Error('no such device'))
  const done = await driver.unprepare(claims)
  expect([...done]).toEqual([
    ['uid of fine', undefined],
    ['uid of broken', new Error('still busy')],
  ])
  driver.close()
})
it('a driver without a version of ours is refused by name', () => {
  const old = { type: 'DRAPlugin', name: 'd.example', endpoint: '/none', versions: ['v1alpha3.Node'] }
  expect(() => plugins.driver(old, () => {})).toThrow(
    'DRA driver d.example offers v1alpha3.Node; supported are v1.DRAPlugin and v1beta1.DRAPlugin',
  )
})
