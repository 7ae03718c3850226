// A driver as others write them, over real sockets: it registers, is called, leaves and comes back.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectingLog } from '../client/testing/fixtures.ts'
import type { NodePlugin } from '../ports/node-plugins.ts'
import { createNodePlugins, driverApi, registrationApi } from './node-plugins.ts'
import { systemClock } from './system.ts'
import { type GrpcServer, serveGrpc, serves } from './wire/grpc-server.ts'

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
const plugins = createNodePlugins({ clock: systemClock, log: collectingLog() })
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
  const driver = plugins.driver({
    type: 'DRAPlugin',
    name: 'd.example',
    endpoint: join(directory, '.dra.sock'),
    versions: [`${version}.DRAPlugin`],
  })
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
  expect(() => plugins.driver(old)).toThrow(
    'DRA driver d.example offers v1alpha3.Node; supported are v1.DRAPlugin and v1beta1.DRAPlugin',
  )
})
