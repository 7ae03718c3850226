// Every storage strategy, by resource.
import type { StorageStrategy } from '../strategies.ts'
import { certificateSigningRequestStrategy } from './certificate-signing-requests.ts'
import { namespaceStrategy } from './namespaces.ts'
import { serviceStrategy } from './services.ts'

export const strategies: readonly StorageStrategy[] = [
  certificateSigningRequestStrategy,
  namespaceStrategy,
  serviceStrategy,
]

export const strategyOf = (kind: { readonly group: string; readonly plural: string }): StorageStrategy | undefined =>
  strategies.find(({ group, plural }) => group === kind.group && plural === kind.plural)
