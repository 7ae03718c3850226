// Which programs make containers below containerd: runc, and crun, which takes a third less time for a pod and works
// where the machine's control groups suit it. On hybrid control groups crun refuses to work while any controller is left to
// the second generation; the one that is often left, hugetlb, is then mounted for us alone.
// See docs/decisions/0022-crun-where-it-works.md.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ownHierarchy } from '../cgroups.ts'
import { CommandError, run } from '../command.ts'
import type { Instance } from '../instance.ts'
import { readMounts } from '../mounts.ts'
import { programPath } from '../program-path.ts'
import { isOlder } from '../version-order.ts'

export const ociRuntimeNames = ['runc', 'crun'] as const
export type OciRuntimeName = (typeof ociRuntimeNames)[number]
export type OciRuntimeChoice = 'auto' | OciRuntimeName

/** The oldest crun that is known to pass. */
export const oldestCrun = '1.8'

/** What the machine has. A text says why crun cannot be used. */
export interface OciSurvey {
  readonly runc: boolean
  readonly crun: { readonly version: string } | string
}
export interface OciRuntimes {
  /** Every handler that a RuntimeClass can name. */
  readonly handlers: readonly OciRuntimeName[]
  /** Takes pods without a RuntimeClass. */
  readonly standard: OciRuntimeName
  /** For the user: which, and why. */
  readonly reason: string
}
/** What was asked for and cannot be had; one line. */
export class OciRuntimeError extends Error {}

/** Throws OciRuntimeError where `choice` cannot be had. */
export function chooseOciRuntime(choice: OciRuntimeChoice, { runc, crun }: OciSurvey): OciRuntimes {
  const usable = typeof crun !== 'string'
  if (choice === 'runc' && !runc) throw new OciRuntimeError('runc is not installed')
  if (choice === 'crun' && !usable) throw new OciRuntimeError(`crun cannot be used here: ${crun}`)
  if (!runc && !usable) throw new OciRuntimeError(`runc is not installed, and crun cannot be used: ${String(crun)}`)
  const handlers = ociRuntimeNames.filter((name) => (name === 'runc' ? runc : usable))
  if (choice !== 'auto') return { handlers, standard: choice, reason: 'as --oci-runtime says' }
  return usable
    ? { handlers, standard: 'crun', reason: `version ${crun.version}, found on this machine` }
    : { handlers, standard: 'runc', reason: crun }
}

/** Where the controller that crun wants away from the second generation is mounted. It shows the groups of everybody: not
 * below the data directory, which a user may remove with all that stands in it. */
export const hugetlbMount = ({ id }: Pick<Instance, 'id'>): string => `/run/coxswain-${id}-hugetlb`

/** Looks at programs and control groups, and makes room for crun where that takes nothing from anybody. */
async function surveyOciRuntimes(
  instance: Pick<Instance, 'id'>,
  last: Kept | undefined,
): Promise<OciSurvey & { readonly tried?: Tried }> {
  const runc = programPath('runc') !== undefined
  const [program, ctr] = [programPath('crun'), programPath('ctr')]
  if (program === undefined) return { runc, crun: 'crun is not installed' }
  if (ctr === undefined) return { runc, crun: 'ctr is not installed' }
  const programs = [program, ctr].map((path) => `${path} ${statSync(path).mtimeMs}`).join(', ')
  const tried = last?.tried?.programs === programs ? last.tried : { programs, crun: await tryCrun(program, ctr) }
  const obstacle = typeof tried.crun === 'string' ? tried.crun : await makeRoom(instance)
  return { runc, crun: obstacle ?? tried.crun, tried }
}

/** Whether crun is new enough, also for what this containerd writes: it refuses versions of the specification that it does
 * not know. */
