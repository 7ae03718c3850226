// Every admission plugin, in the order in which they run.
import type { AdmissionPlugin } from './admission.ts'

export const admissionPlugins: readonly AdmissionPlugin[] = []
