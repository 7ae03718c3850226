// Completes package-lock.json with the optional packages of other platforms. A registry that mirrors only some platforms
// makes npm leave them out, and `npm ci` then refuses the lock file. They are never fetched on a platform that is not
// theirs, so name, version and platform are all that is needed. Run it after every change of the dependencies.
import { readFileSync, writeFileSync } from 'node:fs'

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8'))
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

/** Platform by the words of a package's name; `none` where it names no platform. */
function platformOf(name) {
  const words = name.replace(/^@[^/]+\//, '').split(/[-_.]/)
  const os = systems.filter((s) => words.includes(s))
  const cpu = processors.filter((p) =>
    words.some((w) => w === p || (w.startsWith(`${p}`) && (p === 'ppc64' || p === 'wasm32'))),
  )
  if (os.length === 0 && cpu.length === 0) return undefined
  return { ...(cpu.length > 0 ? { cpu: [cpu[0]] } : {}), ...(os.length > 0 ? { os } : {}) }
}

let added = 0
for (const [from, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (
      lock.packages[`node_modules/${name}`] !== undefined ||
      lock.packages[`${from}/node_modules/${name}`] !== undefined
    )
      continue
    const platform = platformOf(name)
    if (platform === undefined) continue
    const version = range.replace(/^[\^~>=\s]+/, '')
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platform,
    }
    added++
  }
}
const sorted = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(path, `${JSON.stringify({ ...lock, packages: sorted }, undefined, 2)}\n`)
console.log(`${added} packages of other platforms added`)
