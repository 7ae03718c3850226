// What a command of `cox` is: a name, flags with help, and a run that answers the exit code. The grammar is kubectl's where
// users carry habits over: --flag value, --flag=value, -f FILE, -n NS, -- before a command to run.
import { parseArgs } from 'node:util'

/** A failure that the user can mend: printed as one line, exit code 1 (2 for a wrong command line). */
export class CliError extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode = 1) {
    super(message)
    this.name = 'CliError'
    this.exitCode = exitCode
  }
}

export interface Flag {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
  /** What stands for the value in help: DIR, HOST:PORT. */
  readonly value?: string
  readonly help: string
}
export interface Invocation {
  readonly positionals: readonly string[]
  /** Words after `--`. */
  readonly rest: readonly string[]
  flag(name: string): string | undefined
  flags(name: string): readonly string[]
  on(name: string): boolean
}
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** After "cox ": up [flags], get KIND [NAME] [flags]. */
  readonly usage: string
  readonly flags: Readonly<Record<string, Flag>>
  run(call: Invocation): Promise<number>
}

export const dataDirFlag = {
  'data-dir': {
    type: 'string',
    value: 'DIR',
    help: 'directory of the cluster (default: $COX_DATA_DIR, else /var/lib/coxswain for root, ~/.local/share/coxswain for others)',
  },
} as const satisfies Record<string, Flag>
export const namespaceFlags = {
  namespace: { type: 'string', short: 'n', value: 'NS', help: 'namespace (default: default)' },
} as const satisfies Record<string, Flag>

const helpFlag: Flag = { type: 'boolean', short: 'h', help: 'this text' }

export function helpOf(command: Command): string {
  const flags = Object.entries({ ...command.flags, help: helpFlag })
  const left = flags.map(([name, flag]) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `
    return `  ${short}--${name}${flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''}`
  })
  const width = Math.max(...left.map((l) => l.length))
  const lines = flags.map(([, flag], i) => `${(left[i] ?? '').padEnd(width)}  ${flag.help}`)
  return `${command.summary}\n\nUsage: cox ${command.usage}\n\nFlags:\n${lines.join('\n')}\n`
}

/** Parses a command line. Throws CliError (exit code 2) that names the offending flag. */
export function parse(command: Command, words: readonly string[]): Invocation | 'help' {
  const divide = words.indexOf('--')
  const own = divide === -1 ? words : words.slice(0, divide)
  const rest = divide === -1 ? [] : words.slice(divide + 1)
  const options: Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }> = {}
  for (const [name, flag] of Object.entries({ ...command.flags, help: helpFlag }))
    options[name] = {
      type: flag.type,
      ...(flag.short === undefined ? {} : { short: flag.short }),
      ...(flag.multiple === undefined ? {} : { multiple: flag.multiple }),
    }
  const { values, positionals } = parseWords(command, own, options)
  if (values['help'] === true) return 'help'
  return {
    positionals,
    rest,
    flag: (name) => {
      const value = values[name]
      return typeof value === 'string' ? value : undefined
    },
    flags: (name) => {
      const value = values[name]
      return Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : []
    },
    on: (name) => values[name] === true,
  }
}

function parseWords(
  command: Command,
  args: readonly string[],
  options: Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }>,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (!(error instanceof Error) || typeof code !== 'string' || !code.startsWith('ERR_PARSE_ARGS')) throw error
    const unknown = /Unknown option '([^']+)'/.exec(error.message)?.[1]
    const what = unknown === undefined ? (error.message.split('. ')[0] ?? error.message) : `unknown flag: ${unknown}`
    throw new CliError(`${what}; "cox ${command.name} --help" lists the flags`, 2)
  }
}

/** Standard output and error of a command; replaced in tests. */
export const out = (text: string): void => void process.stdout.write(text)
export const note = (text: string): void => void process.stderr.write(`${text}\n`)
