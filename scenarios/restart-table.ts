// P10 as a table: the phase after exits, by restart policy, for one container and for two. Run on real containers and on
// simulated ones.
export type Outcome = 'success' | 'failure' | 'oom' | 'none'
export interface Row {
  readonly policy: 'Always' | 'OnFailure' | 'Never'
  readonly containers: readonly Outcome[]
  readonly phase: 'Running' | 'Succeeded' | 'Failed'
  /** Restarts of each container a little later. */
  readonly restarts: readonly number[]
}
export const restartTable: readonly Row[] = [
  { policy: 'Always', containers: ['success'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['success'], phase: 'Succeeded', restarts: [0] },
  { policy: 'Never', containers: ['success'], phase: 'Succeeded', restarts: [0] },
  { policy: 'Always', containers: ['failure'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['failure'], phase: 'Running', restarts: [1] },
  { policy: 'Never', containers: ['failure'], phase: 'Failed', restarts: [0] },
  { policy: 'Always', containers: ['oom'], phase: 'Running', restarts: [1] },
  { policy: 'OnFailure', containers: ['oom'], phase: 'Running', restarts: [1] },
  { policy: 'Never', containers: ['oom'], phase: 'Failed', restarts: [0] },
  { policy: 'Always', containers: ['failure', 'none'], phase: 'Running', restarts: [1, 0] },
  { policy: 'OnFailure', containers: ['failure', 'none'], phase: 'Running', restarts: [1, 0] },
  { policy: 'Never', containers: ['failure', 'none'], phase: 'Running', restarts: [0, 0] },
  { policy: 'Never', containers: ['failure', 'success'], phase: 'Failed', restarts: [0, 0] },
  { policy: 'Never', containers: ['failure', 'failure'], phase: 'Failed', restarts: [0, 0] },
  { policy: 'OnFailure', containers: ['success', 'none'], phase: 'Running', restarts: [0, 0] },
  { policy: 'OnFailure', containers: ['success', 'success'], phase: 'Succeeded', restarts: [0, 0] },
]
/** What a container's status says of how it ended. */
export const ending: Readonly<
  Record<Exclude<Outcome, 'none'>, { readonly exitCode: number; readonly reason: string }>
> = {
  success: { exitCode: 0, reason: 'Completed' },
  failure: { exitCode: 1, reason: 'Error' },
  oom: { exitCode: 137, reason: 'OOMKilled' },
}
