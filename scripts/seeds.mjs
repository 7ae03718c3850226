#!/usr/bin/env node
// Plays random histories of the controllers, one for each seed, and says which seeds break a promise. Plain Node, no test
// runner: a thousand take minutes. A seed that fails belongs into the list of known seeds of the test that names it.
// usage: seeds.mjs [--from 1] [--count 1000] [--verbose]
import { build } from 'esbuild'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values: a } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000' },
    verbose: { type: 'boolean', default: false },
  },
})
const root = join(import.meta.dirname, '..')
mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
const dir = mkdtempSync(join(root, 'node_modules/.cache/seeds-'))
const outfile = join(dir, 'bundle.mjs')
await build({
  entryPoints: [join(root, 'src/controllers/testing/rollout-history.ts')],
  bundle: true,
  format: 'esm',
  platform: 'node',
  banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  outfile,
  logLevel: 'error',
})
const { rolloutHistory } = await import(outfile)
rmSync(dir, { recursive: true })
const [from, count] = [Number(a.from), Number(a.count)]
const began = process.cpuUsage()
const failed = []
for (let seed = from; seed < from + count; seed++) {
  const { story, missing, violations } = await rolloutHistory(seed)
  if (missing === undefined && violations.length === 0) continue
  failed.push(seed)
  console.log(`seed ${seed}: ${[...(missing === undefined ? [] : [missing]), ...violations].join('; ')}`)
  if (a.verbose) console.log(story)
}
const { user, system } = process.cpuUsage(began)
console.log(`${count} seeds from ${from}: ${failed.length} failed, ${((user + system) / 1e6).toFixed(1)} s of CPU`)
process.exitCode = failed.length === 0 ? 0 : 1
