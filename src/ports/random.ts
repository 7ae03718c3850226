// Randomness as a port, so that a simulated run is a function of its seed.
export interface Random {
  /** A fraction in [0, 1). */
  float(): number
  bytes(length: number): Uint8Array
  /** RFC 4122 version 4, lower case. */
  uuid(): string
}

/** Consonants and digits without look-alikes and vowels, as upstream uses for generated names. */
const nameAlphabet = 'bcdfghjklmnpqrstvwxz2456789'
/** The random tail of generateName and of pods of a ReplicaSet. */
export function nameSuffix(random: Random, length = 5): string {
  let out = ''
  for (let i = 0; i < length; i++) out += nameAlphabet[Math.floor(random.float() * nameAlphabet.length)]
  return out
}
