import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { describeModel } from '../../src/predictor/describe.ts'
import { withoutAdditions } from './support.ts'

const folder = join(packageRoot(), 'fixtures/openapi')
const projects = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())

describe('describeModel() makes the document that Cog makes, and adds to it', () => {
  it.each(projects.map((entry) => entry.name))('for %s', async (name) => {
    const projectFolder = join(folder, name)
    const train = name === 'p8-train' ? 'train.py:train' : undefined
    const { openapi } = await describeModel({ projectFolder, run: 'run.py:Runner', train })
    expect(withoutAdditions(openapi)).toEqual(JSON.parse(readFileSync(join(projectFolder, 'openapi.json'), 'utf8')))
  })

  it('with every reference pointing at something, and no operation of the same name twice', async () => {
    const { openapi } = await describeModel({
      projectFolder: join(folder, 'p8-train'),
      run: 'run.py:Runner',
      train: 'train.py:train',
    })
    const text = JSON.stringify(openapi)
    const targets = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1] ?? '')
    expect(targets.filter((target) => !(target in openapi.components.schemas))).toEqual([])
    const operations = [...text.matchAll(/"operationId":"([^"]+)"/g)].map((match) => match[1])
    expect(new Set(operations).size).toBe(operations.length)
  })
})
