import { readFileSync } from 'node:fs'
import { type Command, dataDirFlag, out } from '../command.ts'
import { dataDirOf, kubeconfigPath, requireServer } from '../data-dir.ts'

export const kubeconfig: Command = {
  name: 'kubeconfig',
  summary: 'Print the kubeconfig of the cluster (context coxswain).',
  usage: 'kubeconfig [flags]',
  flags: { ...dataDirFlag },
  run(call) {
    const dataDir = dataDirOf(call)
    requireServer(dataDir)
    out(readFileSync(kubeconfigPath(dataDir), 'utf8'))
    return Promise.resolve(0)
  },
}
