// The whole tour in one command: installs, builds, starts a cluster, loads an image, runs a pod and shows it. Running it again
// uses what is there. Without root the containers are simulated.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const real = process.platform === 'linux' && process.getuid?.() === 0
const startMs = performance.now()
const say = (text) => console.log(`\n[${((performance.now() - startMs) / 1000).toFixed(1).padStart(5)} s] ${text}`)

function run(file, args, options = {}) {
  const { status, error, stdout } = spawnSync(file, args, {
    cwd: root,
    stdio: ['pipe', options.quiet ? 'pipe' : 'inherit', options.mayFail ? 'ignore' : 'inherit'],
    input: options.input ?? '',
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  if (status === 0) return stdout ?? ''
  if (options.mayFail) return undefined
  console.error(`demo: ${file} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`)
  process.exit(status ?? 1)
}
const cox = (args, options) => {
  if (!options?.quiet) console.log(`$ cox ${args.join(' ')}`)
  return run(process.execPath, ['dist/cox.js', ...args], options)
}

say('setting up')
run(process.execPath, ['scripts/setup.mjs', ...(real ? [] : ['--npm'])])
say('building')
run(process.execPath, ['scripts/build.mjs'])

if (cox(['status'], { quiet: true, mayFail: true }) !== undefined) say('a cluster runs already')
else {
  say(real ? 'starting a cluster' : 'starting a cluster with simulated containers (root is needed for real ones)')
  cox(['up', '--detach', '--yes', ...(real ? [] : ['--runtime', 'sim'])])
}

if (real) {
  say('loading an image made from busybox')
  const { build } = await import('esbuild')
  const folder = mkdtempSync(join(tmpdir(), 'cox-demo-'))
  const outfile = join(folder, 'busybox.mjs')
  await build({
    entryPoints: [join(root, 'scenarios/images/busybox.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'warning',
  })
  const { busyboxArchive } = await import(pathToFileURL(outfile).href)
  const archive = join(folder, 'busybox.tar')
  writeFileSync(archive, await busyboxArchive())
  cox(['image', 'load', archive])
  rmSync(folder, { recursive: true })
}

say('running a pod')
const manifest = `apiVersion: v1
kind: Pod
metadata:
  name: demo
  labels: {app: demo}
spec:
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "echo hello from $(hostname); exec sleep 1000000"]
`
cox(['apply', '-f', '-'], { input: manifest })
const isReady = () => {
  const text = cox(['get', 'pod', 'demo', '-o', 'json'], { quiet: true, mayFail: true })
  return text !== undefined && JSON.parse(text).status?.containerStatuses?.[0]?.ready === true
}
for (const end = performance.now() + 60_000; !isReady(); ) {
  if (performance.now() > end) {
    cox(['describe', 'pod', 'demo'])
    console.error('demo: the pod does not become ready')
    process.exit(1)
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
}
cox(['get', 'pods', '-o', 'wide'])
if (real) {
  cox(['logs', 'demo'])
  cox(['exec', 'demo', '--', 'ps'])
}
say('the demo pod runs; "node dist/cox.js down" ends the cluster and takes away all it made on the machine')
