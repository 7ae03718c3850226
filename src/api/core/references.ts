// How objects name one another.
import { type Infer, object, optional, required, string } from '../machinery/schema.ts'
import { pointerText, text } from './scalars.ts'

export const CORE = 'io.k8s.api.core.v1.'
const atomic = { mapType: 'atomic' } as const

/** An object of the same namespace, its kind known from the place. */
export const localObjectReference = object(
  `${CORE}LocalObjectReference`,
  { name: text(1, { publishDefault: true }) },
  atomic,
)
export interface LocalObjectReference extends Infer<typeof localObjectReference> {}

export const objectReference = object(
  `${CORE}ObjectReference`,
  {
    kind: text(1),
    namespace: text(2),
    name: text(3),
    uid: text(4),
    apiVersion: text(5),
    resourceVersion: text(6),
    fieldPath: text(7),
  },
  atomic,
)
export interface ObjectReference extends Infer<typeof objectReference> {}

export const secretReference = object(`${CORE}SecretReference`, { name: text(1), namespace: text(2) }, atomic)
export interface SecretReference extends Infer<typeof secretReference> {}

export const typedLocalObjectReference = object(
  `${CORE}TypedLocalObjectReference`,
  {
    apiGroup: optional(1, string(), { pointer: true }),
    kind: required(2, string()),
    name: required(3, string()),
  },
  atomic,
)
export interface TypedLocalObjectReference extends Infer<typeof typedLocalObjectReference> {}

/** Like a typed local reference, perhaps across namespaces. */
export const typedObjectReference = object(`${CORE}TypedObjectReference`, {
  apiGroup: pointerText(1),
  kind: required(2, string()),
  name: required(3, string()),
  namespace: pointerText(4),
})
export interface TypedObjectReference extends Infer<typeof typedObjectReference> {}
