import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { findInterpreter, knownMinors, parseInterpreterList } from '../../src/bases/interpreter.ts'
import { packageRoot } from '../../src/core/package-root.ts'

const sources = { mirror: 'https://mirror.example/builds/' }
const sha256 = 'a'.repeat(64)

test('findInterpreter() takes the newest patch of a minor version', () => {
  const found = findInterpreter('3.12', 'arm64', sources)
  expect(found).toMatchObject({ version: '3.12.16', architecture: 'arm64' })
  expect(found?.url).toMatch(
    /^https:\/\/mirror\.example\/builds\/\d{8}\/cpython-3\.12\.16%2B\d{8}-aarch64-unknown-linux-gnu/,
  )
})

test('findInterpreter() keeps a patch that was asked for', () => {
  expect(findInterpreter('3.11.9', 'amd64', sources)?.version).toBe('3.11.9')
  expect(findInterpreter('3.11.99', 'amd64', sources)).toBeUndefined()
  expect(findInterpreter('3.1', 'amd64', sources)).toBeUndefined()
})

test('findInterpreter() takes what the user lists, also when the table has a newer one', () => {
  const own = { version: '3.12.3', architecture: 'amd64' as const, url: 'file:///python.tar.gz', sha256 }
  expect(findInterpreter('3.12', 'amd64', { ...sources, extra: [own] })).toEqual(own)
  expect(findInterpreter('3.12', 'arm64', { ...sources, extra: [own] })?.version).toBe('3.12.16')
})

test('knownMinors() lists versions in the order of numbers, not of text', () => {
  expect(knownMinors('amd64', sources)).toEqual(['3.8', '3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15'])
})

test('parseInterpreterList() names the row and the member at fault', () => {
  const row = { version: '3.14.0', architecture: 'amd64', url: 'file:///p.tar.gz', sha256 }
  expect(parseInterpreterList(JSON.stringify([row]), 'the list')).toEqual([row])
  expect(() => parseInterpreterList(JSON.stringify([row, { ...row, sha256: 'x' }]), 'the list')).toThrow(
    /row 2, sha256/,
  )
  expect(() => parseInterpreterList('{', 'the list')).toThrow(/the list is not a list/)
})

test('tools/interpreters.mjs adds the builds that the table lacks and keeps the others', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'interpreters-'))
  try {
    const [table, metadata] = [join(folder, 'table.json'), join(folder, 'metadata.json')]
    const kept = { version: '3.9.1', arch: 'amd64', path: '1/cpython-3.9.1-install_only.tar.gz', sha256: 'b' }
    await writeFile(table, JSON.stringify({ origin: 'before', rows: [kept] }))
    const build = {
      name: 'cpython',
      arch: { family: 'aarch64', variant: null },
      os: 'linux',
      libc: 'gnu',
      major: 3,
      minor: 10,
      patch: 0,
      prerelease: '',
      url: 'https://host.example/releases/download/2/cpython-3.10.0%2B2-aarch64-unknown-linux-gnu-install_only.tar.gz',
      sha256,
      variant: null,
    }
    const others = [{ libc: 'musl' }, { variant: 'debug' }, { prerelease: 'rc1' }, { sha256: null }, { os: 'darwin' }]
    const all = [build, ...others.map((other) => ({ ...build, ...other, patch: 1 }))]
    await writeFile(metadata, JSON.stringify({ ...all }))
    const tool = join(packageRoot(), 'tools/interpreters.mjs')
    await promisify(execFile)(process.execPath, [tool, metadata, 'uv 9.9', table])
    const { origin, rows } = JSON.parse(await readFile(table, 'utf8')) as { origin: string; rows: unknown[] }
    expect(origin).toContain('uv 9.9')
    const path = '2/cpython-3.10.0%2B2-aarch64-unknown-linux-gnu-install_only.tar.gz'
    expect(rows).toEqual([kept, { version: '3.10.0', arch: 'arm64', path, sha256 }])
  } finally {
    await rm(folder, { recursive: true })
  }
})
