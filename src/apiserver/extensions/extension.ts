// A part of the API server that follows objects which extend it.
export interface Extension {
  /** Resolves when everything that was there before is in force. */
  start(): Promise<void>
  stop(): Promise<void>
}
