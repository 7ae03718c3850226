// What an agent keeps of its membership in its data directory, for whoever asks the cluster in the node's name.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHttpTransport } from '../host/http-transport.ts'
import { credentialFile } from '../host/remote-node/certificates.ts'
import type { Transport } from '../ports/transport.ts'
import { CliError } from './command.ts'

/** The way to the API as the node of this data directory. Throws CliError where it has joined no cluster. */
export function nodeTransport(dataDir: string, url: string): Transport {
  const folder = join(dataDir, 'pki')
  const caFile = join(folder, 'ca.crt')
  const credentials = credentialFile(folder, 'kubelet-client').read()
  if (credentials === undefined || !existsSync(caFile))
    throw new CliError(`the node of ${dataDir} has joined no cluster: "cox agent --server URL --token TOKEN" does`)
  return createHttpTransport({ url, ca: readFileSync(caFile, 'utf8'), credentials: () => credentials })
}
