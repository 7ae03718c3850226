// The house rules: imports run one way (cycles are oxlint's import/no-cycle). ports <- api <- store <- client <- why <- apiserver <- controllers, scheduler, kubelet,
// proxy, dns, ingress, metrics <- cluster.ts <- host, sim <- cli. Siblings meet only through the API.
const layer = (name, from, to, comment) => ({ name, comment, severity: 'error', from: { path: `${from}/` }, to: { path: to } })
const siblings = ['controllers', 'scheduler', 'kubelet', 'proxy', 'dns', 'ingress', 'cli']
module.exports = {
  forbidden: [
    layer('ports-are-interfaces', '^src/ports', '^src/(?!ports/)', 'ports import nothing of ours'),
    layer('api-is-pure', '^src/api', '^src/(?!(api|ports)/)', 'api knows ports only'),
    layer('store-knows-bytes', '^src/store', '^src/(?!(store|ports)/)', 'the store never sees an API object'),
    layer('client-below-server', '^src/client', '^src/(?!(client|api|ports)/)', 'clients know the api and ports'),
    layer('why-reads-the-api', '^src/why', '^src/(?!(why|client|api|ports)/)', 'explanations read the API, no component'),
    layer('apiserver-alone', '^src/apiserver', '^src/(?!(apiserver|store|why|client|api|ports)/)', 'the API server knows no component'),
    ...siblings.map((s) =>
      layer(`${s}-stays-apart`, `^src/${s}`, `^src/(${siblings.filter((o) => o !== s).join('|')})/`, 'components meet only through the API')),
    ...siblings.filter((s) => s !== 'cli').map((s) =>
      layer(`${s}-through-the-api`, `^src/${s}`, '^src/(apiserver|store|host|sim)/', 'components meet only through the API and ports')),
    layer('metrics-low', '^src/metrics', '^src/(?!(metrics|client|api|ports)/)', 'metrics know no component'),
    layer('sim-is-virtual', '^src/sim', '^src/(host|cli)/', 'the simulation does not touch the host'),
    {
      name: 'node-only-at-the-edge',
      comment: 'only host, cli and the LMDB and etcd engines may import node:*, so that the rest runs anywhere',
      severity: 'error',
      from: { path: '^src', pathNot: ['^src/(host|cli)/', '^src/store/(lmdb|etcd)', '\\.test\\.ts$'] },
      to: { dependencyTypes: ['core'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(\\.test\\.ts$|/testing/)' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs'] },
  },
}
