// Bringing raw scores to the common scale.
export const maxScore = 100

/** The best becomes 100 and the rest its share; with `reverse` the smallest wins. All zero: all 100 when reversed. */
export function normalizeLinear(scores: Float64Array, options: { readonly reverse: boolean }): void {
  let most = 0
  for (const score of scores) if (score > most) most = score
  for (let i = 0; i < scores.length; i++) {
    const score = most === 0 ? 0 : Math.trunc((maxScore * (scores[i] ?? 0)) / most)
    scores[i] = options.reverse ? maxScore - score : score
  }
}
