// What the container runtime alone takes for a pod: a sandbox and a started container, without and with the pod network,
// one at a time and many at once. Beside it a pod's way through the cluster can be judged on any machine.
// node bench/run.mjs runtime-floor DATA_DIR [SERIAL] [BURST] [IMAGE], against the containerd of a running cluster.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createCriRuntime } from '../src/host/cri/runtime.ts'
import { instanceOf } from '../src/host/instance.ts'
import { silentLog as log } from '../src/ports/log.ts'
import type { ContainerConfig, NamespaceOptions, SandboxConfig } from '../src/ports/container-runtime.ts'

const [dataDir = '/var/lib/coxswain', serial = '10', burst = '30', image = 'docker.io/library/busybox:latest'] =
  process.argv.slice(2)
const instance = instanceOf(dataDir)
const logs = join(dataDir, 'bench-logs')
const runtime = createCriRuntime({ address: `unix://${instance.containerdSocket}`, log })
const found = await runtime.imageStatus(image)
if (found === undefined) throw new Error(`load ${image} first: cox image load FILE`)

const sandboxOf = (name: string, namespaces: NamespaceOptions): SandboxConfig => ({
  metadata: { name, uid: name, namespace: 'bench', attempt: 0 },
  hostname: namespaces.network === 'node' ? '' : name,
  logDirectory: join(logs, name),
  portMappings: [],
  labels: {},
  annotations: {},
  linux: {
    cgroupParent: `${instance.cgroupRoot}/bench`,
    sysctls: {},
    security: { namespaces, supplementalGroups: [], privileged: false, readonlyRootfs: false },
  },
})
const containerOf = (namespaces: NamespaceOptions): ContainerConfig => ({
  metadata: { name: 'c', attempt: 0 },
  image: { reference: found.id, userSpecifiedImage: image },
  command: ['sh', '-c', 'trap "exit 0" TERM; sleep 3600 & wait'],
  args: [],
  workingDir: '',
  env: [],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: 'c.log',
  stdin: false,
  stdinOnce: false,
  tty: false,
  linux: {
    resources: {},
    security: {
      privileged: false,
      namespaces,
      readonlyRootfs: false,
      supplementalGroups: [],
      noNewPrivs: false,
      maskedPaths: [],
      readonlyPaths: [],
    },
  },
})

const made: string[] = []
async function pod(name: string, network: 'pod' | 'node'): Promise<number> {
  const began = performance.now()
  const namespaces: NamespaceOptions = { network, pid: 'container', ipc: 'pod' }
  const config = sandboxOf(name, namespaces)
  const sandbox = await runtime.runPodSandbox(config, '')
  made.push(sandbox)
  await runtime.startContainer(await runtime.createContainer(sandbox, containerOf(namespaces), config))
  return performance.now() - began
}
async function end(): Promise<void> {
  await Promise.all(
    made.splice(0).map(async (id) => {
      await runtime.stopPodSandbox(id)
      await runtime.removePodSandbox(id)
    }),
  )
}
for (const network of ['node', 'pod'] as const) {
  const took: number[] = []
  for (let i = 0; i < Number(serial); i++) took.push(await pod(`one-${network}-${i}`, network))
  await end()
  const began = performance.now()
  await Promise.all(Array.from({ length: Number(burst) }, (_, i) => pod(`many-${network}-${i}`, network)))
  const all = performance.now() - began
  await end()
  const p50 = took.toSorted((a, b) => a - b)[Math.floor(took.length / 2)] ?? 0
  process.stdout.write(
    `network=${network} one at a time p50=${p50.toFixed(0)} ms, ${burst} at once ${all.toFixed(0)} ms\n`,
  )
}
runtime.close()
rmSync(logs, { recursive: true, force: true })
