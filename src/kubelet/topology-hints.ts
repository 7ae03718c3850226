// Hints of the topology manager: sets of NUMA nodes, as bit masks, that could give a resource, the best first.
export interface Hint {
  readonly nodes: number
  /** No smaller set could ever give as much. */
  readonly preferred: boolean
}
export function size(nodes: number): number {
  let count = 0
  for (let rest = nodes; rest !== 0; rest &= rest - 1) count++
  return count
}
export const maskOf = (nodes: Iterable<number>): number => [...nodes].reduce((mask, node) => mask | (1 << node), 0)

/** Every set of some of the nodes in `all`, from the whole down. */
export function subsetsOf(all: number): readonly number[] {
  const sets: number[] = []
  for (let nodes = all; nodes > 0; nodes = (nodes - 1) & all) sets.push(nodes)
  return sets
}

/** Sets of the nodes in `all` that have `needed` free now. */
export function hintsFor(
  all: number,
  needed: number,
  capacityIn: (nodes: number) => number,
  freeIn: (nodes: number) => number,
): readonly Hint[] {
  const sets = subsetsOf(all)
  const least = Math.min(...sets.filter((nodes) => capacityIn(nodes) >= needed).map(size))
  return sets
    .filter((nodes) => freeIn(nodes) >= needed)
    .map((nodes) => ({ nodes, preferred: size(nodes) === least }))
    .sort(better)
}
/** Preferred first, then the fewest nodes, then the first ones. */
export const better = (a: Hint, b: Hint): number =>
  Number(b.preferred) - Number(a.preferred) || size(a.nodes) - size(b.nodes) || a.nodes - b.nodes
