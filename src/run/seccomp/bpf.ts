/*
 * Seccomp filters as the kernel takes them: programs of classic BPF over `struct seccomp_data`.
 */
import type { SeccompFilter, SeccompRule } from './filter.ts'
import syscalls from './tables/syscalls.json' with { type: 'json' }

/** What a program gives back for a call: the kernel's `SECCOMP_RET_` value. */
type Verdict = number

/** One instruction: `struct sock_filter`. */
interface Instruction {
  readonly code: number
  readonly jt?: number
  readonly jf?: number
  readonly k: number
}

/** Operations, named as in linux/bpf_common.h. */
const LOAD = 0x20
const AND = 0x54
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const RETURN = 0x06

/** Offsets in `struct seccomp_data`. */
const AT = { number: 0, architecture: 4, args: 16 } as const

const KILL: Verdict = 0x80000000
const ALLOW: Verdict = 0x7fff0000
const ERRNO = 0x00050000
const ENOSYS = 38

/** Numbers from here on are calls of x32, which shares its architecture's value with amd64. */
const X32 = 0x40000000

const { numbers } = syscalls
/** `AUDIT_ARCH_` values of linux/audit.h, for the architectures whose numbers are known; all are little-endian. */
const ARCHITECTURES: Readonly<Record<keyof typeof numbers, number>> = {
  SCMP_ARCH_X86_64: 0xc000003e,
  SCMP_ARCH_X86: 0x40000003,
  SCMP_ARCH_AARCH64: 0xc00000b7,
}

/**
 * Compiles a filter for programs that take it no other way, such as `bwrap --seccomp`.
 *
 * A process that calls as another architecture than those of the filter whose numbers are known is killed; calls of x32 do not exist.
 *
 * @returns an array of `struct sock_filter`
 * @throws RangeError for an action or a comparison that the profile does not use
 * @see linux/seccomp.h; OCI runtime-spec, config-linux.md, "Seccomp"
 */
export function compileFilter(filter: SeccompFilter): Buffer {
  const known = filter.architectures.filter((name) => name in numbers) as (keyof typeof numbers)[]
  const sections = known.flatMap((name) => {
    const section = compileCalls(filter, numbers[name], name === 'SCMP_ARCH_X86_64')
    return [...unless(JUMP_EQUAL, ARCHITECTURES[name], section.length), ...section]
  })
  return encode([load(AT.architecture), ...sections, give(KILL)])
}

/** Looks the number of the call up in a tree of ranges, so that any call takes a dozen steps. */
function compileCalls(
  filter: SeccompFilter,
  table: Readonly<Record<string, number>>,
  hasX32: boolean,
): readonly Instruction[] {
  const otherwise = [give(verdictOf(filter.defaultAction, filter.defaultErrnoRet))]
  const rules = new Map<number, SeccompRule[]>()
  for (const rule of filter.syscalls) {
    for (const name of rule.names) {
      const number = table[name]
      if (number !== undefined) rules.set(number, [...(rules.get(number) ?? []), rule])
    }
  }
  const ranges: Range[] = [{ from: 0, rules: [] }]
  for (const [number, own] of [...rules].sort(([a], [b]) => a - b)) {
    ranges.push({ from: number, rules: own }, { from: number + 1, rules: [] })
  }
  const merged = merge(ranges).map(({ from, rules }) => ({ from, code: compileRules(rules, otherwise) }))
  if (hasX32) merged.push({ from: X32, code: [give(ERRNO | ENOSYS)] })
  return [load(AT.number), ...compileRanges(merged)]
}

/** The rules for the calls from a number on, up to the next range. */
interface Range {
  readonly from: number
  readonly rules: readonly SeccompRule[]
}

/** Of ranges from the same number on the last one holds; those with the same rules become one. */
function merge(ranges: readonly Range[]): Range[] {
  const merged: Range[] = []
  for (const [index, range] of ranges.entries()) {
    if (ranges[index + 1]?.from === range.from) continue
    const before = merged.at(-1)
    if (before === undefined || !isSame(before.rules, range.rules)) merged.push(range)
  }
  return merged
}

/** Rules without conditions are the same when they give the same. */
function isSame(some: readonly SeccompRule[], others: readonly SeccompRule[]): boolean {
  return (
    some.length === others.length &&
    some.every((rule, index) => {
      const other = others[index]
      return rule === other || (isPlain(rule) && isPlain(other) && verdictOfRule(rule) === verdictOfRule(other))
    })
  )
}

