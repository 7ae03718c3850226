// Bundles and runs a program of this folder: node bench/run.mjs NAME [ARGUMENT...]. Node 20 cannot run TypeScript.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname
const [name = '', ...rest] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'cox-bench-'))
symlinkSync(join(here, '..', 'node_modules'), join(work, 'node_modules'))
const outfile = join(work, 'bench.mjs')
await build({
  entryPoints: [join(here, `${name}.ts`)],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  sourcemap: 'inline',
})
const { status } = spawnSync(process.execPath, [...process.execArgv, outfile, ...rest], {
  stdio: 'inherit',
})
rmSync(work, { recursive: true })
process.exit(status ?? 1)
