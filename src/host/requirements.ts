// What a node needs of the machine besides the kernel: looked for before anything is started, and installed from the
// distribution when the user agrees.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cniPlugins } from './cni/cni-config.ts'
import type { OciRuntimeChoice } from './containerd/oci-runtimes.ts'
import { isExecutable, programPath } from './program-path.ts'

/** Programs by the Debian package that brings them. */
const programs: Readonly<Record<string, readonly string[]>> = {
  containerd: ['containerd', 'containerd-shim-runc-v2', 'ctr'],
  nftables: ['nft'],
  iproute2: ['ip'],
  conntrack: ['conntrack'],
  mount: ['mount', 'umount'],
  procps: ['sysctl'],
}
const cniPackage = 'containernetworking-plugins'
const cniFoldersToTry = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni']

export interface Missing {
  /** "containerd", "CNI plugin ptp": for the user. */
  readonly names: readonly string[]
  /** Debian packages that bring them. */
  readonly packages: readonly string[]
}

const inPath = (program: string) => programPath(program) !== undefined

/** The folder that holds every CNI plugin we name. */
export const cniBinDir = (): string | undefined =>
  cniFoldersToTry.find((folder) => cniPlugins.every((plugin) => isExecutable(join(folder, plugin))))

/** What is not there. `ociRuntime`: what a containerd of our own will run containers with; undefined where none is started. */
export function missingRequirements(ociRuntime: OciRuntimeChoice | undefined): Missing {
  const own = ociRuntime !== undefined
  const names: string[] = []
  const packages: string[] = []
  for (const [name, wanted] of Object.entries({ ...programs, ...ociProgram(ociRuntime) })) {
    if (!own && name === 'containerd') continue
    const absent = wanted.filter((program) => !inPath(program))
    if (absent.length === 0) continue
    names.push(...absent)
    packages.push(name)
  }
  if (own && cniBinDir() === undefined) {
    const folder = cniFoldersToTry.find((candidate) => existsSync(candidate))
    const absent = cniPlugins.filter((plugin) => folder === undefined || !isExecutable(join(folder, plugin)))
    names.push(`CNI plugins (${absent.join(', ')})`)
    packages.push(cniPackage)
  }
  return { names, packages }
}

function ociProgram(choice: OciRuntimeChoice | undefined): Readonly<Record<string, readonly string[]>> {
  if (choice === undefined) return {}
  return choice === 'crun' ? { crun: ['crun'] } : { runc: ['runc'] }
}
/** Packages that are not needed, but make the node better. */
export const betterWith = (choice: OciRuntimeChoice | undefined): readonly string[] =>
  choice === 'auto' && !inPath('crun') ? ['crun'] : []

export const canInstall = (): boolean => process.getuid?.() === 0 && inPath('apt-get')

/** The command line that installs, for messages. */
export const installCommand = (packages: readonly string[]): string => `apt-get install -y ${packages.join(' ')}`

/** Installs Debian packages; each line of apt goes to `onLine`. Rejects with one line when it fails. */
export async function installPackages(packages: readonly string[], onLine: (line: string) => void): Promise<void> {
  const apt = (...args: string[]) =>
    new Promise<void>((resolve, reject) => {
      const child = spawn('apt-get', ['-q', ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
      })
      let complaint = ''
      let rest = ''
      const read = (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('E: ')) complaint ||= line.slice(3)
          if (/^(Get:|Unpacking|Setting up|Need to get)/.test(line)) onLine(line)
        }
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.on('error', reject)
      child.on('close', (code) => {
        if (code === 0) resolve()
        else reject(new Error(`apt-get ${args[0]} failed: ${complaint === '' ? `exit code ${code}` : complaint}`))
      })
    })
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages)
  try {
    await install()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    // The lists are missing or old on a fresh machine.
    await apt('update')
    await install()
  }
}