export async function tryCrun(program: string, ctr: string): Promise<OciSurvey['crun']> {
  let said: string
  try {
    said = await run(program, ['--version'], { timeoutMs: 10_000 })
  } catch (error) {
    if (error instanceof CommandError) return `crun does not start (${error.message})`
    throw error
  }
  const version = /^crun version (\d[\w.]*)/.exec(said)?.[1] ?? ''
  if (isOlder(version, oldestCrun))
    return `crun ${version} is older than ${oldestCrun}, the first that is known to pass`
  const bundle = mkdtempSync(join(tmpdir(), 'cox-crun-'))
  try {
    writeFileSync(join(bundle, 'config.json'), await run(ctr, ['oci', 'spec'], { timeoutMs: 10_000 }))
    await run(program, ['--root', join(bundle, 'state'), 'run', '--bundle', bundle, basename(bundle)], {
      timeoutMs: 10_000,
    })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    // There is no root file system in the bundle, which it complains of when it understood all else.
    if (/version/i.test(error.stderr))
      return `crun ${version} does not understand what this containerd writes (${error.message})`
  } finally {
    rmSync(bundle, { recursive: true, force: true })
  }
  return { version }
}

/** What stands in crun's way; undefined when nothing does. */
async function makeRoom(instance: Pick<Instance, 'id'>): Promise<string | undefined> {
  const mounts = readMounts()
  const unified = mounts.find(({ fsType, target }) => fsType === 'cgroup2' && target === '/sys/fs/cgroup/unified')
  if (unified === undefined) return undefined
  const left = controllersOf(unified.target)
  const target = hugetlbMount(instance)
  // A mount of ours from another cluster here ends with that cluster.
  const lasting = mounts.some(
    ({ fsType, superOptions, target: at }) =>
      fsType === 'cgroup' && superOptions.includes('hugetlb') && (at.startsWith('/sys/fs/cgroup/') || at === target),
  )
  if (left.length === 0 && (lasting || !hasHugetlb())) return undefined
  if (left.some((name) => name !== 'hugetlb')) return complaint(left)
  if (lasting) return undefined
  mkdirSync(target, { recursive: true, mode: 0o700 })
  try {
    await run('mount', ['-t', 'cgroup', '-o', 'hugetlb', ownHierarchy, target])
  } catch (error) {
    if (!(error instanceof Error)) throw error
    // The kernel gives a controller away only when no group of the second generation uses it.
    return left.length === 0 ? undefined : `${complaint(left)} (${error.message})`
  }
  const still = controllersOf(unified.target)
  return still.length === 0 ? undefined : complaint(still)
}
const complaint = (left: readonly string[]) =>
  `crun does not work with hybrid control groups while cgroup v2 has controllers, here ${left.join(', ')}`
const controllersOf = (mountPoint: string): string[] =>
  readFileSync(join(mountPoint, 'cgroup.controllers'), 'utf8').trim().split(' ').filter(Boolean)
const hasHugetlb = () => /^hugetlb\s+\d+\s+\d+\s+1$/m.test(readFileSync('/proc/cgroups', 'utf8'))

const keptPath = (dataDir: string) => join(dataDir, 'containerd', 'oci-runtime.json')
/** What came of trying crun, and the programs for which that holds. */
interface Tried {
  readonly programs: string
  readonly crun: OciSurvey['crun']
}
interface Kept extends OciRuntimes {
  readonly choice: OciRuntimeChoice
  readonly tried?: Tried
}
/** Chooses, and writes down what was chosen. Without a choice everything stays as at the last start. */
export async function openOciRuntimes(
  instance: Pick<Instance, 'id' | 'dataDir'>,
  wanted?: OciRuntimeChoice,
): Promise<OciRuntimes> {
  const { dataDir } = instance
  const last = keptOciRuntimes(dataDir)
  if (wanted === undefined && last !== undefined) return last
  const choice = wanted ?? 'auto'
  const { tried, ...survey } = await surveyOciRuntimes(instance, last)
  const chosen = chooseOciRuntime(choice, survey)
  const kept: Kept = { choice, ...chosen, ...(tried === undefined ? {} : { tried }) }
  writeFileSync(keptPath(dataDir), `${JSON.stringify(kept)}\n`)
  return chosen
}
/** What the last start chose; undefined where there was none. */
export function keptOciRuntimes(dataDir: string): Kept | undefined {
  const path = keptPath(dataDir)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Kept) : undefined
}
