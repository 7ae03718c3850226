// A profile with its plugins over one picture of the cluster: the live one, or a copy to try things on.
import type { Handle, PluginFactory } from './framework.ts'
import { FrameworkRun } from './framework-run.ts'
import { defaultPlugins } from './plugins/all.ts'
import { buildProfile, type SchedulerProfile } from './profiles.ts'

/** What plugins get besides the framework itself. */
export type Surroundings = Omit<Handle, 'runFilters' | 'tryAdd' | 'tryRemove' | 'schedulerName'>

/** Creates the plugins of a profile. Throws Error where the profile makes no sense. */
export function createProfileRun(
  profile: SchedulerProfile,
  surroundings: Surroundings,
  options: { readonly plugins?: readonly PluginFactory[]; readonly percentageOfNodesToScore?: number },
): FrameworkRun {
  let built: FrameworkRun | undefined
  const run = (): FrameworkRun => {
    if (built === undefined) throw new Error('plugins may use the framework only after all of them are created')
    return built
  }
  const handle: Handle = {
    ...surroundings,
    schedulerName: profile.schedulerName,
    runFilters: (cycle, node) => run().filterWithNominated(cycle, node),
    tryRemove: (cycle, pod) => run().tryRemove(cycle, pod),
    tryAdd: (cycle, pod, node) => run().tryAdd(cycle, pod, node),
  }
  built = new FrameworkRun({
    points: buildProfile(profile, defaultPlugins, options.plugins ?? [], handle),
    state: surroundings.state,
    nominator: surroundings.nominator,
    random: surroundings.random,
    percentageOfNodesToScore: profile.percentageOfNodesToScore ?? options.percentageOfNodesToScore ?? 0,
  })
  return built
}
