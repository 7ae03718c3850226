// Times of objects as milliseconds since 1970.
import type { KubeObject } from '../../api/machinery/meta.ts'
import { parseTime } from '../../api/machinery/time.ts'

/** 0 where the text is absent or no time. */
export const timeMs = (text: string | undefined): number => (text === undefined ? 0 : (parseTime(text) ?? 0))
export const createdMs = (object: KubeObject): number => timeMs(object.metadata.creationTimestamp)
/** Older first; equal ages by name, so that every run sees the same order. */
export const byCreation = (a: KubeObject, b: KubeObject): number =>
  createdMs(a) - createdMs(b) || (a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0)
