// Bundles the command line and the library. LMDB's native binary and esbuild (which reads
// scheduler plugins of the user's) stay in node_modules: they are loaded beside the bundle.
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['lmdb', 'pino-pretty', 'esbuild'],
  legalComments: 'none',
  logLevel: 'warning',
  outdir: 'dist',
  minify: true,
  keepNames: true,
  sourcemap: 'linked',
}
const module = {
  ...common,
  format: 'esm',
  banner: {
    js: "import { createRequire as coxRequire } from 'node:module'; const require = coxRequire(import.meta.url);",
  },
}
rmSync('dist', { recursive: true, force: true })
await Promise.all([
  build({
    ...module,
    splitting: true,
    entryPoints: { cox: 'src/cli/cox.ts', index: 'src/index.ts' },
    define: { 'process.env.COX_VERSION': JSON.stringify(version) },
  }),
  // One script, as V8's code for a script can be kept in a file and that for modules cannot.
  build({
    ...common,
    format: 'cjs',
    entryPoints: { serving: 'src/cli/serving.ts' },
    outExtension: { '.js': '.cjs' },
    define: { 'process.env.COX_VERSION': JSON.stringify(version), 'import.meta.url': 'coxUrl' },
    banner: {
      js: "(function (exports, require, module, __filename, __dirname) { const coxUrl = require('node:url').pathToFileURL(__filename).href;",
    },
    footer: { js: '})' },
  }),
])
// ASCII, which V8 reads where it lies: esbuild escapes what is in strings, what is left stands in regular expressions. The comment
// tells builds apart, on the banner's line, which has no place in the source map.
const script = readFileSync('dist/serving.cjs', 'utf8').replace(
  /[^\0-\x7f]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
)
const hash = createHash('sha256').update(script).digest('hex').slice(0, 12)
writeFileSync('dist/serving.cjs', `/* ${hash} */${script}`)
chmodSync('dist/cox.js', 0o755)
