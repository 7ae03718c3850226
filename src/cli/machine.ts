// What running containers needs of this machine: looked for before anything is begun, installed when the user agrees.
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { betterWith, canInstall, installCommand, installPackages, missingRequirements } from '../host/requirements.ts'
import { CliError, note } from './command.ts'
import type { NodeSettings } from './node-flags.ts'

/** Root, Linux and programs: one line that says what to do where something is wanting. */
export async function requireMachine(
  { runtime, ...settings }: Pick<NodeSettings, 'runtime' | 'ociRuntime'>,
  yes: boolean,
): Promise<void> {
  if (runtime === 'sim') {
    note(
      'cox: containers are simulated: the API, scheduling, controllers and the node agent are real, processes, images,',
    )
    note('     networks and volumes of pods are not')
    return
  }
  const instead = '"cox up --runtime sim" runs a cluster whose containers are simulated'
  if (process.platform !== 'linux') throw new CliError(`running containers needs Linux; ${instead}`)
  if (process.getuid?.() !== 0) throw new CliError(`running containers needs root: use sudo; ${instead}`)
  if (runtime.startsWith('unix://') && !existsSync(runtime.slice('unix://'.length)))
    throw new CliError(`no container runtime listens at ${runtime}: start it, or leave --runtime away to use our own`)
  const ociRuntime = runtime === 'containerd' ? settings.ociRuntime : undefined
  const missing = missingRequirements(ociRuntime)
  if (missing.packages.length === 0) return
  const what = `missing: ${missing.names.join(', ')}`
  const command = installCommand(missing.packages)
  if (!canInstall()) throw new CliError(`${what}: install them (Debian: ${command}); ${instead}`)
  note(`cox: ${what}`)
  if (!yes && !(await agreed(`install Debian's packages ${missing.packages.join(', ')}? [Y/n] `)))
    throw new CliError(`nothing was installed: use --yes, or run "${command}"`)
  note(`cox: installing ${missing.packages.join(', ')} (${command})`)
  try {
    await installPackages(missing.packages, (line) => note(`     ${line}`))
  } catch (error) {
    throw new CliError(
      `${error instanceof Error ? error.message : String(error)}; run "apt-get update && ${command}" by hand`,
    )
  }
  const still = missingRequirements(ociRuntime)
  if (still.names.length > 0) throw new CliError(`still missing after the installation: ${still.names.join(', ')}`)
  for (const name of betterWith(ociRuntime))
    try {
      note(`cox: installing ${name} (${installCommand([name])})`)
      await installPackages([name], (line) => note(`     ${line}`))
    } catch (error) {
      note(`cox: going on without it: ${error instanceof Error ? error.message : String(error)}`)
    }
}
async function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(question)
  terminal.close()
  return /^(y|yes|)$/i.test(answer.trim())
}
