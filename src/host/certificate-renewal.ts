// A certificate that is in use is made anew in time: a program may run for longer than a certificate lasts, and a wall clock
// that was wrong when it was made may be set right by years.
import { type Clock, every } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { KeyPairFiles } from './identity.ts'

const lookMs = 86_400_000

export interface CertificateRenewalOptions {
  readonly clock: Clock
  readonly log: Log
  /** The certificate as it should be now: the same until it is time. */
  readonly make: () => KeyPairFiles
  /** Takes the one that there is now, and each that follows. */
  readonly use: (pair: KeyPairFiles) => void
}

/** Has a certificate used, now and whenever it is made anew, until the answer is cancelled. Throws what the first throws. */
export function useCertificate({ clock, log, make, use }: CertificateRenewalOptions): { cancel(): void } {
  let current: string | undefined
  const look = () => {
    const pair = make()
    if (pair.certificatePem === current) return
    use(pair)
    current = pair.certificatePem
  }
  look()
  /** Boundary: what fails is logged and tried again; a certificate is made anew long before it ends. */
  const again = () => {
    try {
      look()
    } catch (error) {
      log.error('a certificate could not be made anew', { error: String(error) })
    }
  }
  const daily = every(clock, lookMs, again)
  const watching = clock.onSet(again)
  return {
    cancel() {
      daily.cancel()
      watching.cancel()
    },
  }
}
