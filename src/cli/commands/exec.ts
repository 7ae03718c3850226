// cox exec: a command in a running container, with its exit code as ours.
import { openSession, spdyUpgradeHeaders } from '../../host/streaming/client.ts'
import { type Command, CliError, dataDirFlag, namespaceFlags, note } from '../command.ts'
import { connect, serverError, wholeBody } from '../connect.ts'

async function copy(from: AsyncIterable<Uint8Array> | undefined, to: NodeJS.WriteStream): Promise<void> {
  if (from === undefined) return
  for await (const chunk of from) if (!to.write(chunk)) await new Promise((done) => to.once('drain', done))
}

export const exec: Command = {
  name: 'exec',
  summary: 'Run a command in a container.',
  usage: 'exec POD [-c CONTAINER] [-i] [-t] [flags] -- COMMAND [ARG ...]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    container: { type: 'string', short: 'c', value: 'NAME', help: 'container (default: the first)' },
    stdin: { type: 'boolean', short: 'i', help: 'pass standard input on' },
    tty: { type: 'boolean', short: 't', help: 'give the command a terminal' },
  },
  async run(call) {
    const pod = call.positionals[0]?.replace(/^pods?\//, '')
    const command = call.rest.length > 0 ? call.rest : call.positionals.slice(1)
    if (pod === undefined || command.length === 0)
      throw new CliError('say which pod and what to run: cox exec POD -- COMMAND', 2)
    const tty = call.on('tty') && process.stdin.isTTY
    const stdin = call.on('stdin')
    const query = new URLSearchParams({ stdout: 'true' })
    for (const word of command) query.append('command', word)
    const container = call.flag('container')
    if (container !== undefined) query.set('container', container)
    if (stdin) query.set('stdin', 'true')
    if (tty) query.set('tty', 'true')
    else query.set('stderr', 'true')
    const transport = connect(call)
    try {
      const namespace = encodeURIComponent(call.flag('namespace') ?? 'default')
      const upgraded = await transport.upgrade?.({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/exec?${query.toString()}`,
        headers: spdyUpgradeHeaders('v4.channel.k8s.io'),
      })
      if (upgraded === undefined) throw new CliError('this connection cannot be upgraded')
      if (!upgraded.ok) throw serverError(upgraded.response.status, await wholeBody(upgraded.response))
      const session = await openSession(upgraded.stream, { stdin, stdout: true, stderr: !tty, tty })
      const resize = () => void session.resize(process.stdout.columns, process.stdout.rows)
      if (tty) {
        process.stdin.setRawMode(true)
        resize()
        process.stdout.on('resize', resize)
      }
      if (stdin && session.stdin !== undefined) {
        const input = session.stdin
        process.stdin.on('data', (chunk: Buffer) => void input.write(chunk))
        process.stdin.on('end', () => void input.end())
      }
      await Promise.all([copy(session.stdout, process.stdout), copy(session.stderr, process.stderr)])
      const { exitCode, message } = await session.result
      if (tty) process.stdin.setRawMode(false)
      process.stdin.destroy()
      if (exitCode !== 0 && message !== '') note(message)
      return exitCode ?? 1
    } finally {
      transport.close?.()
    }
  },
}
