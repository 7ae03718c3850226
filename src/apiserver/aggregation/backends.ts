// The group versions that other servers answer (APIService objects with a service), as far as requests need to know.
import type { AggregatedGroupVersion } from '../../api/machinery/discovery.ts'
import type { JsonObject } from '../../api/machinery/schema.ts'

export interface Backend {
  /** Name of the APIService: VERSION.GROUP. */
  readonly name: string
  readonly group: string
  readonly version: string
  readonly groupPriority: number
  readonly versionPriority: number
  readonly service: { readonly namespace: string; readonly name: string; readonly port: number }
  /** PEM of the authorities that its certificate may come from. */
  readonly caPem?: string
  /** Its certificate is not looked at. */
  readonly insecure: boolean
  /** What the last check of it said. */
  readonly available: boolean
  /** What it said that it serves; undefined until it has been asked. */
  readonly documents?: BackendDocuments
}
export interface BackendDocuments {
  /** Resources in the form of aggregated discovery. */
  readonly resources: readonly JsonObject[]
  /** OpenAPI v2 as far as it is about this group version; undefined where there is none. */
  readonly openApiV2: JsonObject | undefined
  readonly openApiV3: JsonObject | undefined
}

export class Backends {
  private readonly byGroupVersion = new Map<string, Backend>()
  private readonly changed: () => void
  /** `changed` is told when discovery has become another. */
  constructor(changed: () => void) {
    this.changed = changed
  }
  get size(): number {
    return this.byGroupVersion.size
  }
  /** The backends in no order. */
  all(): readonly Backend[] {
    return [...this.byGroupVersion.values()]
  }
  get(group: string, version: string): Backend | undefined {
    return this.byGroupVersion.get(`${group}/${version}`)
  }
  named(name: string): Backend | undefined {
    return this.all().find((backend) => backend.name === name)
  }
  /** Who answers a path; undefined where this server does. */
  answering(path: string): Backend | undefined {
    if (this.size === 0 || !path.startsWith('/apis/')) return undefined
    const [group = '', version] = path.slice('/apis/'.length).split('/', 2)
    return version === undefined ? undefined : this.get(group, version)
  }
  put(backend: Backend): void {
    this.byGroupVersion.set(`${backend.group}/${backend.version}`, backend)
    this.changed()
  }
  remove(name: string): void {
    const backend = this.named(name)
    if (backend === undefined) return
    this.byGroupVersion.delete(`${backend.group}/${backend.version}`)
    this.changed()
  }
  /** For discovery. */
  groupVersions(): readonly AggregatedGroupVersion[] {
    return this.all().map(({ group, version, groupPriority, versionPriority, available, documents }) => ({
      group,
      version,
      groupPriority,
      versionPriority,
      fresh: available && documents !== undefined,
      resources: documents?.resources ?? [],
    }))
  }
}
