import { describe, expect, test } from 'vitest'
import { compileFilter } from '../../src/run/seccomp/bpf.ts'
import { seccompFilter, type SeccompFilter, type SeccompRule } from '../../src/run/seccomp/filter.ts'
import syscalls from '../../src/run/seccomp/tables/syscalls.json' with { type: 'json' }

const AUDIT = { SCMP_ARCH_X86_64: 0xc000003e, SCMP_ARCH_X86: 0x40000003, SCMP_ARCH_AARCH64: 0xc00000b7 } as const

const [KILL, ALLOW, ERRNO] = [0x80000000, 0x7fff0000, 0x50000]
const EPERM = ERRNO | 1
const EINVAL = ERRNO | 22
const ENOSYS = ERRNO | 38

const ARGS: readonly (readonly bigint[])[] = [
  [0n, 0n, 0n, 0n, 0n, 0n],
  [8n, 0n, 0n, 0n, 0n, 0n],
  [0x20000n, 0n, 0n, 0n, 0n, 0n],
  [0xffffffffn, 0n, 0n, 0n, 0n, 0n],
  [0xffffffffffffffffn, 0n, 9n, 0n, 0n, 0n],
  [0x100000008n, 0n, 0n, 0n, 0n, 0n],
  [16n, 3n, 9n, 0n, 0n, 0n],
  [16n, 3n, 0n, 0n, 0n, 0n],
  [2n, 1n, 9n, 0n, 0n, 0n],
  [0x10000000n, 0n, 0n, 0n, 0n, 0n],
  [0x01200011n, 0n, 0n, 0n, 0n, 0n],
]

describe.each([
  ['x64', 'SCMP_ARCH_X86_64'],
  ['x64', 'SCMP_ARCH_X86'],
  ['arm64', 'SCMP_ARCH_AARCH64'],
] as const)('compileFilter() for %s, calls of %s', (arch, architecture) => {
  const filter = need(seccompFilter(arch))
  const program = compileFilter(filter)
  const answer = (number: number, args: readonly bigint[] = []): number =>
    execute(program, AUDIT[architecture], number, args)

  test('gives for every call and argument what the profile says', () => {
    const names = new Map(Object.entries(syscalls.numbers[architecture]).map(([name, number]) => [number, name]))
    for (let number = 0; number < 1000; number++) {
      for (const args of ARGS) {
        const expected = decide(filter, names.get(number), args)
        const actual = answer(number, args)
        if (actual !== expected) expect([names.get(number) ?? number, args, actual]).toEqual([expected])
      }
    }
  })

  test.each<[string, number, bigint[]?]>([
    ['read', ALLOW],
    ['futex', ALLOW],
    ['clone', ALLOW, [0x01200011n]],
    ['clone', ENOSYS, [0x10000000n]],
    ['clone3', ENOSYS],
    ['unshare', EPERM],
    ['mount', EPERM],
    ['keyctl', EPERM],
    ['personality', ALLOW, [0n]],
    ['personality', ENOSYS, [1n]],
    ['socket', EINVAL, [16n, 3n, 9n]],
    ['socket', ALLOW, [2n, 1n, 9n]],
  ])('%s gives %d', (name, expected, args) => {
    const number: number | undefined = (syscalls.numbers[architecture] as Record<string, number>)[name]
    expect(answer(number ?? -1, args)).toBe(expected)
  })

  test('io_uring does not exist', () => {
    expect(answer(425)).toBe(ENOSYS)
  })

  test('a call as another architecture kills', () => {
    for (const [name, value] of Object.entries(AUDIT)) {
      if (!filter.architectures.includes(name)) expect(execute(program, value, 0, [])).toBe(KILL)
    }
    expect(execute(program, 0x40000028, 0, [])).toBe(KILL)
  })
})

test('compileFilter() leaves no call to x32', () => {
  const program = compileFilter(need(seccompFilter('x64')))
  for (const number of [0x40000000, 0x40000027, 0x40000200, 0xffffffff]) {
    expect(execute(program, AUDIT.SCMP_ARCH_X86_64, number, [])).toBe(ENOSYS)
  }
})

test.each(['SCMP_ACT_TRACE', 'SCMP_ACT_LOG'])('compileFilter() refuses what the profile does not use: %s', (action) => {
  const filter = { ...need(seccompFilter('x64')), syscalls: [{ names: ['read'], action }] }
  expect(() => compileFilter(filter)).toThrow(RangeError)
})

/** What the profile says, read without any program. */
function decide(filter: SeccompFilter, name: string | undefined, args: readonly bigint[]): number {
  const rule = filter.syscalls.find((rule) => name !== undefined && rule.names.includes(name) && holds(rule, args))
  if (rule === undefined) return ERRNO | filter.defaultErrnoRet
  return rule.action === 'SCMP_ACT_ALLOW' ? ALLOW : ERRNO | (rule.errnoRet ?? 1)
}

function holds({ args = [] }: SeccompRule, given: readonly bigint[]): boolean {
  return args.every(({ index, value, valueTwo, op }) => {
    const arg = given[index] ?? 0n
    if (op === 'SCMP_CMP_MASKED_EQ') return (arg & BigInt(value)) === BigInt(valueTwo)
    return op === 'SCMP_CMP_EQ' ? arg === BigInt(value) : arg !== BigInt(value)
  })
}

/** The kernel's machine for classic BPF, as far as these programs use it. @see net/core/filter.c, bpf_check_classic */
function execute(program: Buffer, architecture: number, number: number, args: readonly bigint[]): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number >>> 0, 0)
  data.writeUInt32LE(architecture, 4)
  for (const [index, arg] of args.entries()) data.writeBigUInt64LE(arg, 16 + 8 * index)
  let accumulator = 0
  for (let at = 0; at < program.length / 8; at++) {
    const [code, jt, jf] = [program.readUInt16LE(at * 8), program.readUInt8(at * 8 + 2), program.readUInt8(at * 8 + 3)]
    const k = program.readUInt32LE(at * 8 + 4)
    if (code === 0x20) accumulator = data.readUInt32LE(k)
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += accumulator === k ? jt : jf
    else if (code === 0x35) at += accumulator >= k ? jt : jf
    else if (code === 0x06) return k
    else throw new Error(`No such instruction: ${code}`)
  }
  throw new Error('The program ran over its end')
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('No filter')
  return value
}
