import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { seccompFilter, supportsSeccomp } from '../../src/run/seccomp/filter.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'

interface Rule {
  readonly names: readonly string[]
  readonly action: string
  readonly args?: readonly unknown[]
}

const folder = mkdtempSync(join(tmpdir(), 'seccomp-'))
afterAll(() => removeTree(folder))

describe.each(['x64', 'arm64'])('seccompFilter() for %s', (arch) => {
  const filter = seccompFilter(arch)
  const rules = (filter?.syscalls ?? []) as readonly Rule[]
  const allowed = new Set(rules.filter(({ action }) => action === 'SCMP_ACT_ALLOW').flatMap(({ names }) => names))

  test('allows what programs need and nothing by default', () => {
    expect(filter?.defaultAction).toBe('SCMP_ACT_ERRNO')
    for (const name of ['read', 'execve', 'futex', 'socket', 'mmap', 'clone', 'openat2', 'rseq']) {
      expect(allowed.has(name), name).toBe(true)
    }
  })

  test.each([
    'mount',
    'umount2',
    'unshare',
    'setns',
    'pivot_root',
    'bpf',
    'kexec_load',
    'init_module',
    'keyctl',
    'clone3',
  ])('does not allow %s', (name) => {
    expect(allowed.has(name)).toBe(false)
  })

  test('allows clone without new namespaces alone', () => {
    const clones = rules.filter(({ names }) => names.includes('clone'))
    expect(clones).toEqual([
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
    ])
  })
})

test('seccompFilter() has none for a machine whose calls are not known here', () => {
  expect(seccompFilter('s390x')).toBeUndefined()
})

describe('supportsSeccomp()', () => {
  const program = (name: string, says: string): string => {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\necho '${says}'\n`, { mode: 0o755 })
    return path
  }
  const host = { env: process.env }
  const kernel = join(folder, 'actions_avail')
  writeFileSync(kernel, 'kill errno allow\n')

  test.each([
    ['crun-with', '+SYSTEMD +SELINUX +CAP +SECCOMP +EBPF', true],
    ['crun-without', '+SYSTEMD +SELINUX +CAP +EBPF', false],
    ['runc-with', 'runc version 1.1.5\nlibseccomp: 2.5.4', true],
    ['runc-without', 'runc version 1.1.5\nspec: 1.0.2', false],
  ])('%s', async (name, says, expected) => {
    const path = program(name, says)
    expect(await supportsSeccomp(path, folder, host, kernel)).toBe(expected)
    expect(await supportsSeccomp(path, folder, host, kernel)).toBe(expected)
  })

  test('a kernel without filters has none, whatever the program says', async () => {
    const path = program('crun-other', '+SECCOMP')
    expect(await supportsSeccomp(path, folder, host, join(folder, 'missing'))).toBe(false)
  })
})
