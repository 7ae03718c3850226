// The ports of a simulated cluster, all of them functions of one seed.
import type { ClusterPorts } from '../ports/ports.ts'
import { Faults } from './faults.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'
import { simIdentity } from './sim-identity.ts'
import { type SimLog, simLog } from './sim-log.ts'
import { type SimNode, type SimNodeOptions, simNode } from './sim-node.ts'
import { type Drain, VirtualClock } from './virtual-clock.ts'
import { type Latencies, SimWorld } from './world.ts'

export interface SimOptions {
  /** Decides names, luck, latencies and faults. Default: 1. */
  readonly seed?: number | string
  /** When the simulation begins, milliseconds since 1970. Default: the year 2026. */
  readonly startMs?: number
  readonly latencies?: Partial<Latencies>
  /** False: only images that were given to `world.image()` can be pulled. Default: true. */
  readonly anyImage?: boolean
  /** How promises are drained between timers, for hosts without setImmediate and MessageChannel. */
  readonly drain?: Drain
}
export interface SimPorts extends ClusterPorts {
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly log: SimLog
  readonly world: SimWorld
  readonly faults: Faults
  /** A machine in this world, with faults in reach. */
  node(name: string, options?: SimNodeOptions): Promise<SimNode>
}

/** Ports for `startCluster`. The same options give the same run. */
export function simPorts(options: SimOptions = {}): SimPorts {
  const { seed = 1, startMs, latencies, anyImage, drain } = options
  const clock = new VirtualClock({ ...(startMs === undefined ? {} : { startMs }), ...(drain ? { drain } : {}) })
  const root = seededRandom(seed)
  const world = new SimWorld({
    clock,
    random: root.fork('world'),
    ...(latencies === undefined ? {} : { latencies }),
    ...(anyImage === undefined ? {} : { anyImage }),
  })
  return {
    clock,
    random: root.fork('cluster'),
    log: simLog(clock),
    identity: simIdentity(seed),
    world,
    faults: new Faults(root.fork('faults')),
    node: (name, nodeOptions) => simNode(world, name, nodeOptions),
  }
}
