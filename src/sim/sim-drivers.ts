// Drivers of devices that the world has on every node: they make ready whatever a claim was given.
import type { ClaimName, NodePlugin, NodePlugins, PreparedDevice } from '../ports/node-plugins.ts'
import type { SimWorld } from './world.ts'

/** What a simulated driver says of a claim that is to be made ready: nothing, or why it cannot. */
export type SimDriver = (claim: ClaimName, node: string) => string | undefined

export function simDrivers(world: SimWorld, node: string): NodePlugins {
  const pluginOf = (name: string): NodePlugin => ({
    type: 'DRAPlugin',
    name,
    endpoint: `/var/lib/kubelet/plugins/${name}/dra.sock`,
    versions: ['v1.DRAPlugin'],
  })
  return {
    watch(_, listener) {
      const unwatch = world.watchDrivers((name, here) => {
        if (here) void listener.register(pluginOf(name))
        else listener.gone(pluginOf(name))
      })
      return Promise.resolve({ close: unwatch })
    },
    driver({ name }, onConnection) {
      void Promise.resolve().then(() => onConnection(true))
      return {
        prepare(claims) {
          const answer = (claim: ClaimName): readonly PreparedDevice[] | Error => {
            const refusal = world.driverOf(name)?.(claim, node)
            if (refusal !== undefined) return new Error(refusal)
            return [
              {
                requests: [],
                pool: node,
                device: claim.name,
                cdiDevices: [`${name}/device=${claim.uid}`],
                shareId: '',
              },
            ]
          }
          return Promise.resolve(new Map(claims.map((claim) => [claim.uid, answer(claim)])))
        },
        unprepare: (claims) => Promise.resolve(new Map(claims.map(({ uid }) => [uid, undefined]))),
        close: () => {},
      }
    },
  }
}
