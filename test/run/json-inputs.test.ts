import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readJsonWords } from '../../src/run/predict/json-inputs.ts'

test('readJsonWords() takes an object, a file, and refuses the rest', () => {
  const folder = mkdtempSync(join(tmpdir(), 'json-inputs-'))
  try {
    writeFileSync(join(folder, 'in.json'), '{"text": "a=b", "n": 3, "list": [1, "x"], "none": null, "file": "@in.png"}')
    const words = ['text=a=b', 'n=3', 'list=[1,"x"]', 'none=null', 'file=@in.png']
    expect(readJsonWords('@in.json', folder)).toEqual(words)
    expect(readJsonWords(' {"n": true} ', folder)).toEqual(['n=true'])
    for (const text of ['[1]', 'null', '{', '"x"']) expect(() => readJsonWords(text, folder)).toThrow(/not (a )?JSON/)
    expect(() => readJsonWords('@nowhere.json', folder)).toThrow(/nowhere.json/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
