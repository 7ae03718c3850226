// Who may use an image that is on the node already: pods that could have pulled it themselves, by the credentials with
// which it was pulled (KEP-2535). Records are files in upstream's form, so that they outlive the kubelet. An image without
// a record was brought by somebody else (preloaded); one whose pull was begun and not recorded was not.
import { hex, sha256 } from '../api/machinery/sha256.ts'
import { createTurns } from '../client/turns.ts'
import { type Clock, rfc3339 } from '../ports/clock.ts'
import type { RegistryAuth } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import { parseImage } from './image-reference.ts'

export const verificationPolicies = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const
export type VerificationPolicy = (typeof verificationPolicies)[number]

export interface SecretSource {
  readonly uid: string
  readonly namespace: string
  readonly name: string
}
export interface PullCredential {
  readonly auth: RegistryAuth
  /** The Secret that it stands in; undefined where every pod of the node may use it. */
  readonly secret: SecretSource | undefined
}
interface SecretRecord extends SecretSource {
  readonly credentialHash: string
}
interface Mapping {
  readonly kubernetesSecrets?: readonly SecretRecord[]
  readonly nodePodsAccessible?: boolean
}
interface PulledRecord {
  readonly kind: 'ImagePulledRecord'
  readonly apiVersion: string
  readonly imageRef: string
  readonly lastUpdatedTime: string
  /** By name of the image without tag and digest. */
  readonly credentialMapping: Readonly<Record<string, Mapping>>
}
const apiVersion = 'kubelet.config.k8s.io/v1beta1'

export interface PulledImagesOptions {
  readonly disk: Disk
  readonly clock: Clock
  /** Folder of the records; only root may look into it. */
  readonly directory: string
  readonly policy: VerificationPolicy
  /** Names of images; with "/*" at the end all below. */
  readonly allowlist: readonly string[]
}

const hashOf = (text: string): string => hex(sha256(text))
const fileOf = (text: string): string => `sha256-${hashOf(text)}`
const credentialHash = ({ username, password, identityToken, registryToken }: RegistryAuth): string =>
  hashOf(JSON.stringify([username, password, identityToken, registryToken]))
function repositoryOf(image: string): string {
  const parsed = parseImage(image)
  return parsed.ok ? parsed.repository : image
}

export class PulledImages {
  readonly #options: PulledImagesOptions
  /** Records are changed one after another. */
  readonly #inTurn = createTurns()
  constructor(options: PulledImagesOptions) {
    this.#options = options
  }
  /** A pull of `image` begins: until it is recorded nobody has brought it. */
  async begin(image: string): Promise<void> {
    const { disk } = this.#options
    await disk.mkdir(this.#folder('pulling'), { mode: 0o700 })
    const intent = { kind: 'ImagePullIntent', apiVersion, image }
    await disk.replaceFile(this.#intent(image), encode(intent), { mode: 0o600 })
  }
  /** The pull has failed, and none of the image is left of it. */
  async abandon(image: string): Promise<void> {
    await this.#options.disk.remove(this.#intent(image))
  }
  /** `image` was pulled with this credential (undefined: with none), and is `imageRef` in the runtime. */
  async record(image: string, imageRef: string, credential: PullCredential | undefined): Promise<void> {
    return this.#inTurn(() => this.#record(image, imageRef, credential))
  }
  /** The image has been removed from the node. */
  async forget(imageRef: string): Promise<void> {
    await this.#options.disk.remove(this.#pulled(imageRef))
  }
  /** Whether a pod has to pull an image that is there, to show that it may. Credentials are asked for when they matter. */
  async mustPull(
    image: string,
    imageRef: string,
    credentials: () => Promise<readonly PullCredential[]>,
  ): Promise<boolean> {
    const { policy, disk } = this.#options
    if (policy === 'NeverVerify') return false
    const record = await this.#read(imageRef)
    if (record === undefined) {
      const begun = (await disk.readFile(this.#intent(image))) !== undefined
      return begun || !this.#trustsPreloaded(repositoryOf(image))
    }
    const mapping = record.credentialMapping[repositoryOf(image)]
    if (mapping === undefined) return true
    if (mapping.nodePodsAccessible === true) return false
    const hashes = new Set(mapping.kubernetesSecrets?.map((secret) => secret.credentialHash))
    return !(await credentials()).some(({ auth }) => hashes.has(credentialHash(auth)))
  }

  #trustsPreloaded(repository: string): boolean {
    const { policy, allowlist } = this.#options
    if (policy === 'NeverVerifyPreloadedImages') return true
    if (policy !== 'NeverVerifyAllowlistedImages') return false
    return allowlist.some((name) =>
      name.endsWith('/*') ? repository.startsWith(name.slice(0, -1)) : repository === name,
    )
  }
  async #record(image: string, imageRef: string, credential: PullCredential | undefined): Promise<void> {
    const { disk, clock } = this.#options
    const before = await this.#read(imageRef)
    const repository = repositoryOf(image)
    const known = before?.credentialMapping[repository]
    const next: PulledRecord = {
      kind: 'ImagePulledRecord',
      apiVersion,
      imageRef,
      lastUpdatedTime: rfc3339(clock.now()),
      credentialMapping: { ...before?.credentialMapping, [repository]: withCredential(known, credential) },
    }
    await disk.mkdir(this.#folder('pulled'), { mode: 0o700 })
    await disk.replaceFile(this.#pulled(imageRef), encode(next), { mode: 0o600 })
    await disk.remove(this.#intent(image))
  }
  async #read(imageRef: string): Promise<PulledRecord | undefined> {
    const content = await this.#options.disk.readFile(this.#pulled(imageRef))
    return content === undefined ? undefined : (JSON.parse(new TextDecoder().decode(content)) as PulledRecord)
  }
  #folder(name: 'pulling' | 'pulled'): string {
    return `${this.#options.directory}/${name}`
  }
  #intent(image: string): string {
    return `${this.#folder('pulling')}/${fileOf(image)}`
  }
  #pulled(imageRef: string): string {
    return `${this.#folder('pulled')}/${fileOf(imageRef)}`
  }
}
const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/** What everybody may use needs no more names. */
function withCredential(known: Mapping | undefined, credential: PullCredential | undefined): Mapping {
  if (known?.nodePodsAccessible === true || credential?.secret === undefined) return { nodePodsAccessible: true }
  const { secret, auth } = credential
  const mine: SecretRecord = { ...secret, credentialHash: credentialHash(auth) }
  const others = (known?.kubernetesSecrets ?? []).filter(
    ({ uid, credentialHash: hash }) => uid !== mine.uid && hash !== mine.credentialHash,
  )
  return { kubernetesSecrets: [...others, mine] }
}
