// Containers that crun has forgotten and their shim has not. When containerd dies while a shim deletes a container, the shim
// takes back a call that crun has carried out already. From then on it fails to delete the container again and again, since
// it does not understand how crun says that there is none (runc's words it does), and the container is shown as running
// for ever. Where crun finds the state of a process that has ended instead, the shim goes on as it should, and the exit
// code that it knows is told.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'

/** Above every pid_max: a process that certainly does not run. */
const noProcess = 2 ** 22

/** The containers of pods in the state directory of a containerd that were made and have no state of crun's. */
export function withoutState(state: string): readonly string[] {
  const bundles = join(state, 'io.containerd.runtime.v2.task', 'k8s.io')
  if (!existsSync(bundles)) return []
  return readdirSync(bundles).filter((id) => {
    const bundle = join(bundles, id)
    // The process id is noted when the container has been made.
    const isMade = existsSync(join(bundle, 'init.pid')) && existsSync(join(bundle, 'config.json'))
    return isMade && runtimeOf(bundle) === 'crun' && !existsSync(join(stateOf(state, id), 'status'))
  })
}
const stateOf = (state: string, id: string) => join(state, 'oci', 'k8s.io', id)
function runtimeOf(bundle: string): string {
  const file = join(bundle, 'runtime')
  return existsSync(file) ? basename(readFileSync(file, 'utf8').trim()) : ''
}

/** Gives a container that withoutState() named the state of one that has ended. */
export function giveEndedState(state: string, id: string): void {
  const bundle = join(state, 'io.containerd.runtime.v2.task', 'k8s.io', id)
  const folder = stateOf(state, id)
  const half = `${folder}.half`
  rmSync(half, { recursive: true, force: true })
  mkdirSync(half, { recursive: true, mode: 0o700 })
  copyFileSync(join(bundle, 'config.json'), join(half, 'config.json'))
  const status = {
    pid: noProcess,
    'process-start-time': 0,
    'cgroup-path': '',
    scope: '',
    rootfs: 'rootfs',
    'systemd-cgroup': false,
    bundle,
    created: new Date().toISOString(),
    owner: 'root',
    detached: true,
    external_descriptors: '[]',
  }
  writeFileSync(join(half, 'status'), JSON.stringify(status))
  rmSync(folder, { recursive: true, force: true })
  renameSync(half, folder)
}
