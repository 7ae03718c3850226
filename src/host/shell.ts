// A few shells that wait for work. Starting a program from a large process stops its event loop for 10 ms (the kernel
// copies its page tables); asking a small shell to start it costs nothing here. They lead sessions of their own, so that
// Ctrl-C reaches cox alone, and end when their input does.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { CommandError } from './command.ts'

export interface Shell {
  /** Runs a program; standard output and error together. Rejects with CommandError unless it exits with 0. */
  run(file: string, args: readonly string[], input?: string): Promise<string>
  close(): void
}

interface Job {
  readonly file: string
  readonly script: string
  readonly resolve: (output: string) => void
  readonly reject: (error: Error) => void
}
interface Worker {
  readonly child: ChildProcessWithoutNullStreams
  job: Job | undefined
  output: string
}

/** The environment of a program of the machine: found although the user's path is short, and speaking English. */
export const toolEnv = (): Readonly<Record<string, string>> => ({
  PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`,
  LC_ALL: 'C',
})

/** A program that works for us keeps our process alive, one that waits does not. */
export function keepAlive(child: ChildProcessWithoutNullStreams, alive: boolean): void {
  const handles = [child, child.stdin, child.stdout, child.stderr] as unknown as { ref(): void; unref(): void }[]
  for (const handle of handles) {
    if (alive) handle.ref()
    else handle.unref()
  }
}

const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`

/** Up to `size` programs at a time; the others wait their turn. Shells are started when first needed. */
export function createShell(size = 3): Shell {
  const token = `end-${randomBytes(8).toString('hex')}`
  const workers: Worker[] = []
  const waiting: Job[] = []
  let closed = false

  const assign = (worker: Worker) => {
    const job = waiting.shift()
    keepAlive(worker.child, job !== undefined)
    if (job === undefined) return
    worker.job = job
    worker.output = ''
    worker.child.stdin.write(job.script)
  }
  const finish = (worker: Worker, end: RegExpExecArray) => {
    const { job } = worker
    const output = worker.output.slice(0, end.index)
    const code = Number(end[1])
    worker.job = undefined
    if (code === 0) job?.resolve(output)
    else {
      const lines = output.trim().split('\n')
      const why =
        code === 127 ? 'is not installed' : (lines.findLast((line) => line.trim() !== '') ?? `exit code ${code}`)
      job?.reject(new CommandError(`${job.file}${code === 127 ? ' ' : ': '}${why}`, code, output.trim()))
    }
    assign(worker)
  }
  const add = () => {
    const child = spawn('/bin/sh', [], {
      stdio: 'pipe',
      detached: true,
      cwd: '/',
      env: toolEnv(),
    })
    const worker: Worker = { child, job: undefined, output: '' }
    const ending = new RegExp(`\\n${token} (\\d+)\\n`)
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      worker.output += text
      const end = ending.exec(worker.output)
      if (end !== null) finish(worker, end)
    })
    child.stdin.on('error', () => child.kill('SIGKILL'))
    child.on('error', (error) => worker.job?.reject(new CommandError(`/bin/sh: ${error.message}`, undefined, '')))
    child.on('close', () => {
      workers.splice(workers.indexOf(worker), 1)
      worker.job?.reject(new CommandError(`${worker.job.file}: its shell was ended`, undefined, ''))
      if (!closed && waiting.length > 0) add()
    })
    workers.push(worker)
    assign(worker)
  }
  return {
    run: (file, args, input) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new CommandError(`${file}: the shell is closed`, undefined, ''))
        const command = [file, ...args].map(quote).join(' ')
        const redirect = input === undefined ? '</dev/null' : `<<'${token}'`
        const body = input === undefined ? '' : `${input}${input.endsWith('\n') ? '' : '\n'}${token}\n`
        waiting.push({
          file,
          script: `${command} 2>&1 ${redirect}\n${body}printf '\\n${token} %d\\n' $?\n`,
          resolve,
          reject,
        })
        const idle = workers.find((worker) => worker.job === undefined)
        if (idle !== undefined) assign(idle)
        else if (workers.length < size) add()
      }),
    close() {
      closed = true
      for (const worker of workers) worker.child.stdin.end()
    },
  }
}
