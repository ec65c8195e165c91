import { describe, expect, it } from 'vitest'
import { renderAnswers } from '../../src/cli/commands/why.ts'
import type { PlatformLock } from '../../src/lock/lock.ts'
import { explain, explainable } from '../../src/lock/why.ts'
import type { LockedWheel } from '../../src/python/lock.ts'

function wheel(name: string, dependencies: readonly string[], requested = false): LockedWheel {
  return {
    name,
    version: '1.0',
    filename: `${name}-1.0-py3-none-any.whl`,
    url: `https://index.test/${name}`,
    sha256: '0'.repeat(64),
    sizeBytes: 1,
    requested,
    dependencies,
  }
}

const lock: PlatformLock = {
  platform: { os: 'linux', architecture: 'amd64' },
  base: { kind: 'debian', suite: 'bookworm', packages: { packages: [] } as never },
  interpreter: { kind: 'debian', version: '3.11.2', executable: '/usr/bin/python3' },
  libc: { kind: 'glibc', major: 2, minor: 36 },
  wheels: [
    wheel('app', ['lib', 'deep'], true),
    wheel('deep', ['lib']),
    wheel('lib', ['lonely']),
    wheel('lonely', ['lib']),
    wheel('torch', [], true),
  ],
  launcher: [],
  choices: [
    { key: 'cuda', value: '12.8', reason: 'torch asks for it', rejected: '13.0: needs a newer driver' },
    { key: 'torch', value: '2.7.1+cu128', reason: 'the build for CUDA 12.8' },
  ],
}

const answer = (name: string): string => renderAnswers([{ platform: 'linux/amd64', reasons: explain(lock, name) }])

describe('explain()', () => {
  it('tells a choice with what was rejected', () => {
    expect(answer('cuda')).toBe('cuda: 12.8\n  torch asks for it\n  not 13.0: needs a newer driver\n')
  })

  it('tells the shortest way from what the project names to a package', () => {
    expect(answer('lonely')).toBe('lonely 1.0\n  app -> lib -> lonely\n  required by lib\n')
    expect(answer('LIB')).toBe('lib 1.0\n  app -> lib\n  required by app, deep, lonely\n')
  })

  it('tells both where a name is a choice and a package', () => {
    expect(answer('torch')).toBe('torch: 2.7.1+cu128\n  the build for CUDA 12.8\ntorch 1.0\n  the project names it\n')
  })

  it('knows what is near to a name that is neither', () => {
    expect(explain(lock, 'cudda')).toEqual([])
    expect(explainable(lock, 'cudda')).toEqual({ nearest: 'cuda', keys: ['cuda', 'torch'] })
  })
})

describe('renderAnswers()', () => {
  it('names platforms only where they differ', () => {
    const reasons = explain(lock, 'cuda')
    expect(
      renderAnswers([
        { platform: 'a', reasons },
        { platform: 'b', reasons },
      ]),
    ).not.toContain('a\n')
    expect(
      renderAnswers([
        { platform: 'a', reasons },
        { platform: 'b', reasons: [] },
      ]),
    ).toMatch(/^a\ncuda[\s\S]*\nb\nnot there\n$/)
  })
})
