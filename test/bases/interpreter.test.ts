import { expect, test } from 'vitest'
import { findInterpreter, knownMinors, parseInterpreterList } from '../../src/bases/interpreter.ts'

const sources = { mirror: 'https://mirror.example/builds/' }
const sha256 = 'a'.repeat(64)

test('findInterpreter() takes the newest patch of a minor version', () => {
  const found = findInterpreter('3.12', 'arm64', sources)
  expect(found).toMatchObject({ version: '3.12.11', architecture: 'arm64' })
  expect(found?.url).toMatch(
    /^https:\/\/mirror\.example\/builds\/\d{8}\/cpython-3\.12\.11%2B\d{8}-aarch64-unknown-linux-gnu/,
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
  expect(findInterpreter('3.12', 'arm64', { ...sources, extra: [own] })?.version).toBe('3.12.11')
})

test('knownMinors() lists versions in the order of numbers, not of text', () => {
  expect(knownMinors('amd64', sources)).toEqual(['3.8', '3.9', '3.10', '3.11', '3.12', '3.13'])
})

test('parseInterpreterList() names the row and the member at fault', () => {
  const row = { version: '3.14.0', architecture: 'amd64', url: 'file:///p.tar.gz', sha256 }
  expect(parseInterpreterList(JSON.stringify([row]), 'the list')).toEqual([row])
  expect(() => parseInterpreterList(JSON.stringify([row, { ...row, sha256: 'x' }]), 'the list')).toThrow(
    /row 2, sha256/,
  )
  expect(() => parseInterpreterList('{', 'the list')).toThrow(/the list is not a list/)
})
