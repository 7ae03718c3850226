import { type Command, dataDirFlag, out } from '../command.ts'

/** Put in by the build; a source checkout says so. */
const coxVersion = process.env['COX_VERSION'] ?? 'source'

export const version: Command = {
  name: 'version',
  summary: 'Print the version of cox and of the Kubernetes API it serves.',
  usage: 'version',
  flags: { ...dataDirFlag },
  run() {
    out(`cox ${coxVersion} (Kubernetes 1.36, Node ${process.versions.node})\n`)
    return Promise.resolve(0)
  },
}
