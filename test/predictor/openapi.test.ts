import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { describeModel } from '../../src/predictor/describe.ts'

const folder = join(packageRoot(), 'fixtures/openapi')
const projects = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())

/** Everything that our document has beyond Cog's; nothing of Cog's may change. */
const ADDED_PATHS = [
  '/predictions/{prediction_id}',
  '/predictions/{prediction_id}/stream',
  '/trainings/{training_id}',
  '/trainings/{training_id}/stream',
  '/openapi.json',
  '/livez',
  '/readyz',
  '/shutdown',
]
const ADDED_REQUEST_FIELDS = ['context', 'webhook', 'webhook_events_filter']
const ADDED_ANSWERS = ['202', '400', '404', '406', '409', '413', '415', '429', '503']

interface Document {
  readonly paths: Record<string, { get?: unknown; post?: { parameters?: unknown; responses: Record<string, unknown> } }>
  readonly components: { readonly schemas: Record<string, { properties?: Record<string, unknown> }> }
}

/** Our document without what it adds. */
function withoutAdditions(openapi: unknown): Document {
  const document = structuredClone(openapi) as Document
  for (const path of ADDED_PATHS) delete document.paths[path]
  for (const [path, { post }] of Object.entries(document.paths)) {
    if (post === undefined) continue
    if (!path.endsWith('/cancel')) {
      delete document.paths[path]?.get
      delete post.parameters
      delete (post as { requestBody?: { required?: unknown } }).requestBody?.required
    }
    for (const status of ADDED_ANSWERS) delete post.responses[status]
  }
  for (const name of ['ErrorResponse', 'PredictionPutRequest', 'TrainingPutRequest'])
    delete document.components.schemas[name]
  for (const name of ['PredictionRequest', 'TrainingRequest']) {
    const request = document.components.schemas[name]
    for (const field of ADDED_REQUEST_FIELDS) delete request?.properties?.[field]
    if (request?.properties === undefined) continue
    // Cog's id is not nullable, though its server takes null; and its `input` is never required.
    request.properties['id'] = { title: 'Id', type: 'string' }
    delete (request as { required?: unknown }).required
  }
  return document
}

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
