// Steps that must not overlap, in the order in which they were asked for.

/** Runs a step when all that were given before have ended, well or not; its caller has its answer or its error. */
export type Turns = <T>(step: () => Promise<T>) => Promise<T>

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return (step) => {
    const turn = last.then(step)
    // The step's own caller hears of its error.
    last = turn.catch(() => undefined)
    return turn
  }
}
