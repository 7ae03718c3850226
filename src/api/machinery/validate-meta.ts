// The rules of metadata, the same for every kind: names, labels, annotations, owners, finalizers, and what an update may
// not change.
import { splitApiVersion } from './api-version.ts'
import { type FieldError, forbiddenField, invalidField, requiredField, tooLongField } from './errors.ts'
import { equal } from './equal.ts'
import type { Kind } from './kind.ts'
import type { KubeObject, OwnerReference, PartialObjectMeta } from './meta.ts'
import {
  immutableField,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidPathSegmentName,
  type Sentences,
  utf8Length,
  validateAnnotations,
  validateLabels,
  validateNonNegative,
} from './validation.ts'

type Rule = NonNullable<Kind['nameRule']>
const nameRules: Readonly<Record<Rule, (name: string) => Sentences>> = {
  'dns-subdomain': isDns1123Subdomain,
  'dns-label': isDns1123Label,
  'dns-1035-label': isDns1035Label,
  'path-segment': isValidPathSegmentName,
  none: () => [],
}
/** The sentences about a name by the kind's rule. */
export const nameErrors = (rule: Rule | undefined, name: string): Sentences => nameRules[rule ?? 'dns-subdomain'](name)

/** How many characters of generateName survive; five random ones follow. */
export const maxGeneratedBase = 58
/** A random name ends with five of these: no vowels, so that no words appear. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
/** The name that generateName asks for; `random` answers numbers in [0, 1). */
export function generateName(base: string, random: () => number): string {
  let name = base.slice(0, maxGeneratedBase)
  for (let i = 0; i < 5; i++) name += alphabet.charAt(Math.floor(random() * alphabet.length))
  return name
}

/** Checks metadata on create and update. */
export function validateMeta(
  kind: Pick<Kind<never>, 'namespaced' | 'nameRule' | 'plainFinalizers'>,
  meta: PartialObjectMeta,
): FieldError[] {
  const errors: FieldError[] = []
  if (meta.generateName !== undefined && meta.generateName !== '') {
    // a dash at the end is what generated names are made for
    const prefix = meta.generateName.replace(/-$/, 'a')
    for (const message of nameErrors(kind.nameRule, prefix)) {
      errors.push(invalidField('metadata.generateName', meta.generateName, message))
    }
  }
  if (meta.name === undefined || meta.name === '') {
    errors.push(requiredField('metadata.name', 'name or generateName is required'))
  } else {
    for (const message of nameErrors(kind.nameRule, meta.name)) {
      errors.push(invalidField('metadata.name', meta.name, message))
    }
  }
  errors.push(...validateNamespace(kind.namespaced, meta.namespace))
  if (meta.generation !== undefined) errors.push(...validateNonNegative(meta.generation, 'metadata.generation'))
  errors.push(...validateLabels(meta.labels, 'metadata.labels'))
  errors.push(...validateAnnotations(meta.annotations, 'metadata.annotations'))
  errors.push(...validateOwners(meta.ownerReferences ?? []))
  errors.push(...validateFinalizers(meta.finalizers ?? [], kind.plainFinalizers === true))
  errors.push(...validateManagedFields(meta))
  return errors
}

function validateNamespace(namespaced: boolean, namespace: string | undefined): FieldError[] {
  if (!namespaced) {
    return namespace === undefined || namespace === ''
      ? []
      : [forbiddenField('metadata.namespace', 'not allowed on this type')]
  }
  if (namespace === undefined || namespace === '') return [requiredField('metadata.namespace')]
  return isDns1123Label(namespace).map((message) => invalidField('metadata.namespace', namespace, message))
}

function validateOwners(owners: readonly OwnerReference[]): FieldError[] {
  const errors: FieldError[] = []
  let controller: OwnerReference | undefined
  owners.forEach((owner, i) => {
    const at = `metadata.ownerReferences[${i}]`
    const [group, version] = splitApiVersion(owner.apiVersion)
    if (version === '') errors.push(invalidField(`${at}.apiVersion`, owner.apiVersion, 'version must not be empty'))
    for (const field of ['kind', 'name', 'uid'] as const) {
      if (owner[field] === '') errors.push(invalidField(`${at}.${field}`, '', `${field} must not be empty`))
    }
    if (group === '' && version === 'v1' && owner.kind === 'Event') {
      errors.push(invalidField(at, { ...owner }, '/v1, Kind=Event is disallowed from being an owner'))
    }
    if (owner.controller === true) {
      if (controller !== undefined) {
        errors.push(
          invalidField(
            'metadata.ownerReferences',
            owners.map((o) => ({ ...o })),
            `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${owner.kind}/${owner.name}`,
          ),
        )
      } else controller = owner
    }
  })
  return errors
}

const standardFinalizers = ['kubernetes', 'foregroundDeletion', 'orphan']
function validateFinalizers(finalizers: readonly string[], plain: boolean): FieldError[] {
  const errors: FieldError[] = []
  for (const [i, finalizer] of finalizers.entries()) {
    for (const message of isQualifiedName(finalizer)) {
      errors.push(invalidField('metadata.finalizers', finalizer, message))
    }
    if (!plain && !finalizer.includes('/') && !standardFinalizers.includes(finalizer)) {
      errors.push(
        invalidField(
          `metadata.finalizers[${i}]`,
          finalizer,
          'name is neither a standard finalizer name nor is it fully qualified',
        ),
      )
    }
  }
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(
      invalidField(
        'metadata.finalizers',
        [...finalizers],
        'finalizer orphan and foregroundDeletion cannot be both set',
      ),
    )
  }
  return errors
}

function validateManagedFields(meta: PartialObjectMeta): FieldError[] {
  const errors: FieldError[] = []
  meta.managedFields?.forEach((entry, i) => {
    const at = `metadata.managedFields[${i}]`
    if (entry.operation !== 'Apply' && entry.operation !== 'Update') {
      errors.push(invalidField(`${at}.operation`, entry.operation ?? '', 'must be `Apply` or `Update`'))
    }
    if ((entry.fieldsType ?? '') !== '' && entry.fieldsType !== 'FieldsV1') {
      errors.push(invalidField(`${at}.fieldsType`, entry.fieldsType, 'must be `FieldsV1`'))
    }
    if (utf8Length(entry.manager ?? '') > 128) errors.push(tooLongField(`${at}.fieldManager`, 128))
    if (utf8Length(entry.subresource ?? '') > 256) errors.push(tooLongField(`${at}.subresource`, 256))
  })
  return errors
}

/** What an update may not do to metadata. The result was checked by validateMeta as well. */
export function validateMetaUpdate(next: PartialObjectMeta, old: KubeObject['metadata']): FieldError[] {
  const errors: FieldError[] = []
  if (old.deletionTimestamp !== undefined) {
    const added = (next.finalizers ?? []).filter((name) => !(old.finalizers ?? []).includes(name))
    if (added.length > 0) {
      const list = added.map((name) => JSON.stringify(name)).join(', ')
      errors.push(
        forbiddenField(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
        ),
      )
    }
  }
  if ((next.resourceVersion ?? '') === '') {
    errors.push(invalidField('metadata.resourceVersion', '', 'must be specified for an update'))
  }
  if ((next.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalidField('metadata.generation', next.generation ?? 0, 'must not be decremented'))
  }
  for (const field of [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const) {
    errors.push(...immutableField(`metadata.${field}`, next[field], equal(next[field], old[field])))
  }
  return errors
}
