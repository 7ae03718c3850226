// Programs of Debian packages with the libraries that they need, without installing anything on the machine.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TarEntry } from 'modern-tar'
import { directory, file } from './archive.ts'

/** Downloads and unpacks packages, and gives the folder to `use`. Needs apt's lists (apt-get update). */
export async function withPackages<T>(packages: readonly string[], use: (root: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'cox-image-'))
  const run = (command: string, args: readonly string[]) =>
    execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const root = join(folder, 'root')
    mkdirSync(root)
    run('apt-get', ['download', '-qq', ...packages])
    for (const name of readdirSync(folder)) if (name.endsWith('.deb')) run('dpkg', ['-x', name, root])
    return await use(root)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Entries for programs of an unpacked package and for every library they load, from the package or the machine. */
export function programEntries(root: string, programs: readonly string[]): TarEntry[] {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
  const libraryPath = [`${root}/usr/lib/${triplet}`, `${root}/lib/${triplet}`].join(':')
  const files = new Map<string, string>()
  for (const program of programs) {
    files.set(program, join(root, program))
    const { stdout: needed } = spawnSync('ldd', [join(root, program)], {
      encoding: 'utf8',
      env: { ...process.env, LD_LIBRARY_PATH: libraryPath },
    })
    // A static program needs nothing (ldd says so on its error stream and fails).
    const missing = /(\S+) => not found/.exec(needed)?.[1]
    if (missing !== undefined) throw new Error(`${program} needs ${missing}: name its package too`)
    for (const match of needed.matchAll(/(\/\S+) \(0x/g)) {
      const path = match[1] ?? ''
      files.set(path.replace(`${root}/`, '').replace(/^\//, ''), path)
    }
  }
  const folders = new Set<string>()
  for (const name of files.keys())
    for (let folder = dirname(name); folder !== '.'; folder = dirname(folder)) folders.add(folder)
  return [
    ...[...folders].toSorted().map((name) => directory(name)),
    ...[...files].map(([name, path]) => file(name, readFileSync(path), 0o755)),
  ]
}
