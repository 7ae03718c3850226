// Certificate signing requests: approves kubelets' own certificates, signs what is approved for the kubernetes.io
// signers, and clears away what is done. Each signer has its own idea of what a request may hold.
import { type SubjectAccessReview, subjectAccessReviews } from '../api/authorization/authorization.ts'
import {
  type CertificateSigningRequest,
  certificateSigningRequests as csrKind,
} from '../api/certificates/certificate-signing-request.ts'
import { type Node, nodes } from '../api/core/node.ts'
import { canonicalIp } from '../api/machinery/ip.ts'
import { formatTime } from '../api/machinery/time.ts'
import type { CertificateAuthority, RequestedSubject } from '../ports/identity.ts'
import { findCondition } from './framework/conditions.ts'
import type { Controller } from './framework/controller.ts'
import { messageOf } from './framework/pod-control.ts'
import { startReconciler } from './framework/reconciler.ts'
import { createdMs, timeMs } from './framework/time.ts'

const prefix = 'kubernetes.io/'
export const clientSigner = `${prefix}kube-apiserver-client`
export const kubeletClientSigner = `${prefix}kube-apiserver-client-kubelet`
export const kubeletServingSigner = `${prefix}kubelet-serving`
export const legacySigner = `${prefix}legacy-unknown`
const nodesGroup = 'system:nodes'
const nodePrefix = 'system:node:'
const dayMs = 86_400_000
const defaultDurationMs = 365 * dayMs
/** Certificates begin a little in the past, for clocks that are behind. */
const backdateMs = 300_000

const isTrue = (csr: CertificateSigningRequest, type: string) =>
  findCondition(csr.status.conditions, type)?.status === 'True'
const hasCertificate = (csr: CertificateSigningRequest) => (csr.status.certificate ?? '') !== ''
const csrPem = (csr: CertificateSigningRequest): string => atob(csr.spec.request)

const usagesWithin = (usages: readonly string[], needed: string, allowed: readonly string[]): boolean =>
  usages.includes(needed) && usages.every((usage) => allowed.includes(usage))
const clientUsages = ['digital signature', 'key encipherment', 'client auth']
const servingUsages = ['digital signature', 'key encipherment', 'server auth']

/** Why a request is not a kubelet's client request; undefined when it is. */
export function kubeletClientFault(subject: RequestedSubject, usages: readonly string[]): string | undefined {
  if (subject.organizations.length !== 1 || subject.organizations[0] !== nodesGroup)
    return 'subject organization is not system:nodes'
  if (subject.dnsNames.length > 0) return 'DNS subjectAltNames are not allowed'
  if (subject.emailAddresses.length > 0) return 'Email subjectAltNames are not allowed'
  if (subject.ipAddresses.length > 0) return 'IP subjectAltNames are not allowed'
  if (subject.uris.length > 0) return 'URI subjectAltNames are not allowed'
  if (!subject.commonName.startsWith(nodePrefix)) return 'subject common name does not begin with system:node:'
  const exact = usagesWithin(usages, 'client auth', clientUsages) && usages.includes('digital signature')
  return exact ? undefined : 'usages did not match [client auth digital signature key encipherment]'
}
function kubeletServingFault(subject: RequestedSubject, usages: readonly string[]): string | undefined {
  if (subject.organizations.length !== 1 || subject.organizations[0] !== nodesGroup)
    return 'subject organization is not system:nodes'
  if (subject.dnsNames.length + subject.ipAddresses.length === 0) return 'DNS or IP subjectAltName is required'
  if (subject.emailAddresses.length > 0) return 'Email subjectAltNames are not allowed'
  if (subject.uris.length > 0) return 'URI subjectAltNames are not allowed'
  if (!subject.commonName.startsWith(nodePrefix)) return 'subject common name does not begin with system:node:'
  const exact = usagesWithin(usages, 'server auth', servingUsages) && usages.includes('digital signature')
  return exact ? undefined : 'usages did not match [server auth digital signature key encipherment]'
}
/** Why a kubelet's serving request is not approved: a node may only speak for names and addresses that its Node tells. */
export function servingNamesFault(subject: RequestedSubject, node: Node | undefined): string | undefined {
  if (node === undefined) return 'the node is not registered'
  const addresses = (node.status.addresses ?? []).map(({ address }) => address)
  const known = new Set([node.metadata.name, ...addresses.map((address) => canonicalIp(address) ?? address)])
  const strange = [...subject.dnsNames, ...subject.ipAddresses.map((ip) => canonicalIp(ip) ?? ip)].filter(
    (name) => !known.has(name),
  )
  return strange.length === 0 ? undefined : `the node does not tell ${strange.join(', ')} as its own`
}
/** Why a signer refuses a request; undefined when it signs. */
export function signerFault(signer: string, subject: RequestedSubject, usages: readonly string[]): string | undefined {
  switch (signer) {
    case clientSigner:
      return usagesWithin(usages, 'client auth', clientUsages)
        ? undefined
        : 'invalid usages for client certificate: must include "client auth" and nothing but "digital signature", "key encipherment"'
    case kubeletClientSigner:
      return kubeletClientFault(subject, usages)
    case kubeletServingSigner:
      return kubeletServingFault(subject, usages)
    default:
      return undefined
  }
}

