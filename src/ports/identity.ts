// Keys and certificates as a port: who the cluster is, and how it proves that a token or a certificate is its own.
// The host keeps elliptic keys in the data directory; the simulation makes tokens that are a function of its seed.

/** Claims of a JSON web token; what Kubernetes puts in stands under "kubernetes.io". */
export interface TokenClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  /** Seconds since 1970. */
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  readonly jti?: string
  readonly 'kubernetes.io'?: BoundClaims
}
export interface BoundClaims {
  readonly namespace: string
  readonly serviceaccount: { readonly name: string; readonly uid: string }
  readonly pod?: { readonly name: string; readonly uid: string }
  readonly node?: { readonly name: string; readonly uid?: string }
  readonly secret?: { readonly name: string; readonly uid: string }
  readonly warnafter?: number
}

export interface TokenSigner {
  readonly issuer: string
  sign(claims: TokenClaims): Promise<string>
  /** The claims of a token with our signature; undefined for anything else. Times are not looked at. */
  verify(token: string): Promise<TokenClaims | undefined>
  /** The JSON web key set that others verify our tokens with. */
  jwks(): Promise<Readonly<Record<string, unknown>>>
}

export interface SigningRequest {
  /** PKCS#10, PEM. */
  readonly csrPem: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** digital signature, key encipherment, client auth, server auth ... as in a CertificateSigningRequest. */
  readonly usages: readonly string[]
}
/** What a PKCS#10 request asks for. */
export interface RequestedSubject {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly dnsNames: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly emailAddresses: readonly string[]
  readonly uris: readonly string[]
}
export interface CertificateAuthority {
  /** The CA certificate, PEM. */
  readonly certificatePem: string
  /** Signs a request as it is; answers the certificate, PEM. Throws where the request is malformed. */
  sign(request: SigningRequest): Promise<string>
  /** Reads a request; throws where it is malformed. */
  inspect(csrPem: string): Promise<RequestedSubject>
}

/** How this server shows to the servers behind it (aggregated APIs) that it has found out who asks. */
export interface FrontProxy {
  /** The authority that those servers trust for this, PEM. */
  readonly caPem: string
  readonly commonName: string
  readonly certificatePem: string
  readonly keyPem: string
}
export interface Identity {
  readonly ca: CertificateAuthority
  /** Undefined where there are no servers behind this one. */
  readonly frontProxy?: FrontProxy
  readonly tokens: TokenSigner
}
