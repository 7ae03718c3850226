import { describe, expect, it } from 'vitest'
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import type { HttpProbeAnswer } from '../ports/prober.ts'
import { checkProbe, probeHeaders } from './check-probe.ts'
import { fakeProber } from './testing/fake-host.ts'
import { makePod } from './testing/pods.ts'
import type { Container, Probe } from './types.ts'

const pod = makePod({
  spec: { containers: [{ name: 'c', image: 'x', ports: [{ name: 'web', containerPort: 8080 }] }] },
})
const target = { container: pod.spec.containers[0] as Container, containerId: 'id', podIP: '10.1.0.2' }
const probe = (parts: Record<string, unknown>) => ({ timeoutSeconds: 1, ...parts }) as unknown as Probe
const execRuntime = (exitCode: number, output: string, timedOut = false) =>
  ({
    execSync: () =>
      Promise.resolve({ stdout: new TextEncoder().encode(output), stderr: new Uint8Array(), exitCode, timedOut }),
  }) as unknown as ContainerRuntime
const run = (
  parts: Record<string, unknown>,
  options: { http?: HttpProbeAnswer[]; runtime?: ContainerRuntime } = {},
) => {
  const answers = [...(options.http ?? [])]
  const prober = fakeProber()
  prober.httpGet = (request) => {
    prober.requests.push(`${request.scheme} ${request.host}:${request.port}${request.path}`)
    return Promise.resolve(answers.shift() ?? { ok: true, status: 200, location: undefined, body: '' })
  }
  const runtime = options.runtime ?? execRuntime(0, '')
  return checkProbe({ runtime, prober }, probe(parts), target, 'kube-probe/1.36').then((outcome) => ({
    ...outcome,
    requests: prober.requests,
  }))
}
const status = (code: number, location?: string): HttpProbeAnswer => ({
  ok: true,
  status: code,
  location,
  body: 'moved',
})
const refused: HttpProbeAnswer = { ok: false, kind: 'refused', message: 'connect: connection refused' }

describe('an http probe', () => {
  const get = { httpGet: { path: '/ok', port: 'web', scheme: 'HTTP' } }
  it.each([
    [200, 'success'],
    [204, 'success'],
    [399, 'success'],
    [400, 'failure'],
    [503, 'failure'],
  ])('%i is %s', async (code, result) => expect(await run(get, { http: [status(code)] })).toMatchObject({ result }))
  it('names what it asked when nobody answers', async () => {
    expect(await run(get, { http: [refused] })).toMatchObject({
      result: 'failure',
      output: 'Get "http://10.1.0.2:8080/ok": dial tcp 10.1.0.2:8080: connect: connection refused',
    })
    expect(await run(get, { http: [{ ok: false, kind: 'timeout', message: '' }] })).toMatchObject({
      output:
        'Get "http://10.1.0.2:8080/ok": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    })
  })
  it('follows a redirect on the same host, and ends well at another', async () => {
    const same = await run(get, { http: [status(302, '/there?x=1'), status(200)] })
    expect(same).toMatchObject({
      result: 'success',
      requests: ['HTTP 10.1.0.2:8080/ok', 'HTTP 10.1.0.2:8080/there?x=1'],
    })
    expect(await run(get, { http: [status(302, 'http://elsewhere/')] })).toMatchObject({
      result: 'warning',
      output: 'Probe terminated redirects, Response body: moved',
    })
  })
  it('does not know a port that the container does not name', async () => {
    expect(await run({ httpGet: { path: '/', port: 'nope' } })).toMatchObject({
      result: 'error',
      output: 'strconv.Atoi: parsing "nope": invalid syntax',
    })
  })
  it('sends the headers of the pod, ours where it says nothing', () => {
    const headers = probeHeaders(
      {
        httpHeaders: [
          { name: 'Accept', value: '' },
          { name: 'X', value: '1' },
        ],
      } as never,
      'ua',
    )
    expect(headers).toEqual([
      { name: 'X', value: '1' },
      { name: 'User-Agent', value: 'ua' },
    ])
  })
})

describe('other probes', () => {
  it('runs a command', async () => {
    const exec = { exec: { command: ['cat', '/x'] } }
    expect(await run(exec)).toMatchObject({ result: 'success' })
    expect(await run(exec, { runtime: execRuntime(1, 'no such file') })).toMatchObject({
      result: 'failure',
      output: 'no such file',
    })
    expect(await run(exec, { runtime: execRuntime(0, '', true) })).toMatchObject({
      result: 'error',
      output: 'command timed out: "cat /x" timed out after 1s',
    })
  })
  it('connects and asks for health', async () => {
    expect(await run({ tcpSocket: { port: 80 } })).toMatchObject({ result: 'success' })
    expect(await run({ grpc: { port: 80, service: '' } })).toMatchObject({ result: 'success' })
  })
})
