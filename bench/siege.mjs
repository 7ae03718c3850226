// Bundles and runs siege.ts: Node 20 cannot run TypeScript.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname
const work = mkdtempSync(join(tmpdir(), 'cox-siege-'))
symlinkSync(join(here, '..', 'node_modules'), join(work, 'node_modules'))
const outfile = join(work, 'siege.mjs')
await build({
  entryPoints: [join(here, 'siege.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  sourcemap: 'inline',
})
const { status } = spawnSync(process.execPath, ['--expose-gc', outfile, ...process.argv.slice(2)], { stdio: 'inherit' })
rmSync(work, { recursive: true })
process.exit(status ?? 1)
