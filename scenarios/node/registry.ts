// Debian's docker-registry on the loopback device, with TLS and a password, and images pushed into it by its own API.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packTar } from 'modern-tar'
import { freePort } from '../../src/host/testing/free-port.ts'
import { loopbackCert, loopbackKey } from '../../src/host/testing/loopback-cert.ts'
import { busyboxEntries } from '../images/busybox.ts'

export const hasRegistry = spawnSync('docker-registry', ['--version'], { stdio: 'ignore' }).status === 0
export const user = { username: 'somebody', password: 'secret' } as const

export interface Registry {
  /** 127.0.0.1:PORT, with the password. */
  readonly host: string
  /** The same images for everybody. */
  readonly openHost: string
  /** Makes an image of busybox under a name ("team/app:1"). */
  push(name: string): Promise<void>
  stop(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly location: string | undefined
}
const basic = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`
const call = (url: string, method: string, body?: Uint8Array, type = 'application/octet-stream'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: basic, 'content-type': type, 'content-length': body?.length ?? 0 }
    const request = https.request(url, { method, headers, ca: loopbackCert }, (response) => {
      response.resume()
      response.on('end', () => resolve({ status: response.statusCode ?? 0, location: response.headers.location }))
    })
    request.on('error', reject)
    request.end(body)
  })

/** Starts two registries over one store. */
export async function startRegistry(): Promise<Registry> {
  const folder = mkdtempSync(join(tmpdir(), 'cox-registry-'))
  writeFileSync(join(folder, 'cert.pem'), loopbackCert)
  writeFileSync(join(folder, 'key.pem'), loopbackKey)
  const hash = spawnSync('perl', ['-e', `print crypt("${user.password}", "\\$2y\\$05\\$abcdefghijklmnopqrstuu")`])
  writeFileSync(join(folder, 'htpasswd'), `${user.username}:${hash.stdout.toString()}\n`)
  mkdirSync(join(folder, 'store'))
  const [port, openPort] = [await freePort(), await freePort()]
  const children = [true, false].map((withPassword) => {
    const at = `127.0.0.1:${withPassword ? port : openPort}`
    const file = join(folder, withPassword ? 'closed.yml' : 'open.yml')
    const auth = withPassword ? `auth: {htpasswd: {realm: test, path: ${folder}/htpasswd}}\n` : ''
    writeFileSync(
      file,
      `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${folder}/store}}\n${auth}http: {addr: "${at}", tls: {certificate: ${folder}/cert.pem, key: ${folder}/key.pem}}\n`,
    )
    return spawn('docker-registry', ['serve', file], { stdio: 'ignore' })
  })
  const base = `https://127.0.0.1:${port}`
  for (let i = 0; ; i++) {
    const answer = await call(`${base}/v2/`, 'GET').catch((error: unknown) => {
      if (i > 300) throw error
      return undefined
    })
    if (answer?.status === 200) break
    await new Promise((done) => setTimeout(done, 100))
  }
  const blob = async (repository: string, content: Uint8Array) => {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
    const { location = '' } = await call(`${base}/v2/${repository}/blobs/uploads/`, 'POST')
    const url = new URL(location, base)
    url.searchParams.set('digest', digest)
    const { status } = await call(url.href, 'PUT', content)
    if (status !== 201) throw new Error(`the registry took no blob: ${status}`)
    return { digest, size: content.length }
  }
  return {
    host: `127.0.0.1:${port}`,
    openHost: `127.0.0.1:${openPort}`,
    async push(name) {
      const [repository = '', tag = ''] = name.split(':')
      const layer = await packTar([...(await busyboxEntries())])
      const diff = createHash('sha256').update(layer).digest('hex')
      const config = {
        architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        os: 'linux',
        config: { Cmd: ['sleep', '100000'], Env: ['PATH=/bin'], Labels: { name } },
        rootfs: { type: 'layers', diff_ids: [`sha256:${diff}`] },
      }
      const type = 'application/vnd.oci.image'
      const manifest = {
        schemaVersion: 2,
        mediaType: `${type}.manifest.v1+json`,
        config: {
          mediaType: `${type}.config.v1+json`,
          ...(await blob(repository, Buffer.from(JSON.stringify(config)))),
        },
        layers: [{ mediaType: `${type}.layer.v1.tar`, ...(await blob(repository, layer)) }],
      }
      const body = Buffer.from(JSON.stringify(manifest))
      const { status } = await call(`${base}/v2/${repository}/manifests/${tag}`, 'PUT', body, manifest.mediaType)
      if (status !== 201) throw new Error(`the registry took no manifest: ${status}`)
    },
    async stop() {
      await Promise.all(
        children.map(async (child) => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const gone = new Promise((done) => child.once('exit', done))
          child.kill('SIGKILL')
          await gone
        }),
      )
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
/** What containerd reads to reach `host` at `server`, and whom it trusts there. */
export function hostsToml(dataDir: string, host: string, server: string): void {
  const folder = join(dataDir, 'containerd', 'certs.d', host)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'ca.pem'), loopbackCert)
  writeFileSync(
    join(folder, 'hosts.toml'),
    `server = "https://${server}"\n[host."https://${server}"]\n  capabilities = ["pull", "resolve"]\n  ca = "${folder}/ca.pem"\n`,
  )
}
