// Whether the machine is on its way down, so that a service that is asked to end knows why.
import { existsSync } from 'node:fs'
import { run } from './command.ts'

/** What systemd says; false where there is none. */
export async function machineGoesDown(): Promise<boolean> {
  if (!existsSync('/run/systemd/system')) return false
  // Every state but "running" has an exit code of its own.
  return (await run('sh', ['-c', 'systemctl is-system-running || true'])).trim() === 'stopping'
}