/** How long a request in its state is kept: pending ones a day, decided ones an hour. */
export function csrExpiryMs(csr: CertificateSigningRequest): number {
  const since = (type: string) => {
    const condition = findCondition(csr.status.conditions, type)
    return condition === undefined ? undefined : timeMs(condition.lastUpdateTime ?? condition.lastTransitionTime)
  }
  const decided = since('Denied') ?? since('Failed') ?? since('Approved')
  return decided === undefined ? createdMs(csr) + dayMs : decided + 3_600_000
}

export const csrApprovingController: Controller = {
  name: 'certificatesigningrequest-approving-controller',
  start(context) {
    const { client, clock, informers, settings } = context
    const ca = settings?.ca
    if (ca === undefined) return { stop: () => Promise.resolve() }
    const requests = informers.informer(csrKind)
    async function mayApprove(csr: CertificateSigningRequest, subresource: string): Promise<boolean> {
      const { username, uid, groups, extra } = csr.spec
      const review = await client.resource(subjectAccessReviews).create({
        metadata: {},
        spec: {
          ...(username === undefined ? {} : { user: username }),
          ...(uid === undefined ? {} : { uid }),
          ...(groups === undefined ? {} : { groups }),
          ...(extra === undefined ? {} : { extra }),
          resourceAttributes: {
            group: 'certificates.k8s.io',
            resource: 'certificatesigningrequests',
            verb: 'create',
            subresource,
            version: '*',
          },
        },
      } as never)
      return (review as SubjectAccessReview).status.allowed
    }
    /** Why a request is approved; undefined where that is for somebody else to decide. */
    async function approval(csr: CertificateSigningRequest): Promise<string | undefined> {
      const { signerName, usages = [], username } = csr.spec
      if (ca === undefined || (signerName !== kubeletClientSigner && signerName !== kubeletServingSigner))
        return undefined
      const subject = await inspect(ca, csr)
      if (typeof subject === 'string') return undefined
      const own = subject.commonName === username
      if (signerName === kubeletServingSigner) {
        if (!own || kubeletServingFault(subject, usages) !== undefined) return undefined
        const node = await client.resource(nodes).find(subject.commonName.slice(nodePrefix.length))
        if (servingNamesFault(subject, node) !== undefined) return undefined
        return "Auto approving kubelet serving certificate after comparing it with the Node's addresses."
      }
      if (kubeletClientFault(subject, usages) !== undefined) return undefined
      if (own && (await mayApprove(csr, 'selfnodeclient')))
        return 'Auto approving self kubelet client certificate after SubjectAccessReview.'
      if (!(await mayApprove(csr, 'nodeclient'))) return undefined
      return 'Auto approving kubelet client certificate after SubjectAccessReview.'
    }
    const reconciler = startReconciler({
      context,
      caches: [requests],
      async reconcile(name, writes) {
        const csr = requests.get(name)
        if (csr === undefined || hasCertificate(csr)) return
        if (isTrue(csr, 'Approved') || isTrue(csr, 'Denied')) return
        const message = await approval(csr)
        if (message === undefined) return
        const now = formatTime(clock.now())
        const approved = {
          type: 'Approved',
          status: 'True',
          reason: 'AutoApproved',
          message,
          lastUpdateTime: now,
          lastTransitionTime: now,
        }
        const conditions = [...(csr.status.conditions ?? []), approved]
        await writes.update(csrKind, { ...csr, status: { ...csr.status, conditions } }, { subresource: 'approval' })
      },
      onStop: () => off(),
    })
    const enqueue = (csr: CertificateSigningRequest) => reconciler.enqueue(csr.metadata.name)
    const off = requests.handle({ add: enqueue, update: enqueue })
    return reconciler
  },
}

