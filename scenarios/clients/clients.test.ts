// Clients that others wrote, against a real cluster: @kubernetes/client-node with an operator made of it, and a Helm chart.
import { PassThrough, Writable } from 'node:stream'
import * as k8s from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { able } from '../kubectl/binary.ts'
import { type Kubectl, kubectlCluster } from '../kubectl/cluster.ts'
import { chart } from './chart.ts'
import { startOperator, websites, type Website } from './operator.ts'

/** Client-node ends the streams that it writes to, so each call needs one of its own. */
function collector() {
  let out = ''
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      out += chunk.toString()
      done()
    },
  })
  return { stream, text: () => out }
}

describe.skipIf(!able)('clients of others', () => {
  let kubectl: Kubectl
  const config = new k8s.KubeConfig()
  beforeAll(async () => {
    kubectl = await kubectlCluster('clients')
    config.loadFromFile(kubectl.env['KUBECONFIG'] ?? '')
  })
  afterAll(() => kubectl.remove())

  it('client-node follows, applies, runs commands and reads logs', async () => {
    const core = config.makeApiClient(k8s.CoreV1Api)
    const namespace = 'default'
    const seen: string[] = []
    const informer = k8s.makeInformer<k8s.V1Pod>(
      config,
      `/api/v1/namespaces/${namespace}/pods`,
      () => core.listNamespacedPod({ namespace, labelSelector: 'app=node-client' }),
      'app=node-client',
    )
    for (const verb of ['add', 'delete'] as const)
      informer.on(verb, ({ metadata }) => seen.push(`${verb} ${metadata?.name}`))
    informer.on('error', (error: unknown) => seen.push(`error ${String(error)}`))
    await informer.start()

    const command = ['sh', '-c', 'echo ready; exec sleep 1000000']
    const container = { name: 'c', image: 'busybox', imagePullPolicy: 'IfNotPresent', command }
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'n', namespace, labels: { app: 'node-client' } },
      spec: { terminationGracePeriodSeconds: 0, containers: [container] },
    } satisfies k8s.V1Pod
    const objects = k8s.KubernetesObjectApi.makeApiClient(config)
    const apply = (object: k8s.KubernetesObject) =>
      objects.patch(object, undefined, undefined, 'me', false, k8s.PatchStrategy.ServerSideApply)
    await apply(pod)
    await expect.poll(() => informer.get('n', namespace)?.status?.phase).toBe('Running')
    const applied = await core.readNamespacedPod({ name: 'n', namespace })
    expect(applied.metadata?.managedFields).toContainEqual(
      expect.objectContaining({ manager: 'me', operation: 'Apply' }),
    )
    await expect(
      objects.patch(
        { ...pod, metadata: { ...pod.metadata, labels: { app: 'taken' } } },
        undefined,
        undefined,
        'other',
        false,
        k8s.PatchStrategy.ServerSideApply,
      ),
    ).rejects.toMatchObject({ code: 409 })

    const printed = collector()
    const stdin = new PassThrough()
    const ended = new Promise<k8s.V1Status>((done, fail) => {
      new k8s.Exec(config)
        .exec(
          namespace,
          'n',
          'c',
          ['sh', '-c', 'read line; echo "got $line"; exit 3'],
          printed.stream,
          printed.stream,
          stdin,
          false,
          done,
        )
        .catch(fail)
    })
    stdin.write('hello\n')
    const status = await ended
    expect(printed.text()).toBe('got hello\n')
    expect(status).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode' })
    expect(status.details?.causes?.[0]).toEqual({ reason: 'ExitCode', message: '3' })

    const logged = collector()
    await new k8s.Log(config).log(namespace, 'n', 'c', logged.stream, { tailLines: 1 })
    await expect.poll(() => logged.text()).toBe('ready\n')

    await core.deleteNamespacedPod({ name: 'n', namespace })
    await expect.poll(() => seen).toEqual(['add n', 'delete n'])
    await informer.stop()
  })

  it('an operator keeps what its objects ask for', async () => {
    const namespace = 'operated'
    await kubectl.ok(['create', 'namespace', namespace])
    const extensions = config.makeApiClient(k8s.ApiextensionsV1Api)
    await extensions.createCustomResourceDefinition({ body: websites })
    await kubectl.ok(['wait', 'crd/websites.sites.example.com', '--for=condition=Established', '--timeout=60s'])
    const operator = startOperator(config, namespace)
    await operator.started()
    const custom = config.makeApiClient(k8s.CustomObjectsApi)
    const place = { group: 'sites.example.com', version: 'v1', namespace, plural: 'websites' }
    await custom.createNamespacedCustomObject({
      ...place,
      body: { apiVersion: 'sites.example.com/v1', kind: 'Website', metadata: { name: 'w' }, spec: { text: 'one' } },
    })
    const site = async () => (await custom.getNamespacedCustomObject({ ...place, name: 'w' })) as Website
    await expect.poll(async () => (await site()).status).toEqual({ readyReplicas: 1, observedGeneration: 1 })

    await kubectl.ok([
      '-n',
      namespace,
      'patch',
      'ws',
      'w',
      '--type=merge',
      '-p',
      '{"spec":{"text":"two","replicas":2}}',
    ])
    await expect.poll(async () => (await site()).status).toEqual({ readyReplicas: 2, observedGeneration: 2 })
    expect(await kubectl.ok(['-n', namespace, 'get', 'ws', 'w', '--no-headers'])).toMatch(/^w\s+2\s*$/)
    expect(await kubectl.ok(['-n', namespace, 'get', 'cm', 'w', '-o', 'jsonpath={.data.text}'])).toBe('two')

    await kubectl.ok(['-n', namespace, 'delete', 'ws', 'w'])
    expect(operator.cleaned).toEqual(['w'])
    // What the object owned goes with it.
    await expect
      .poll(() =>
        kubectl.ok(['-n', namespace, 'get', 'deployments,configmaps', '-l', 'sites.example.com', '-o', 'name']),
      )
      .toBe('')
    await operator.stop()
  })

  it("a chart's manifests install, upgrade, test and uninstall in Helm's order", async () => {
    const shop = chart('chart.yaml', kubectl, 'chart')
    await shop.install()
    expect(await kubectl.ok(['-n', 'chart', 'get', 'jobs', '-o', 'name'])).toBe('')
    expect(await kubectl.ok(['-n', 'chart', 'get', 'coupons', '-o', 'name'])).toBe('coupon.shop.example.com/welcome\n')
    await shop.test()
    const changed = await shop.upgrade('greeting: hello', 'greeting: welcome')
    expect(changed.split('\n').filter((line) => !/ unchanged$|^$/.test(line))).toEqual(['configmap/shop configured'])
    await shop.uninstall()
    expect(
      await kubectl.ok(['-n', 'chart', 'get', 'all,cm,secrets,ingresses,coupons', '-l', 'helm.sh/chart', '-o', 'name']),
    ).toBe('pod/shop-test\n')
  })
})
