// Waiting that can be cut short: the work goes on by itself, its result no longer matters.

/** The value of `work`, or undefined as soon as `signal` aborts. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) {
    // Nobody looks at its failure any more.
    work.catch(() => {})
    return undefined
  }
  let stop = () => {}
  const aborted = new Promise<undefined>((done) => {
    stop = () => done(undefined)
    signal.addEventListener('abort', stop)
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
    work.catch(() => {})
  }
}
