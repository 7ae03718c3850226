// The sockets that the cluster's DNS needs: a server on an address, and a question to another server.
export interface DnsSockets {
  /** Answers datagrams and TCP messages (without their length prefix) on an address. `undefined` is no answer at all.
   * Rejects when the address or the port is not to be had. */
  serve(
    address: string,
    port: number,
    answer: (query: Uint8Array, via: 'udp' | 'tcp') => Uint8Array | undefined | Promise<Uint8Array | undefined>,
  ): Promise<{ close(): Promise<void> }>
  /** Asks by UDP, and again by TCP when the answer was truncated. Rejects on silence. */
  exchange(server: string, query: Uint8Array, timeoutMs: number): Promise<Uint8Array>
  /** Servers and options of the machine's own resolver, without loopback addresses that would lead back here. */
  upstreams(): Promise<readonly string[]>
}
