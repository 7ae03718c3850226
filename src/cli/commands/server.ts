// cox server: a control plane without a node of its own.
import { type Command, out } from '../command.ts'
import { kubeconfigPath } from '../data-dir.ts'
import { runService, serveOptionsOf, serverFlags } from './up.ts'

export const server: Command = {
  name: 'server',
  summary:
    'Start a control plane on this machine: API server, controllers and scheduler. Nodes are added by "cox agent" on other machines. "cox up" is both in one.',
  usage: 'server [flags]',
  flags: serverFlags,
  async run(call) {
    const options = { ...(await serveOptionsOf(call, 'server')), node: undefined }
    const { dataDir } = options
    return runService(call, {
      dataDir,
      start: async (onProgress) => (await import('../serve.ts')).serve(options, onProgress),
      sayReady(url) {
        const flag = dataDir === '/var/lib/coxswain' ? '' : ` --data-dir ${dataDir}`
        out(`the control plane is ready: ${url}\n`)
        out(`  kubectl --kubeconfig ${kubeconfigPath(dataDir)} get nodes\n`)
        out(`  cox token create${flag}     prints how another machine joins\n  cox down${flag}\n`)
      },
    })
  },
}
