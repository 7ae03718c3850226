// Binds through the API: the pod's binding subresource names the node.
import { pods } from '../../api/core/pod.ts'
import type { PluginFactory } from '../framework.ts'

export const defaultBinder: PluginFactory = {
  name: 'DefaultBinder',
  create({ client }) {
    const resource = client.resource(pods)
    return {
      name: 'DefaultBinder',
      async bind({ pod }, nodeName) {
        const { name, namespace, uid } = pod
        await resource.post(name, namespace, 'binding', {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name, namespace, uid },
          target: { kind: 'Node', name: nodeName },
        })
        return undefined
      },
    }
  },
}
