// Bundles the command line and the library. LMDB's native binary and esbuild (which reads
// scheduler plugins of the user's) stay in node_modules: they are loaded beside the bundle.
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  splitting: true,
  external: ['lmdb', 'pino-pretty', 'esbuild'],
  define: { 'process.env.COX_VERSION': JSON.stringify(version) },
  banner: {
    js: "import { createRequire as coxRequire } from 'node:module'; const require = coxRequire(import.meta.url);",
  },
  legalComments: 'none',
  logLevel: 'warning',
}
rmSync('dist', { recursive: true, force: true })
await build({
  ...common,
  entryPoints: { cox: 'src/cli/cox.ts', index: 'src/index.ts' },
  outdir: 'dist',
  minify: true,
  keepNames: true,
  sourcemap: 'linked',
})
chmodSync('dist/cox.js', 0o755)
