// Brings a fresh machine to where the project builds and its tests run: npm packages, and Debian packages when root. Says what
// it does, and does nothing twice. `--npm` stops after the npm packages, `--tests` adds what only the tests need. Uses nothing
// that it installs.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const say = (text) => console.error(`setup: ${text}`)

if (Number(process.versions.node.split('.')[0]) < 20) {
  say(`Node.js 20 or later is needed, this is ${process.versions.node}`)
  process.exit(1)
}

function run(file, args, env = {}) {
  const { status, error } = spawnSync(file, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  })
  if (status === 0) return
  say(`${file} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`)
  process.exit(1)
}

const installed = join(root, 'node_modules', '.package-lock.json')
const wanted = join(root, 'package-lock.json')
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) {
  say('installing npm packages (npm ci)')
  run('npm', ['ci', '--no-audit', '--no-fund'])
}
if (process.argv.includes('--npm')) process.exit(0)

/** A program (or file) by the Debian package that brings it. */
const forTests = {
  'etcd-server': 'etcd',
  'kubernetes-client': 'kubectl',
  curl: 'curl',
  'docker-registry': 'docker-registry',
}
const packages = {
  containerd: 'containerd',
  runc: 'runc',
  crun: 'crun',
  'containernetworking-plugins': '/usr/lib/cni/ptp',
  nftables: 'nft',
  iproute2: 'ip',
  conntrack: 'conntrack',
  'busybox-static': '/bin/busybox',
  mount: 'mount',
  procps: 'sysctl',
  ...(process.argv.includes('--tests') ? forTests : {}),
}
const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
const isThere = (program) =>
  (program.startsWith('/') ? [program] : folders.map((folder) => join(folder, program))).some((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
const missing = Object.keys(packages).filter((name) => !isThere(packages[name]))
if (missing.length > 0) {
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !isThere('apt-get')) {
    say(`not installed, for want of root or of apt: ${missing.join(' ')} (as root: ${command})`)
    say('what needs real containers will be skipped')
  } else {
    say(`installing Debian packages (${command})`)
    run('apt-get', ['-q', 'update'])
    run('apt-get', ['-q', ...command.split(' ').slice(1)], { DEBIAN_FRONTEND: 'noninteractive' })
  }
}
