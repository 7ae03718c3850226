// Texts of what every object has in common: names, owners, selectors, conditions.
import type { Texts } from './texts.ts'

/** What the same field means in every kind. */
export const commonTexts: Readonly<Record<string, string>> = {
  apiVersion: 'The group and version of the schema that this object is written in, such as apps/v1.',
  kind: 'The name of the schema that this object is written in, in CamelCase.',
  metadata: 'Name, namespace, labels, owners, and what the server records about the object.',
  spec: 'What is wanted.',
  status: 'What was last observed. Written by the cluster, read by everybody.',
  items: 'The objects of the list.',
  conditions: 'Observations with a name, each True, False or Unknown.',
  observedGeneration: 'The metadata.generation that this status speaks of.',
}

export const metaTexts: Texts = {
  'meta.ObjectMeta': {
    '': 'What every stored object carries.',
    annotations: 'Free-form data for tools. It cannot be selected by.',
    creationTimestamp: 'When the server accepted the object. Set by the server.',
    deletionGracePeriodSeconds: 'Seconds that the object was given to end, counted from the request to delete it.',
    deletionTimestamp: 'The moment by which the object is to be gone. Set by the server when somebody deletes it.',
    finalizers: 'Names of those who must finish their work before the object may go. Each removes its own.',
    generateName: 'The beginning of a name that the server completes with random letters when name is empty.',
    generation: 'Counts the changes of what is wanted. Set by the server.',
    labels: 'Short names and values that selectors find objects by.',
    managedFields: 'Who set which fields, for server-side apply. Kept by the server.',
    name: 'Unique among the objects of its kind and namespace. It cannot be changed.',
    namespace: 'The namespace that the object lives in; empty for kinds of the whole cluster. It cannot be changed.',
    ownerReferences: 'The objects that this one depends on. It is collected when the last of them is gone.',
    resourceVersion:
      'The version of the stored object. Sent back with an update, it refuses to overwrite newer changes.',
    selfLink: 'Not filled any more.',
    uid: 'Tells this object from others that had the same name earlier. Set by the server.',
  },
  'meta.ListMeta': {
    '': 'What a list carries beside its items.',
    continue: 'Sent back as the query parameter "continue", it asks for the next page of the same list.',
    remainingItemCount: 'How many items follow after this page, where that is known.',
    resourceVersion: 'The version of the store that the list shows; a watch may go on from here.',
    selfLink: 'Not filled any more.',
  },
  'meta.OwnerReference': {
    '': 'Names an owner in the same namespace, or one of the whole cluster.',
    apiVersion: 'Group and version of the owner.',
    blockOwnerDeletion: 'If true, the owner stays until this object is gone when it is deleted in the foreground.',
    controller: 'If true, the owner is the one that manages this object. At most one reference says so.',
    kind: 'Kind of the owner.',
    name: 'Name of the owner.',
    uid: 'UID of the owner. An object of the same name with another UID is not the owner.',
  },
  'meta.LabelSelector': {
    '': 'Selects objects by their labels. All conditions must hold; an empty selector matches everything.',
    matchExpressions: 'Conditions on single labels.',
    matchLabels: 'Labels that must be present with exactly these values.',
  },
  'meta.LabelSelectorRequirement': {
    '': 'A condition on one label.',
    key: 'The name of the label.',
    operator: 'In, NotIn, Exists or DoesNotExist.',
    values: 'The values for In and NotIn; empty for the others.',
  },
  'meta.Condition': {
    '': 'One observation about an object.',
    lastTransitionTime: 'When the status last changed.',
    message: 'Details for people.',
    observedGeneration: 'The metadata.generation that the condition was computed for.',
    reason: 'Why the status changed, as one CamelCase word for programs.',
    status: 'True, False or Unknown.',
    type: 'What is observed, in CamelCase.',
  },
}
