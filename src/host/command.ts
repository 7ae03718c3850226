// Runs the machine's own tools. A failure is one line: the tool's name and the first thing it complained of.
import { spawn } from 'node:child_process'

export class CommandError extends Error {
  readonly code: number | undefined
  readonly stderr: string
  constructor(message: string, code: number | undefined, stderr: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'CommandError'
    this.code = code
    this.stderr = stderr
  }
}
export interface RunOptions {
  readonly input?: string | AsyncIterable<Uint8Array>
  readonly env?: Readonly<Record<string, string>>
  /** Killed after this time. Default: never. */
  readonly timeoutMs?: number
}

/** Runs a program and answers its standard output; rejects with CommandError when it fails or is not there. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', ...options.env },
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let inputError: unknown
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    const timer =
      options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.timeoutMs)
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      const why = error.code === 'ENOENT' ? 'is not installed' : error.message
      reject(new CommandError(`${file} ${why}`, undefined, '', { cause: error }))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const stderr = Buffer.concat(err).toString('utf8').trim()
      if (inputError !== undefined) reject(inputError)
      else if (code === 0) resolve(Buffer.concat(out).toString('utf8'))
      else {
        const why = stderr.split('\n').findLast((line) => line.trim() !== '') ?? signal ?? `exit code ${code}`
        reject(new CommandError(`${file}: ${why}`, code ?? undefined, stderr))
      }
    })
    if (child.stdin !== null && options.input !== undefined)
      feed(child.stdin, options.input).catch((error: unknown) => {
        inputError = error
        child.kill()
      })
  })
}

/** A program that stops reading says why by its exit; what could not be written any more does not matter. */
async function feed(stdin: NodeJS.WritableStream, input: string | AsyncIterable<Uint8Array>): Promise<void> {
  let gone = false
  let wake = () => {}
  stdin.on('error', () => {
    gone = true
    wake()
  })
  stdin.on('drain', () => wake())
  if (typeof input === 'string') return void stdin.end(input)
  for await (const chunk of input) {
    if (gone) return
    if (!stdin.write(chunk))
      await new Promise<void>((resolve) => {
        wake = resolve
        if (gone) resolve()
      })
  }
  stdin.end()
}
