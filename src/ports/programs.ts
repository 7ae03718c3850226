// Programs of the node that an operator has named, as a port: credential providers.
export interface Programs {
  /** Runs a program with `input` on its standard input and `env` added to ours; answers its standard output. Rejects with one
   * clear line when it fails, is not there or takes longer than `timeoutMs`. */
  run(
    file: string,
    args: readonly string[],
    options: { readonly input: string; readonly env: Readonly<Record<string, string>>; readonly timeoutMs: number },
  ): Promise<string>
}
