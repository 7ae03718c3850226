// Secrets of type kubernetes.io/service-account-token: filled with a token of their account, and deleted with it. Such a
// token lasts as long as its Secret; pods use short-lived ones instead.
import { type Secret, secrets } from '../api/core/secret.ts'
import { type ServiceAccount, serviceAccounts } from '../api/core/service-account.ts'
import { keyOf } from '../client/informer.ts'
import type { TokenSigner } from '../ports/identity.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const type = 'kubernetes.io/service-account-token'
const nameAnnotation = 'kubernetes.io/service-account.name'
const uidAnnotation = 'kubernetes.io/service-account.uid'
/** Ten years: the Secret's end is the token's. */
const lifeSeconds = 10 * 365 * 86_400

const accountOf = (secret: Secret): string | undefined => secret.metadata.annotations?.[nameAnnotation]
/** Accounts by "namespace/name", to find the Secrets of one. */
const byAccount = (secret: Secret): readonly string[] => {
  const name = accountOf(secret)
  return name === undefined ? [] : [`${secret.metadata.namespace}/${name}`]
}

async function sign(tokens: TokenSigner, account: ServiceAccount, secret: Secret, nowMs: number): Promise<string> {
  const seconds = Math.floor(nowMs / 1000)
  const { namespace = '', name, uid } = account.metadata
  return tokens.sign({
    iss: tokens.issuer,
    sub: `system:serviceaccount:${namespace}:${name}`,
    aud: [tokens.issuer],
    iat: seconds,
    nbf: seconds,
    exp: seconds + lifeSeconds,
    'kubernetes.io': {
      namespace,
      serviceaccount: { name, uid },
      secret: { name: secret.metadata.name, uid: secret.metadata.uid },
    },
  })
}

export const serviceAccountTokenController: Controller = {
  name: 'serviceaccount-token-controller',
  start(context) {
    const { client, clock, informers, settings } = context
    const { tokens, ca } = settings ?? {}
    if (tokens === undefined || ca === undefined) return { stop: () => Promise.resolve() }
    const accounts = informers.informer(serviceAccounts)
    const held = informers.informer(secrets, { fieldSelector: `type=${type}` })
    const ofAccount = held.index(byAccount)
    const reconciler = startReconciler({
      context,
      caches: [accounts, held],
      async reconcile(key, writes) {
        const secret = held.byKey(key)
        const name = secret && accountOf(secret)
        if (secret === undefined || name === undefined || secret.metadata.deletionTimestamp !== undefined) return
        const { namespace = '', annotations = {} } = secret.metadata
        const account = accounts.get(name, namespace) ?? (await client.resource(serviceAccounts).find(name, namespace))
        const other =
          account !== undefined && (annotations[uidAnnotation] ?? account.metadata.uid) !== account.metadata.uid
        if (account === undefined || other) {
          await writes.delete(secrets, secret)
          return
        }
        const data = { ...secret.data }
        data['ca.crt'] = btoa(ca.certificatePem)
        data['namespace'] ??= btoa(namespace)
        if (!data['token']) data['token'] = btoa(await sign(tokens, account, secret, clock.now()))
        const isFilled =
          Object.entries(data).every(([name, value]) => secret.data?.[name] === value) &&
          annotations[uidAnnotation] !== undefined
        if (isFilled) return
        const metadata = { ...secret.metadata, annotations: { ...annotations, [uidAnnotation]: account.metadata.uid } }
        await writes.update(secrets, { ...secret, metadata, data })
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (secret: Secret) => reconciler.enqueue(keyOf(secret))
    const enqueueOf = (account: ServiceAccount) => {
      for (const secret of ofAccount.get(keyOf(account))) enqueue(secret)
    }
    const handlers = [
      held.handle({ add: enqueue, update: enqueue }),
      accounts.handle({ add: (account, initial) => void (initial || enqueueOf(account)), delete: enqueueOf }),
    ]
    return reconciler
  },
}