/** What a request asks for, or why it cannot be read. */
async function inspect(ca: CertificateAuthority, csr: CertificateSigningRequest): Promise<RequestedSubject | string> {
  try {
    return await ca.inspect(csrPem(csr))
  } catch (error) {
    // Boundary: the bytes are a stranger's.
    return `unable to parse csr: ${messageOf(error)}`
  }
}

export const csrSigningController: Controller = {
  name: 'certificatesigningrequest-signing-controller',
  start(context) {
    const { clock, informers, settings } = context
    const ca = settings?.ca
    if (ca === undefined) return { stop: () => Promise.resolve() }
    const requests = informers.informer(csrKind)
    const ours = [clientSigner, kubeletClientSigner, kubeletServingSigner, legacySigner]
    const reconciler = startReconciler({
      context,
      caches: [requests],
      async reconcile(name, writes) {
        const csr = requests.get(name)
        if (csr === undefined || hasCertificate(csr) || !ours.includes(csr.spec.signerName)) return
        if (!isTrue(csr, 'Approved') || isTrue(csr, 'Denied') || isTrue(csr, 'Failed')) return
        const { signerName, usages = [], expirationSeconds } = csr.spec
        const subject = await inspect(ca, csr)
        const fault = typeof subject === 'string' ? subject : signerFault(signerName, subject, usages)
        if (fault !== undefined) {
          const now = formatTime(clock.now())
          const failed = {
            type: 'Failed',
            status: 'True',
            reason: 'SignerValidationFailure',
            message: fault,
            lastUpdateTime: now,
            lastTransitionTime: now,
          }
          const conditions = [...(csr.status.conditions ?? []), failed]
          await writes.updateStatus(csrKind, { ...csr, status: { ...csr.status, conditions } })
          return
        }
        const nowMs = clock.now()
        const wantedMs = expirationSeconds === undefined ? defaultDurationMs : expirationSeconds * 1000
        const certificate = await ca.sign({
          csrPem: csrPem(csr),
          usages,
          notBeforeMs: nowMs - backdateMs,
          notAfterMs: nowMs - backdateMs + Math.min(defaultDurationMs, Math.max(wantedMs, 2 * backdateMs)),
        })
        await writes.updateStatus(csrKind, { ...csr, status: { ...csr.status, certificate: btoa(certificate) } })
      },
      onStop: () => off(),
    })
    const enqueue = (csr: CertificateSigningRequest) => reconciler.enqueue(csr.metadata.name)
    const off = requests.handle({ add: enqueue, update: enqueue })
    return reconciler
  },
}

export const csrCleaner: Controller = {
  name: 'certificatesigningrequest-cleaner-controller',
  start(context) {
    const requests = context.informers.informer(csrKind)
    const reconciler = startReconciler({
      context,
      caches: [requests],
      async reconcile(name, writes) {
        const csr = requests.get(name)
        if (csr === undefined) return undefined
        const leftMs = csrExpiryMs(csr) - context.clock.now()
        if (leftMs > 0) return leftMs
        await writes.delete(csrKind, csr)
        return undefined
      },
      onStop: () => off(),
    })
    const enqueue = (csr: CertificateSigningRequest) => reconciler.enqueue(csr.metadata.name)
    const off = requests.handle({ add: enqueue, update: enqueue })
    return reconciler
  },
}
