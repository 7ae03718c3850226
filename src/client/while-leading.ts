// Something that may run in one process of several at a time: it runs while this one holds the Lease, and is stopped when it no
// longer does. A term begins only when the end of the last one is complete.
import { type LeaderElection, type LeaderElectionOptions, startLeaderElection } from './leader-election.ts'

export interface Running {
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>
}
export interface WhileLeadingOptions extends Omit<LeaderElectionOptions, 'lead'> {
  readonly start: () => Running
}
export interface Candidate extends Running {
  readonly election: LeaderElection
}

export function whileLeading({ start, ...options }: WhileLeadingOptions): Candidate {
  let ended: Promise<void> = Promise.resolve()
  const election = startLeaderElection({
    ...options,
    lead(signal) {
      ended = oneTerm(ended, signal, start)
    },
  })
  return {
    election,
    async stop() {
      await election.stop()
      await ended
    },
  }
}

/** Runs from the end of the last term until `signal` aborts; resolves when nothing of it runs any more. */
async function oneTerm(last: Promise<void>, signal: AbortSignal, start: () => Running): Promise<void> {
  await last
  if (signal.aborted) return
  const running = start()
  await new Promise<void>((done) => {
    signal.addEventListener('abort', () => done(), { once: true })
  })
  await running.stop()
}
