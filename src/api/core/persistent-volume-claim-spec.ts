// What a PersistentVolumeClaim asks for; also the template of a pod's ephemeral volume.
import { array, defaulted, type Infer, object, optional, string, struct } from '../machinery/schema.ts'
import { labelSelector } from '../machinery/meta.ts'
import { CORE, typedLocalObjectReference, typedObjectReference } from './references.ts'
import { volumeResourceRequirements } from './resources.ts'
import { atomicList, pointerText, text } from './scalars.ts'

export const persistentVolumeClaimSpec = object(`${CORE}PersistentVolumeClaimSpec`, {
  accessModes: optional(1, array(string(), atomicList)),
  resources: struct(2, volumeResourceRequirements),
  volumeName: text(3),
  selector: optional(4, labelSelector),
  storageClassName: pointerText(5),
  volumeMode: defaulted(6, string(), 'Filesystem', { pointer: true }),
  dataSource: optional(7, typedLocalObjectReference),
  dataSourceRef: optional(8, typedObjectReference),
  volumeAttributesClassName: pointerText(9),
})
export interface PersistentVolumeClaimSpec extends Infer<typeof persistentVolumeClaimSpec> {}
