// What goes wrong is told in one line that says what to do, with an exit code, and leaves nothing half-done.
import { chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { leftovers } from '../../src/host/cleanup.ts'
import { instanceOf } from '../../src/host/instance.ts'
import { cox, takenPort, type Result, type TestCluster, testCluster } from './cox.ts'

const clusters: TestCluster[] = []
const cluster = () => {
  const made = testCluster('bad')
  clusters.push(made)
  return made
}
afterEach(async () => {
  for (const one of clusters.splice(0)) await one.remove()
})

/** One line to the point; lines of progress before it are fine. */
function expectOneLine({ code, stdout, stderr }: Result, message: RegExp): void {
  expect(code).toBeGreaterThan(0)
  expect(stdout).toBe('')
  const lines = stderr.trimEnd().split('\n')
  expect(lines.at(-1)).toMatch(message)
  expect(lines.at(-1)).toMatch(/^cox: /)
  expect(stderr).not.toMatch(/^\s+at /m)
}
function expectNothingLeft({ dataDir }: TestCluster): void {
  expect(leftovers(instanceOf(dataDir))).toEqual([])
  expect(readdirSync(dataDir)).not.toContain('cox.lock')
  expect(readdirSync(dataDir)).not.toContain('cox.json')
}

describe('the command line', () => {
  test.each([
    [['up', '--colour'], /unknown flag: --colour; "cox up --help"/],
    [['get', 'pods', '-Q'], /unknown flag: -Q/],
    [['fly'], /unknown command "fly"/],
    [['up', 'now'], /unexpected word "now"/],
    [['up', '--listen', 'here'], /--listen wants HOST:PORT/],
    [['up', '--listen', '127.0.0.1:99999'], /--listen wants HOST:PORT/],
    [['up', '--runtime', 'docker'], /--runtime wants containerd, sim or unix/],
    [['up', '--store', 'mysql'], /--store wants lmdb/],
    [['up', '--oci-runtime', 'kata'], /--oci-runtime wants auto, runc or crun, not "kata"/],
    [['up', '--runtime', 'sim', '--oci-runtime', 'crun'], /--oci-runtime is for our own containerd/],
    [['up', '--runtime', 'unix:///nowhere.sock'], /no container runtime listens at unix:\/\/\/nowhere\.sock/],
    [['image', 'bake'], /say what to do: "cox image load FILE"/],
  ])('cox %j', async (words, message) => {
    expectOneLine(await cluster().run(words), message)
  })
  test.each([
    'up',
    'down',
    'status',
    'kubeconfig',
    'image',
    'version',
    'get',
    'describe',
    'logs',
    'exec',
    'apply',
    'delete',
  ])('cox %s --help', async (name) => {
    const { code, stdout, stderr } = await cox([name, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain(`Usage: cox ${name}`)
    expect(stdout).toContain('--data-dir DIR')
  })
  test.each(['status', 'kubeconfig', 'get pods', 'logs x', 'image ls', 'delete pod x'])(
    'cox %s where no cluster runs',
    async (line) => {
      expectOneLine(await cluster().run(line.split(' ')), /no cluster runs in .*: start one with "cox up/)
    },
  )
})

describe('cox up', () => {
  test('a port that is taken', async () => {
    const taken = await takenPort()
    const here = cluster()
    const result = await here.run(['up', '--listen', `127.0.0.1:${taken.port}`])
    await taken.close()
    expectOneLine(result, new RegExp(`127.0.0.1:${taken.port} is taken by another program: .*--listen`))
    expectNothingLeft(here)
  })
  test('an address that is not this machine', async () => {
    const here = cluster()
    expectOneLine(await here.run(['up', '-d', '--listen', '203.0.113.7:6443']), /not an address of this machine/)
    expectNothingLeft(here)
  })
  test('a damaged database', async () => {
    const here = cluster()
    expect((await here.run(['up', '-d', '--runtime', 'sim'])).code).toBe(0)
    expect((await here.run(['down'])).code).toBe(0)
    writeFileSync(join(here.dataDir, 'store', 'data.mdb'), Buffer.alloc(65_536, 'x'))
    expectOneLine(await here.run(['up', '-d']), /damaged|not a database|cannot/)
    expectNothingLeft(here)
  })
  test('a data directory that cannot be written', async () => {
    const here = cluster()
    writeFileSync(join(here.dataDir, 'file'), '')
    expectOneLine(
      await cox(['up', '--data-dir', join(here.dataDir, 'file', 'below')]),
      /cannot write to the data directory/,
    )
  })
  test('without root, and what is possible then', async () => {
    const here = cluster()
    const prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    chownSync(here.dataDir, 65534, 65534)
    const result = await here.run(['up'], { prefix })
    expectOneLine(result, /running containers needs root: use sudo; "cox up --runtime sim"/)
  })
  test('programs that are missing are named, with what brings them', async () => {
    const here = cluster()
    const bin = join(here.dataDir, 'bin')
    mkdirSync(bin)
    for (const name of ['mount', 'umount', 'sh', 'ip', 'conntrack', 'sysctl', 'nft'])
      for (const folder of ['/usr/bin', '/usr/sbin'])
        if (existsSync(join(folder, name)) && !existsSync(join(bin, name)))
          symlinkSync(join(folder, name), join(bin, name))
    const result = await here.run(['up'], { env: { PATH: bin } })
    expectOneLine(result, /missing: containerd, containerd-shim-runc-v2, ctr.*apt-get install -y containerd/)
    expectNothingLeft(here)
  })
})

describe('images', () => {
  test('archives that are none, and files that are not there', async () => {
    const here = cluster()
    expect((await here.run(['up', '-d'])).code).toBe(0)
    const text = join(here.dataDir, 'text')
    writeFileSync(text, 'just text\n'.repeat(1000))
    expectOneLine(await here.run(['image', 'load', text]), /text: not an image archive/)
    expectOneLine(await here.run(['image', 'load', '-'], { input: '' }), /standard input: the archive is empty/)
    expectOneLine(await here.run(['image', 'load', '/no/such/file']), /there is no file \/no\/such\/file/)
    expectOneLine(await here.run(['up']), /a cluster runs already in .*"cox down" ends it/)
    const { stdout } = await here.run(['image', 'ls'])
    expect(stdout.trim().split('\n')).toHaveLength(2)
  })
})
