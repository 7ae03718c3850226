// The audit log as a port: who asked for what, when, and how it ended. The host writes JSON lines to files; the simulation
// and tests keep the events. The shape is that of audit.k8s.io/v1 Event.

export type AuditLevel = 'None' | 'Metadata' | 'Request' | 'RequestResponse'
export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic'

export interface AuditUser {
  readonly username: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}
export interface AuditEvent {
  readonly kind: 'Event'
  readonly apiVersion: 'audit.k8s.io/v1'
  readonly level: AuditLevel
  /** The same for every stage of one request. */
  readonly auditID: string
  readonly stage: AuditStage
  readonly requestURI: string
  readonly verb: string
  readonly user: AuditUser
  readonly impersonatedUser?: AuditUser
  readonly sourceIPs?: readonly string[]
  readonly userAgent?: string
  readonly objectRef?: {
    readonly resource: string
    readonly namespace?: string
    readonly name?: string
    readonly uid?: string
    readonly apiGroup?: string
    readonly apiVersion?: string
    readonly resourceVersion?: string
    readonly subresource?: string
  }
  readonly responseStatus?: {
    readonly metadata: object
    readonly status?: string
    readonly message?: string
    readonly reason?: string
    readonly details?: object
    readonly code: number
  }
  readonly requestObject?: unknown
  readonly responseObject?: unknown
  /** RFC 3339 with microseconds. */
  readonly requestReceivedTimestamp: string
  readonly stageTimestamp: string
  readonly annotations?: Readonly<Record<string, string>>
}

export interface AuditLog {
  /** Takes an event over; never throws and never waits. Events of one request come in the order of their stages. */
  write(event: AuditEvent): void
}
