// The versions of a custom resource and what lies in the store. Where all versions are alike, objects are brought into
// their present form as they are read from the store, once. Where they differ, the stored object stays as it is and each
// version has a view of its own: converted, pruned and defaulted by that version's schema.
import type { CustomResourceDefinition } from '../../api/apiextensions/custom-resource-definition.ts'
import { decode } from '../../api/machinery/decode.ts'
import { applyDefaults } from '../../api/machinery/defaults.ts'
import { equal } from '../../api/machinery/equal.ts'
import { freeze } from '../../api/machinery/freeze.ts'
import { apiVersionOf, type Kind } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { ServerContext } from '../context.ts'
import type { ResourceStorage, VersionBoundary } from '../resources.ts'
import type { Entry } from '../storage/collection.ts'
import { webhookConversion } from './conversion-webhook.ts'

/** An object as `kind` would have stored it today. */
function formed(kind: Kind, object: KubeObject): KubeObject {
  const { value } = decode<KubeObject>(kind.schema, object)
  const draft = value as Draft<KubeObject>
  draft.apiVersion = apiVersionOf(kind)
  draft.kind = kind.kind
  applyDefaults(kind.schema, draft)
  return draft as KubeObject
}

/** Brings a stored object into the present form of the one kind there is. */
export function normalizerOf(kind: Kind): (object: KubeObject) => KubeObject {
  return (object) => {
    const now = formed(kind, object)
    return equal(now, object) ? object : now
  }
}

/** How one version sees what is stored. */
export function boundaryOf(
  server: ServerContext,
  crd: CustomResourceDefinition,
  kind: Kind,
): (storage: ResourceStorage) => VersionBoundary {
  const apiVersion = apiVersionOf(kind)
  const convert = crd.spec.conversion?.strategy === 'Webhook' ? webhookConversion(server, crd) : undefined
  return ({ collection, kind: stored }) => {
    const known = new WeakMap<Entry, KubeObject>()
    const storedVersion = apiVersionOf(stored)
    const keep = (entry: Entry, object: KubeObject): KubeObject => {
      const shown = freeze(formed(kind, object))
      known.set(entry, shown)
      return shown
    }
    return {
      converts: convert !== undefined,
      objects(entries) {
        const raw = entries.map((entry) => known.get(entry) ?? collection.object(entry))
        const foreign = raw.filter((object) => object.apiVersion !== apiVersion)
        if (convert === undefined || foreign.length === 0) {
          return entries.map((entry, i) => known.get(entry) ?? keep(entry, raw[i] as KubeObject))
        }
        return convert(foreign, apiVersion).then((converted) => {
          let next = 0
          return entries.map((entry, i) => {
            const object = raw[i] as KubeObject
            const shown = object.apiVersion === apiVersion ? object : (converted[next++] as KubeObject)
            return known.get(entry) ?? keep(entry, shown)
          })
        })
      },
      fromStored(object) {
        if (object.apiVersion === apiVersion || convert === undefined) return formed(kind, object)
        return convert([object], apiVersion).then(([converted]) => formed(kind, converted as KubeObject))
      },
      toStored(object) {
        if (object.apiVersion === storedVersion) return object
        if (convert === undefined) return { ...object, apiVersion: storedVersion }
        return convert([object], storedVersion).then(([converted]) => converted as KubeObject)
      },
    }
  }
}
