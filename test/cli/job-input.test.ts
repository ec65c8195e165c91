import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readJobInput } from '../../src/cli/job-input.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'job-input-'))
  writeFileSync(join(folder, 'a.txt'), 'a')
  writeFileSync(join(folder, 'in 100%.json'), '{"count": 2, "text": "5", "files": ["@a.txt", "https://example.com/b"]}')
})
afterAll(() => rmSync(folder, { recursive: true }))

const A = 'data:text/plain;name=a.txt;base64,YQ=='

test('readJobInput() takes files, JSON, text, and several of a name', () => {
  expect(readJobInput(undefined, ['image=@a.txt', 'n=3', 'text=a=b', 'to="@you"'], folder)).toEqual({
    image: A,
    n: 3,
    text: 'a=b',
    to: '@you',
  })
  expect(readJobInput(undefined, ['files=@a.txt', 'files=@a.txt'], folder)).toEqual({ files: [A, A] })
})

test('readJobInput() reads an object or its file, whose texts stay texts; words go before it', () => {
  const files = [A, 'https://example.com/b']
  for (const json of ['in 100%.json', '@in 100%.json'])
    expect(readJobInput(json, ['count=7'], folder)).toEqual({ count: 7, text: '5', files })
  expect(readJobInput('{"text": "5"}', [], folder)).toEqual({ text: '5' })
})

test('readJobInput() names what cannot be read', () => {
  expect(() => readJobInput(undefined, ['image=@nowhere.png'], folder)).toThrow(/`image` names a file .*nowhere\.png/)
  expect(() => readJobInput('{"image": "@nowhere.png"}', [], folder)).toThrow(/nowhere\.png/)
  expect(() => readJobInput('nowhere.json', [], folder)).toThrow(/Cannot read the inputs: `nowhere\.json`/)
  expect(() => readJobInput(undefined, ['image'], folder)).toThrow(/name=value/)
})
