// A profile is a scheduler name with plugins, written as in KubeSchedulerConfiguration: multiPoint enables a plugin wherever
// it has something to say; a single extension point can take it out again, add one, reorder or reweigh.
import type { Handle, Plugin, PluginFactory } from './framework.ts'
import type { WeightedPlugin } from './plugins/all.ts'

export interface PluginSetting {
  /** '*' in a disabled list stands for all. */
  readonly name: string
  readonly weight?: number
}
export interface PluginSet {
  readonly enabled?: readonly PluginSetting[]
  readonly disabled?: readonly PluginSetting[]
}
export const extensionPoints = [
  'preEnqueue',
  'queueSort',
  'preFilter',
  'filter',
  'postFilter',
  'preScore',
  'score',
  'reserve',
  'permit',
  'preBind',
  'bind',
  'postBind',
] as const
export type ExtensionPoint = (typeof extensionPoints)[number]

export interface SchedulerProfile {
  /** Pods name it in spec.schedulerName. */
  readonly schedulerName: string
  readonly plugins?: Readonly<Partial<Record<ExtensionPoint | 'multiPoint', PluginSet>>>
  readonly pluginConfig?: readonly { readonly name: string; readonly args?: unknown }[]
  /** How many feasible nodes are enough, percent of all; 0 or absent: by the size of the cluster. */
  readonly percentageOfNodesToScore?: number
}
export const defaultSchedulerName = 'default-scheduler'

export interface ScoringPlugin {
  readonly plugin: Plugin
  readonly weight: number
}
/** The plugins of a profile by extension point. */
export type PointPlugins = { readonly [P in Exclude<ExtensionPoint, 'score'>]: readonly Plugin[] } & {
  readonly score: readonly ScoringPlugin[]
  readonly all: readonly Plugin[]
}

const implementsPoint: Readonly<Record<ExtensionPoint, (plugin: Plugin) => boolean>> = {
  preEnqueue: (p) => p.preEnqueue !== undefined,
  queueSort: (p) => p.less !== undefined,
  preFilter: (p) => p.preFilter !== undefined,
  filter: (p) => p.filter !== undefined,
  postFilter: (p) => p.postFilter !== undefined,
  preScore: (p) => p.preScore !== undefined,
  score: (p) => p.score !== undefined,
  reserve: (p) => p.reserve !== undefined || p.unreserve !== undefined,
  permit: (p) => p.permit !== undefined,
  preBind: (p) => p.preBind !== undefined,
  bind: (p) => p.bind !== undefined,
  postBind: (p) => p.postBind !== undefined,
}
const names = (settings: readonly PluginSetting[] = []) => new Set(settings.map(({ name }) => name))

interface Chosen {
  readonly name: string
  readonly weight: number
}
function chooseEverywhere(defaults: readonly WeightedPlugin[], set: PluginSet | undefined): Chosen[] {
  const disabled = names(set?.disabled)
  const chosen: Chosen[] = disabled.has('*')
    ? []
    : defaults
        .filter(({ factory }) => !disabled.has(factory.name))
        .map(({ factory, weight }) => ({ name: factory.name, weight }))
  for (const { name, weight } of set?.enabled ?? []) {
    const at = chosen.findIndex((c) => c.name === name)
    if (at === -1) chosen.push({ name, weight: weight ?? 1 })
    else chosen[at] = { name, weight: weight ?? chosen[at]?.weight ?? 1 }
  }
  return chosen
}
function chooseAt(everywhere: readonly Chosen[], set: PluginSet | undefined): Chosen[] {
  const disabled = names(set?.disabled)
  const enabled = names(set?.enabled)
  const kept = disabled.has('*') ? [] : everywhere.filter(({ name }) => !disabled.has(name) && !enabled.has(name))
  return [...kept, ...(set?.enabled ?? []).map(({ name, weight }) => ({ name, weight: weight ?? 1 }))]
}

/** Builds the plugins of a profile. Throws Error where it names a plugin that does not exist or cannot do the job. */
export function buildProfile(
  profile: SchedulerProfile,
  defaults: readonly WeightedPlugin[],
  more: readonly PluginFactory[],
  handle: Handle,
): PointPlugins {
  const factories = new Map([...defaults.map(({ factory }) => factory), ...more].map((f) => [f.name, f]))
  const args = new Map((profile.pluginConfig ?? []).map((config) => [config.name, config.args]))
  const created = new Map<string, Plugin>()
  const pluginOf = (name: string): Plugin => {
    const known = created.get(name)
    if (known !== undefined) return known
    const factory = factories.get(name)
    if (factory === undefined) throw new Error(`profile "${profile.schedulerName}": plugin "${name}" does not exist`)
    const plugin = factory.create(handle, args.get(name))
    created.set(name, plugin)
    return plugin
  }
  const everywhere = chooseEverywhere(defaults, profile.plugins?.multiPoint)
  const at = (point: ExtensionPoint): { plugin: Plugin; weight: number }[] => {
    const set = profile.plugins?.[point]
    const found: { plugin: Plugin; weight: number }[] = []
    for (const { name, weight } of chooseAt(everywhere, set)) {
      const plugin = pluginOf(name)
      if (implementsPoint[point](plugin)) found.push({ plugin, weight })
      else if (names(set?.enabled).has(name))
        throw new Error(`profile "${profile.schedulerName}": plugin "${name}" does not extend ${point} plugin`)
    }
    return found
  }
  const plain = (point: ExtensionPoint) => at(point).map(({ plugin }) => plugin)
  const points: PointPlugins = {
    preEnqueue: plain('preEnqueue'),
    queueSort: plain('queueSort'),
    preFilter: plain('preFilter'),
    filter: plain('filter'),
    postFilter: plain('postFilter'),
    preScore: plain('preScore'),
    score: at('score').map(({ plugin, weight }) => ({ plugin, weight: weight === 0 ? 1 : weight })),
    reserve: plain('reserve'),
    permit: plain('permit'),
    preBind: plain('preBind'),
    bind: plain('bind'),
    postBind: plain('postBind'),
    all: [...created.values()],
  }
  if (points.queueSort.length !== 1)
    throw new Error(`profile "${profile.schedulerName}": exactly one queue sort plugin is needed`)
  if (points.bind.length === 0)
    throw new Error(`profile "${profile.schedulerName}": at least one bind plugin is needed`)
  return points
}
