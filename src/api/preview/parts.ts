// What the kinds of this folder share.
import { condition } from '../machinery/meta.ts'
import { array } from '../machinery/schema.ts'

export const conditions = () =>
  array(condition, { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' })
