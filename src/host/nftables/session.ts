// An nft that waits for work. Starting one costs more than most changes do (it links a dozen libraries and asks the kernel
// for its tables): `nft -i` takes each line as one transaction. It says nothing when all went well, so every line is
// followed by a word that is no command, and the complaint about that word is the end of the answer.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { CommandError } from '../command.ts'
import { keepAlive, toolEnv } from '../shell.ts'

export interface NftSession {
  /** Applies commands, none of which holds a line break, in one transaction; 'unable' where this nft has no interactive mode.
   * Rejects with CommandError when the kernel or nft refuses, or when nft ended and nobody knows. */
  run(commands: readonly string[]): Promise<'done' | 'unable'>
  /** Starts nft, so that the first change does not wait for it. */
  begin(): void
  end(): void
}

/** nft remembers every line of its input: a new one takes over after so many bytes. */
const maxBytes = 4 << 20

interface Waiting {
  /** Settles with what nft complained of. */
  readonly answered: (complaint: string) => void
  readonly ended: (error: Error) => void
}
interface Running {
  readonly child: ChildProcessWithoutNullStreams
  readonly ready: Promise<boolean>
  bytes: number
  ask(line: string): Promise<string>
}

function start(prefix: readonly string[]): Running {
  const word = `end${randomBytes(8).toString('hex')}`
  const [file, ...args] = [...prefix, 'nft', '-i']
  // A history file is kept in the home directory: there is none.
  const env = { ...toolEnv(), HOME: '/nonexistent' }
  const child = spawn(file, args, { stdio: 'pipe', detached: true, cwd: '/', env })
  const end = new RegExp(`(^|\\n)Error: [^\\n]*\\n${word}\\n *\\^+\\n`)
  const waiting: Waiting[] = []
  let heard = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (text: string) => {
    heard += text
    for (let found = end.exec(heard); found !== null; found = end.exec(heard)) {
      const complaint = heard.slice(0, found.index).trim()
      heard = heard.slice(found.index + found[0].length)
      waiting.shift()?.answered(complaint)
    }
    keepAlive(child, waiting.length > 0)
  })
  child.stdout.resume()
  const fail = (why: string) => {
    for (const { ended } of waiting.splice(0)) ended(new CommandError(`nft: ${why}`, undefined, heard.trim()))
  }
  child.stdin.on('error', () => child.kill('SIGKILL'))
  child.on('error', (error) => fail(error.message))
  child.on('close', (code) => fail(`ended with exit code ${code}`))
  const ask = (line: string) =>
    new Promise<string>((answered, ended) => {
      if (child.exitCode !== null || child.signalCode !== null)
        return ended(new CommandError('nft: ended', undefined, ''))
      waiting.push({ answered, ended })
      keepAlive(child, true)
      running.bytes += line.length
      child.stdin.write(`${line}\n${word}\n`)
    })
  // Without an interactive mode, or without nft, it ends at once.
  const running: Running = { child, bytes: 0, ask, ready: Promise.resolve(false) }
  return Object.assign(running, {
    ready: ask('').then(
      () => true,
      () => false,
    ),
  })
}

/** `prefix` stands before nft (`ip netns exec NAME`). Calls must not overlap. */
export function nftSession(prefix: readonly string[]): NftSession {
  let running: Running | undefined
  let able: boolean | undefined
  const begin = () => {
    if (able !== false) running ??= start(prefix)
  }
  const end = () => {
    running?.child.stdin.end()
    running = undefined
  }
  return {
    begin,
    end,
    async run(commands) {
      begin()
      const current = running
      if (current === undefined) return 'unable'
      const ready = await current.ready
      able ??= ready
      if (!ready) {
        if (running === current) running = undefined
        return 'unable'
      }
      try {
        const complaint = await current.ask(commands.join('; '))
        if (!/^Error: /m.test(complaint)) return 'done'
        const [why = complaint] = complaint.split('\n').filter((line) => line.startsWith('Error: '))
        throw new CommandError(`nft: ${why.slice('Error: '.length)}`, 1, complaint)
      } finally {
        if (current.child.exitCode !== null || current.child.signalCode !== null) running = undefined
        else if (current.bytes > maxBytes) {
          end()
          begin()
        }
      }
    },
  }
}
