// The program that holds a pod's namespaces: blocks the signals it cares for, waits for one, reaps zombies on SIGCHLD,
// leaves on SIGTERM and SIGINT. It is so small that it is written here as machine code, with its assembly source beside
// it: nothing is compiled or pulled to start a cluster. Blocking rather than handling is what makes PID 1 hear signals.

/** Go's architecture names. */
export type PauseArchitecture = 'amd64' | 'arm64'

// rt_sigprocmask(SIG_BLOCK, {TERM, INT, CHLD}); loop: rt_sigtimedwait; CHLD: wait4(-1, WNOHANG) until none; else exit_group(0)
const amd64 = [
  ['b8 0e 00 00 00', 'mov eax, 14          ; rt_sigprocmask'],
  ['31 ff', 'xor edi, edi         ; SIG_BLOCK'],
  ['48 8d 35 4f 00 00 00', 'lea rsi, [rip+mask]'],
  ['31 d2', 'xor edx, edx'],
  ['41 ba 08 00 00 00', 'mov r10d, 8'],
  ['0f 05', 'syscall'],
  ['b8 80 00 00 00', 'wait: mov eax, 128   ; rt_sigtimedwait'],
  ['48 8d 3d 39 00 00 00', 'lea rdi, [rip+mask]'],
  ['31 f6', 'xor esi, esi'],
  ['31 d2', 'xor edx, edx'],
  ['41 ba 08 00 00 00', 'mov r10d, 8'],
  ['0f 05', 'syscall'],
  ['83 f8 11', 'cmp eax, 17          ; SIGCHLD'],
  ['74 0d', 'je reap'],
  ['85 c0', 'test eax, eax        ; interrupted'],
  ['78 df', 'js wait'],
  ['b8 e7 00 00 00', 'mov eax, 231         ; exit_group'],
  ['31 ff', 'xor edi, edi'],
  ['0f 05', 'syscall'],
  ['b8 3d 00 00 00', 'reap: mov eax, 61    ; wait4'],
  ['48 83 cf ff', 'or rdi, -1'],
  ['31 f6', 'xor esi, esi'],
  ['ba 01 00 00 00', 'mov edx, 1           ; WNOHANG'],
  ['45 31 d2', 'xor r10d, r10d'],
  ['0f 05', 'syscall'],
  ['85 c0', 'test eax, eax'],
  ['7f e7', 'jg reap'],
  ['eb bb', 'jmp wait'],
  ['02 40 01 00 00 00 00 00', 'mask: .quad 1<<14 | 1<<1 | 1<<16'],
] as const
const arm64 = [
  ['e8 10 80 d2', 'mov x8, #135         ; rt_sigprocmask'],
  ['00 00 80 d2', 'mov x0, #0           ; SIG_BLOCK'],
  ['21 03 00 10', 'adr x1, mask'],
  ['02 00 80 d2', 'mov x2, #0'],
  ['03 01 80 d2', 'mov x3, #8'],
  ['01 00 00 d4', 'svc #0'],
  ['28 11 80 d2', 'wait: mov x8, #137   ; rt_sigtimedwait'],
  ['80 02 00 10', 'adr x0, mask'],
  ['01 00 80 d2', 'mov x1, #0'],
  ['02 00 80 d2', 'mov x2, #0'],
  ['03 01 80 d2', 'mov x3, #8'],
  ['01 00 00 d4', 'svc #0'],
  ['1f 44 00 f1', 'cmp x0, #17          ; SIGCHLD'],
  ['a0 00 00 54', 'b.eq reap'],
  ['00 ff ff b7', 'tbnz x0, #63, wait   ; interrupted'],
  ['c8 0b 80 d2', 'mov x8, #94          ; exit_group'],
  ['00 00 80 d2', 'mov x0, #0'],
  ['01 00 00 d4', 'svc #0'],
  ['88 20 80 d2', 'reap: mov x8, #260   ; wait4'],
  ['00 00 80 92', 'mov x0, #-1'],
  ['01 00 80 d2', 'mov x1, #0'],
  ['22 00 80 d2', 'mov x2, #1           ; WNOHANG'],
  ['03 00 80 d2', 'mov x3, #0'],
  ['01 00 00 d4', 'svc #0'],
  ['1f 00 00 f1', 'cmp x0, #0'],
  ['2c ff ff 54', 'b.gt reap'],
  ['ec ff ff 17', 'b wait'],
  ['02 40 01 00 00 00 00 00', 'mask: .quad 1<<14 | 1<<1 | 1<<16'],
] as const

const programs = {
  amd64: { code: amd64, machine: 0x3e },
  arm64: { code: arm64, machine: 0xb7 },
}
const loadAddress = 0x400000
const headerBytes = 64 + 56

/** A statically linked ELF executable: one header, one segment, the code. */
export function pauseProgram(architecture: PauseArchitecture): Buffer {
  const { code, machine } = programs[architecture]
  const text = Buffer.concat(code.map(([hex]) => Buffer.from(hex.replaceAll(' ', ''), 'hex')))
  const size = BigInt(headerBytes + text.length)
  const header = Buffer.alloc(headerBytes)
  // ELF, 64 bits, little-endian, version 1; executable.
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header.writeUInt16LE(2, 16)
  header.writeUInt16LE(machine, 18)
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(BigInt(loadAddress + headerBytes), 24)
  header.writeBigUInt64LE(64n, 32)
  header.writeUInt16LE(64, 52)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(1, 56)
  // One segment to load, readable and executable.
  header.writeUInt32LE(1, 64)
  header.writeUInt32LE(5, 68)
  header.writeBigUInt64LE(0n, 72)
  header.writeBigUInt64LE(BigInt(loadAddress), 80)
  header.writeBigUInt64LE(BigInt(loadAddress), 88)
  header.writeBigUInt64LE(size, 96)
  header.writeBigUInt64LE(size, 104)
  header.writeBigUInt64LE(0x1000n, 112)
  return Buffer.concat([header, text])
}
