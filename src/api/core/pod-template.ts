// The template that workloads make their pods from, and PodTemplate, the kind that only holds one.
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf, objectMeta } from '../machinery/meta.ts'
import { type Infer, object, struct } from '../machinery/schema.ts'
import { setPodTemplateDefaults } from './pod-defaults.ts'
import { podSpec } from './pod-spec.ts'
import { validatePodTemplateSpec } from './pod-validation.ts'
import { CORE } from './references.ts'
import { containerImages, containerNames } from './workload-table.ts'
import { formatLabels } from '../machinery/labels.ts'

export const podTemplateSpec = object(`${CORE}PodTemplateSpec`, {
  metadata: struct(1, objectMeta),
  spec: struct(2, podSpec),
})
export interface PodTemplateSpec extends Infer<typeof podTemplateSpec> {}

const schema = kindSchema(`${CORE}PodTemplate`, { template: struct(2, podTemplateSpec) })
export interface PodTemplate extends ObjectOf<typeof schema> {}

export const podTemplates = defineKind<PodTemplate>({
  group: '',
  version: 'v1',
  kind: 'PodTemplate',
  plural: 'podtemplates',
  singular: 'podtemplate',
  namespaced: true,
  schema,
  storagePrefix: '/registry/podtemplates',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Containers', type: 'string' },
      { name: 'Images', type: 'string' },
      { name: 'Pod Labels', type: 'string' },
    ],
    row: (t) => [
      t.metadata.name,
      containerNames(t.template.spec),
      containerImages(t.template.spec),
      formatLabels(t.template.metadata.labels),
    ],
  },
  setDefaults: (draft) => setPodTemplateDefaults(draft.template),
  validate: (t) => validatePodTemplateSpec(t.template, 'template'),
  validateUpdate: (t) => validatePodTemplateSpec(t.template, 'template'),
})
