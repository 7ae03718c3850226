// An operator on a thread of its own: for every ConfigMap with the label `app` it keeps a Deployment of that name. It has the
// library and a message port, nothing else.
import { parentPort, workerData } from 'node:worker_threads'
import { configMaps, createClient, deployments, messagePortTransport } from '../../dist/index.js'

const client = createClient(messagePortTransport(workerData.port), { userAgent: 'app-operator' })
const apps = client.resource(deployments)

for await (const { type, object } of client.resource(configMaps).watch({ labelSelector: 'app', sendInitialEvents: true })) {
  if (type !== 'ADDED') continue
  const { name, namespace } = object.metadata
  const labels = { app: name }
  await apps.create({
    metadata: { name, namespace },
    spec: {
      replicas: Number(object.data.replicas),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'nginx' }] } },
    },
  })
  parentPort?.postMessage(name)
}
