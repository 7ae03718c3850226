// cox down: ends the server and takes away what it made on the machine; works as well where the server was killed.
import { existsSync } from 'node:fs'
import { removeNode } from '../../host/cleanup.ts'
import { gone } from '../../host/containerd/processes.ts'
import { instanceOf } from '../../host/instance.ts'
import { type Command, CliError, dataDirFlag, note, out } from '../command.ts'
import { dataDirOf, readRunState, removeRunState, runningServer } from '../data-dir.ts'

const stopMs = 120_000

export const down: Command = {
  name: 'down',
  summary: 'Stop the cluster. Its objects and images stay in the data directory; "cox up" brings them back.',
  usage: 'down [--keep-pods] [flags]',
  flags: {
    ...dataDirFlag,
    'keep-pods': { type: 'boolean', help: 'leave the pods running; the next "cox up" takes them over' },
  },
  async run(call) {
    const dataDir = dataDirOf(call)
    const keep = call.on('keep-pods')
    // Of a server that was killed, too: it says which runtime it used.
    const last = readRunState(dataDir)
    const server = runningServer(dataDir)
    if (server !== undefined) {
      note(`cox: stopping process ${server.pid}`)
      process.kill(server.pid, keep ? 'SIGTERM' : 'SIGINT')
      if (!(await gone(server.pid, stopMs)))
        throw new CliError(`process ${server.pid} does not end: kill it, then run "cox down" again`)
    }
    if (!existsSync(dataDir))
      throw new CliError(`there is no cluster in ${dataDir}: --data-dir names another directory`)
    if (!keep) {
      await removeNode({
        instance: instanceOf(dataDir),
        onProgress: (text) => note(`cox: ${text}`),
        sharedRuntime: last?.runtime.startsWith('unix://') === true ? last.runtime : undefined,
      })
      removeRunState(dataDir)
    }
    if (server === undefined)
      out(`no server was running in ${dataDir}${keep ? '' : '; nothing of it is left on the machine'}\n`)
    else out(keep ? 'the server has ended, its pods run on\n' : 'the cluster has ended\n')
    return 0
  },
}
