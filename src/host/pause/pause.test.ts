import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpackTar } from 'modern-tar'
import { afterAll, describe, expect, test } from 'vitest'
import { isRoot } from '../testing/needs.ts'
import { pauseProgram } from './pause.ts'
import { pauseArchive } from './pause-image.ts'

const folder = mkdtempSync(join(tmpdir(), 'cox-pause-'))
afterAll(() => rmSync(folder, { recursive: true }))
const runs = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'

describe.runIf(runs)('the pause program', () => {
  const path = join(folder, 'pause')
  writeFileSync(path, pauseProgram(architecture), { mode: 0o755 })

  test.each(['SIGTERM', 'SIGINT'] as const)('sleeps and leaves on %s with status 0', async (signal) => {
    const child = spawn(path)
    const exited = new Promise((resolve) => child.on('exit', (code, by) => resolve([code, by])))
    // It waits for a signal: in the system call rt_sigtimedwait.
    await expect
      .poll(() => readFileSync(`/proc/${child.pid}/syscall`, 'utf8'))
      .toMatch(architecture === 'amd64' ? /^128 / : /^137 /)
    child.kill(signal)
    expect(await exited).toEqual([0, null])
  })
  test.runIf(isRoot)('reaps orphans and hears SIGTERM as PID 1', () => {
    // The orphan of a shell becomes a child of pause and exits; unless it is reaped its entry in /proc stays for ever.
    const script = `
      mount -t proc proc /proc || exit 9
      ( orphan=$(sh -c 'sleep 0.05 >/dev/null & echo $!')
        [ -e /proc/$orphan ] || exit 8
        while [ -e /proc/$orphan ]; do sleep 0.02; done
        kill -TERM 1 ) &
      exec ${path}`
    const { status, stderr } = spawnSync('unshare', ['--pid', '--fork', '--mount', 'sh', '-c', script], {
      encoding: 'utf8',
      timeout: 15_000,
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

test.each(['amd64', 'arm64'] as const)(
  'the image for %s names its one layer and is the same every time',
  async (arch) => {
    const archive = await pauseArchive(arch)
    expect(Buffer.from(archive).equals(Buffer.from(await pauseArchive(arch)))).toBe(true)
    const entries = await unpackTar(archive)
    const read = (name: string) => entries.find((entry) => entry.header.name === name)?.data
    const index = JSON.parse(Buffer.from(read('index.json') ?? []).toString()) as {
      manifests: { digest: string; platform: { architecture: string } }[]
    }
    expect(index.manifests[0]?.platform.architecture).toBe(arch)
    const manifest = JSON.parse(
      Buffer.from(read(`blobs/sha256/${index.manifests[0]?.digest.slice(7)}`) ?? []).toString(),
    ) as { layers: { digest: string }[] }
    const layer = await unpackTar(Buffer.from(read(`blobs/sha256/${manifest.layers[0]?.digest.slice(7)}`) ?? []))
    expect(layer.map((entry) => [entry.header.name, entry.header.mode])).toEqual([['pause', 0o755]])
    expect(layer[0]?.data?.length).toBe(pauseProgram(arch).length)
  },
)
