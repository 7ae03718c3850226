// What a configuration says of CPUs and memory must fit the machine it is for.
import type { MachineFacts } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import { reservedCpus } from './cpus.ts'
import { reservedMemoryProblem } from './numa-memory.ts'

/** Each with the field that is to blame. */
export function machineProblems(config: KubeletConfig, machine: MachineFacts): readonly string[] {
  const problems: string[] = []
  if (config.cpuManagerPolicy === 'static' && reservedCpus(config, machine.topology).length === 0)
    problems.push(
      'cpuManagerPolicy: the static CPU policy needs CPUs for the system: set reservedSystemCPUs, kubeReserved or systemReserved',
    )
  const memory = config.memoryManagerPolicy === 'Static' ? reservedMemoryProblem(config, machine) : undefined
  if (memory !== undefined) problems.push(`reservedMemory: ${memory}`)
  return problems
}
