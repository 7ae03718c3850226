#!/usr/bin/env node
// The command line. Commands are loaded when they are called, so that `cox version` does not pay for a cluster.
import { type CliError, type Command, helpOf, note, out, parse } from './command.ts'

type Load = () => Promise<Command>
const clusterCommands = async () => (await import('./code-cache.ts')).serving()
/** Every command, in the order of `cox --help`. */
const commands: Readonly<Record<string, { readonly summary: string; readonly load: Load }>> = {
  up: { summary: 'start a cluster on this machine', load: async () => (await clusterCommands()).up },
  server: {
    summary: 'start a control plane on this machine, for agents on others',
    load: async () => (await clusterCommands()).server,
  },
  agent: {
    summary: 'make this machine a node of a cluster that runs elsewhere',
    load: async () => (await clusterCommands()).agent,
  },
  token: {
    summary: 'create, list and delete the tokens that agents join with',
    load: async () => (await import('./commands/token.ts')).token,
  },
  down: {
    summary: 'stop the cluster and take away all it made on the machine',
    load: async () => (await import('./commands/down.ts')).down,
  },
  status: {
    summary: 'say whether the cluster runs, where, and how it is',
    load: async () => (await import('./commands/status.ts')).status,
  },
  kubeconfig: {
    summary: 'print the kubeconfig',
    load: async () => (await import('./commands/kubeconfig.ts')).kubeconfig,
  },
  image: {
    summary: 'load and list images: image load FILE|-, image ls',
    load: async () => (await import('./commands/image.ts')).image,
  },
  get: { summary: 'list objects', load: async () => (await import('./commands/get.ts')).get },
  describe: {
    summary: 'show an object with its events',
    load: async () => (await import('./commands/describe.ts')).describe,
  },
  why: {
    summary: 'explain why an object is as it is, and what would help',
    load: async () => (await import('./commands/why.ts')).why,
  },
  apply: {
    summary: 'create or change objects from files',
    load: async () => (await import('./commands/apply.ts')).apply,
  },
  delete: { summary: 'delete objects', load: async () => (await import('./commands/delete.ts')).deleteCommand },
  'rolling-update': {
    summary: 'replace the pods of a ReplicationController one by one',
    load: async () => (await import('./commands/rolling-update.ts')).rollingUpdate,
  },
  logs: { summary: "print a container's log", load: async () => (await import('./commands/logs.ts')).logs },
  exec: { summary: 'run a command in a container', load: async () => (await import('./commands/exec.ts')).exec },
  version: { summary: 'print the version', load: async () => (await import('./commands/version.ts')).version },
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return `Coxswain: Kubernetes in one program.\n\nUsage: cox COMMAND [flags]\n\nCommands:\n${lines.join('\n')}\n\n"cox COMMAND --help" says more.\n`
}

/** Answers the exit code; failures that the user can mend are one line on standard error. */
async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    out(overview())
    return 0
  }
  if (name === '--version') return main(['version', ...rest])
  const entry = commands[name]
  if (entry === undefined) {
    note(`cox: unknown command "${name}"; "cox --help" lists the commands`)
    return 2
  }
  try {
    const command = await entry.load()
    const call = parse(command, rest)
    if (call === 'help') {
      out(helpOf(command))
      return 0
    }
    return await command.run(call)
  } catch (error) {
    // By name: the commands that run a cluster bring classes of their own.
    if (error instanceof Error && error.name === 'CliError') {
      note(`cox: ${error.message}`)
      return (error as CliError).exitCode
    }
    // Whatever the API or a port answered: its own message is the best line there is.
    if (
      error instanceof Error &&
      ['ApiError', 'TransportError', 'StoreOpenError', 'CommandError'].includes(error.name)
    ) {
      note(`cox: ${error.message}`)
      return 1
    }
    throw error
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has gone (cox get pods | head): nobody is left to tell.
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
process.exitCode = await main(process.argv.slice(2))
