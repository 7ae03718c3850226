import { describe, expect, it } from 'vitest'
import { apiVersionOf } from './machinery/kind.ts'
import { parseRuntimeConfig, servedKinds } from './runtime-config.ts'

const served = (text: string): string[] =>
  servedKinds(parseRuntimeConfig(text)).flatMap((kind) =>
    [kind, ...(kind.versions ?? [])].map((one) => `${apiVersionOf(one)}/${kind.plural}`),
  )

describe('what is served', () => {
  it('is the stable versions and those of old manifests', () => {
    const names = served('')
    expect(names).toContain('apps/v1/deployments')
    expect(names).toContain('apps/v1beta1/deployments')
    expect(names).toContain('metrics.k8s.io/v1beta1/pods')
    expect(
      names.filter(
        (name) =>
          /(alpha|beta)/.test(name) &&
          !/^(apps|extensions|batch|autoscaling|policy|metrics|networking.k8s.io\/v1beta1\/ingress|rbac)/.test(name),
      ),
    ).toEqual([])
  })
  it('grows by what is asked for', () => {
    const plain = new Set(served(''))
    const more = (text: string) => served(text).filter((name) => !plain.has(name))
    expect(more('resource.k8s.io/v1beta2/resourceclaims')).toEqual(['resource.k8s.io/v1beta2/resourceclaims'])
    expect(more('storage.k8s.io/v1beta1=true')).toEqual(['storage.k8s.io/v1beta1/volumeattributesclasses'])
    expect(more('api/alpha').filter((name) => name.includes('beta'))).toEqual([
      // stored as beta
      'certificates.k8s.io/v1beta1/clustertrustbundles',
      'coordination.k8s.io/v1beta1/leasecandidates',
      'resource.k8s.io/v1beta2/devicetaintrules',
    ])
    expect(more('api/all')).toContain('scheduling.k8s.io/v1alpha2/podgroups')
    expect(
      more('api/all,coordination.k8s.io/v1alpha2=false').filter((name) => name.startsWith('coordination')),
    ).toEqual(['coordination.k8s.io/v1beta1/leasecandidates'])
    expect(served('extensions/v1beta1=false').filter((name) => name.startsWith('extensions/'))).toEqual([])
  })
  it.each([
    ['appz/v1', /^"appz\/v1": no such group version or resource; expected api\/all, .*resource\.k8s\.io\/v1beta2/],
    ['resource.k8s.io/v1beta2/claims', /no such group version or resource/],
    ['api/all=perhaps', /^"api\/all=perhaps": expected KEY=true or KEY=false$/],
    ['apps/v1=false', /stable versions cannot be switched off/],
    ['api/v1=false', /^"v1": stable versions/],
    ['api/all=false', /stable versions/],
  ])('refuses %s', (text, message) => {
    expect(() => parseRuntimeConfig(text)).toThrow(message)
  })
})
