// Why an object is as it is: its kind's explainer, and for one that is being deleted, who still holds it.
import { splitApiVersion } from '../api/machinery/api-version.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { type Finding, sortedRemedies, well, type Why } from './answer.ts'
import { explainers } from './explainers.ts'
import type { Reader } from './reader.ts'
import { heldBy } from './terminating.ts'

async function findingOf(reader: Reader, object: KubeObject, explain: Explain): Promise<Finding> {
  const { metadata, kind } = object
  if (metadata.deletionTimestamp === undefined || kind === 'Pod') return explain(reader, object)
  const { causes, remedies } = heldBy(`${kind.toLowerCase()}/${metadata.name}`, object)
  const own = kind === 'Namespace' ? await explain(reader, object) : undefined
  return {
    state: 'Terminating',
    causes: [...causes, ...(own?.causes ?? [])],
    suggestions: [...remedies, ...(own?.suggestions ?? [])],
  }
}
type Explain = (reader: Reader, object: KubeObject) => Promise<Finding>
const unexplained: Explain = () => Promise.resolve(well('there'))

/** Reads what the object's state depends on, with the asker's rights, and explains it. */
export async function explainObject(reader: Reader, object: KubeObject): Promise<Why> {
  const { kind, apiVersion, metadata } = object
  const [group] = splitApiVersion(apiVersion)
  const found = await findingOf(reader, object, explainers.get(`${group}/${kind}`) ?? unexplained)
  return {
    apiVersion: 'coxswain.dev/v1',
    kind: 'Why',
    object: {
      kind,
      name: metadata.name,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      uid: metadata.uid,
    },
    state: found.state,
    healthy: found.causes.length === 0,
    causes: found.causes,
    ...(found.scheduling === undefined ? {} : { scheduling: found.scheduling }),
    suggestions: sortedRemedies(found.suggestions),
  }
}
