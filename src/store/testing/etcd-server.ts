// A real etcd for tests: its own process, ports and directory.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../host/testing/free-port.ts'

export interface EtcdServer {
  readonly url: string
  /** Kills it with SIGKILL; it can be started again on the same data. */
  kill(): Promise<void>
  start(): Promise<void>
  /** Ends it and removes its data. */
  stop(): Promise<void>
}

/** Whether etcd is installed. Says so when it is not, and fails in CI. */
export function hasEtcd(): boolean {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    const message = 'the etcd engine is not tested: etcd is not installed (apt-get install etcd-server)'
    if (process.env['CI'] !== undefined) throw new Error(message)
    console.warn(message)
    return false
  }
}

/** Starts an etcd and waits until it serves; with TLS when files are given. */
export async function startEtcd(tls?: { readonly certFile: string; readonly keyFile: string }): Promise<EtcdServer> {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'coxswain-etcd-'))
  const [clientPort, peerPort] = [await freePort(), await freePort()]
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${clientPort}`
  const peerUrl = `http://127.0.0.1:${peerPort}`
  let child: ChildProcess | undefined
  const server: EtcdServer = {
    url,
    async start() {
      const args = [`--name=test`, `--data-dir=${directory}`, `--initial-cluster=test=${peerUrl}`]
      args.push(`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`)
      args.push(`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`)
      args.push('--heartbeat-interval=10', '--election-timeout=100')
      if (tls !== undefined) args.push(`--cert-file=${tls.certFile}`, `--key-file=${tls.keyFile}`)
      const started = spawn('etcd', args, { stdio: ['ignore', 'ignore', 'pipe'] })
      child = started
      await new Promise<void>((done, failed) => {
        let said = ''
        started.stderr?.on('data', (chunk: Buffer) => {
          said += chunk.toString()
          if (/serving (insecure )?client (requests|traffic)/.test(said)) done()
        })
        started.once('exit', () => failed(new Error(`etcd did not start: ${said.slice(-500)}`)))
      })
    },
    async kill() {
      if (child === undefined || child.exitCode !== null) return
      const gone = new Promise((done) => child?.once('exit', done))
      child.kill('SIGKILL')
      await gone
      child = undefined
    },
    async stop() {
      await server.kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
  await server.start()
  return server
}
