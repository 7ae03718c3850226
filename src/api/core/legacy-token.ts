// Tokens in Secrets that were made for an account automatically (before 1.24): their use is dated, and after a year without use
// they are first refused and, a year later, deleted. KEP-2799.

/** Day of the last use, YYYY-MM-DD. */
export const lastUsedLabel = 'kubernetes.io/legacy-token-last-used'
/** Day from which the token is refused. Taking the label away allows it again. */
export const invalidSinceLabel = 'kubernetes.io/legacy-token-invalid-since'
/** ConfigMap in kube-system that says since when uses are dated. */
export const trackingConfigMap = 'kube-apiserver-legacy-service-account-token-tracking'
export const trackingSince = 'since'

/** The day of a time in ms since 1970, UTC. */
export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