function isPlain(rule: SeccompRule | undefined): rule is SeccompRule {
  return rule !== undefined && (rule.args ?? []).length === 0
}

function compileRanges(
  ranges: readonly { readonly from: number; readonly code: readonly Instruction[] }[],
): readonly Instruction[] {
  const [only] = ranges
  if (only === undefined) throw new RangeError('No calls to compile')
  if (ranges.length === 1) return only.code
  const middle = ranges.length >> 1
  const high = compileRanges(ranges.slice(middle))
  const low = compileRanges(ranges.slice(0, middle))
  // Every range ends with a return, so nothing falls through.
  return [...unless(JUMP_AT_LEAST, ranges[middle]?.from ?? 0, high.length), ...high, ...low]
}

/** The first rule that fits decides. */
function compileRules(rules: readonly SeccompRule[], otherwise: readonly Instruction[]): readonly Instruction[] {
  return rules.reduceRight<readonly Instruction[]>((rest, rule) => {
    const verdict = give(verdictOfRule(rule))
    // Conditions of one rule all have to hold; the innermost is compiled first.
    const conditions = rule.args ?? []
    return conditions.reduceRight<readonly Instruction[]>(
      (then, condition) => compileCondition(condition, then, rest),
      [verdict],
    )
  }, otherwise)
}

/** Compares an argument of 64 bits, half by half. */
function compileCondition(
  { index, value, valueTwo, op }: NonNullable<SeccompRule['args']>[number],
  then: readonly Instruction[],
  otherwise: readonly Instruction[],
): readonly Instruction[] {
  const at = AT.args + 8 * index
  if (op === 'SCMP_CMP_MASKED_EQ') {
    const high = [load(at + 4), { code: AND, k: highOf(value) }]
    const low = [load(at), { code: AND, k: lowOf(value) }]
    return compare([high, low], [highOf(valueTwo), lowOf(valueTwo)], then, otherwise)
  }
  const halves = [[load(at + 4)], [load(at)]] as const
  const values = [highOf(value), lowOf(value)] as const
  if (op === 'SCMP_CMP_EQ') return compare(halves, values, then, otherwise)
  if (op === 'SCMP_CMP_NE') return compare(halves, values, otherwise, then)
  throw new RangeError(`No such comparison: ${op}`)
}

/** Goes on with `equal` when both halves are what is wanted. Both ways end with a return. */
function compare(
  [loadHigh, loadLow]: readonly [readonly Instruction[], readonly Instruction[]],
  [high, low]: readonly [number, number],
  equal: readonly Instruction[],
  different: readonly Instruction[],
): readonly Instruction[] {
  const ifLow = [...loadLow, ...unless(JUMP_EQUAL, low, equal.length), ...equal]
  return [...loadHigh, ...unless(JUMP_EQUAL, high, ifLow.length), ...ifLow, ...different]
}

/** Leaps over so many instructions unless the comparison holds; a conditional jump reaches 255 of them. */
function unless(code: number, k: number, over: number): readonly Instruction[] {
  if (over <= 0xff) return [{ code, jt: 0, jf: over, k }]
  return [
    { code, jt: 1, jf: 0, k },
    { code: JUMP, k: over },
  ]
}

function load(offset: number): Instruction {
  return { code: LOAD, k: offset }
}

function give(verdict: Verdict): Instruction {
  return { code: RETURN, k: verdict }
}

function verdictOfRule({ action, errnoRet }: SeccompRule): Verdict {
  return verdictOf(action, errnoRet)
}

function verdictOf(action: string, errno: number | undefined): Verdict {
  if (action === 'SCMP_ACT_ALLOW') return ALLOW
  if (action === 'SCMP_ACT_ERRNO') return ERRNO | (errno ?? 1)
  throw new RangeError(`No such action: ${action}`)
}

function lowOf(value: number): number {
  return value % 2 ** 32
}

function highOf(value: number): number {
  return Math.floor(value / 2 ** 32)
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, jt = 0, jf = 0, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jt, index * 8 + 2)
    bytes.writeUInt8(jf, index * 8 + 3)
    bytes.writeUInt32LE(k, index * 8 + 4)
  }
  return bytes
}
