import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { describeModel } from '../../src/predictor/describe.ts'

const folder = join(packageRoot(), 'fixtures/openapi')
const projects = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())

describe('describeModel() makes the document that Cog makes', () => {
  it.each(projects.map((entry) => entry.name))('for %s', async (name) => {
    const projectFolder = join(folder, name)
    const train = name === 'p8-train' ? 'train.py:train' : undefined
    const { openapi } = await describeModel({ projectFolder, run: 'run.py:Runner', train })
    expect(openapi).toEqual(JSON.parse(readFileSync(join(projectFolder, 'openapi.json'), 'utf8')))
  })
})
