// cox logs: a container's output, as it was and as it comes.
import { type Command, CliError, dataDirFlag, namespaceFlags } from '../command.ts'
import { connect, serverError, wholeBody } from '../connect.ts'

export const logs: Command = {
  name: 'logs',
  summary: "Print a container's log.",
  usage: 'logs POD [-c CONTAINER] [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    container: { type: 'string', short: 'c', value: 'NAME', help: 'container (default: the only one)' },
    follow: { type: 'boolean', short: 'f', help: 'go on until the container ends' },
    previous: { type: 'boolean', short: 'p', help: 'of the run before the last restart' },
    tail: { type: 'string', value: 'LINES', help: 'only the last lines' },
    timestamps: { type: 'boolean', help: 'with the time of each line' },
  },
  async run(call) {
    const pod = call.positionals[0]?.replace(/^pods?\//, '')
    if (pod === undefined) throw new CliError('say which pod: cox logs POD', 2)
    const tail = call.flag('tail')
    if (tail !== undefined && !/^\d+$/.test(tail))
      throw new CliError(`--tail wants a number of lines, not "${tail}"`, 2)
    const query = new URLSearchParams()
    const container = call.flag('container')
    if (container !== undefined) query.set('container', container)
    if (tail !== undefined) query.set('tailLines', tail)
    for (const name of ['follow', 'previous', 'timestamps']) if (call.on(name)) query.set(name, 'true')
    const transport = connect(call)
    try {
      const namespace = encodeURIComponent(call.flag('namespace') ?? 'default')
      const response = await transport.send({
        method: 'GET',
        path: `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/log?${query.toString()}`,
      })
      if (response.status >= 400) throw serverError(response.status, await wholeBody(response))
      if (response.body !== undefined) process.stdout.write(response.body)
      else if (response.stream?.kind === 'bytes')
        for await (const chunk of response.stream.chunks)
          if (!process.stdout.write(chunk)) await new Promise((done) => process.stdout.once('drain', done))
      return 0
    } finally {
      transport.close?.()
    }
  },
}
