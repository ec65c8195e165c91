import { describeModel, type ModelDescription } from '../../src/predictor/describe.ts'
import { PredictorError } from '../../src/predictor/problems.ts'

/** Files of a project by path; a single text is `predict.py`. */
export type Files = string | Readonly<Record<string, string>>

/** Describes `predict.py:Predictor`, or what `run` names, of a project in memory. */
export function model(
  files: Files,
  options: { readonly run?: string; readonly train?: string } = {},
): Promise<ModelDescription> {
  const all = typeof files === 'string' ? { 'predict.py': files } : files
  const run = options.run ?? (options.train === undefined ? 'predict.py:Predictor' : undefined)
  return describeModel({ projectFolder: '/nowhere', run, train: options.train, readFile: (path) => all[path] })
}

/** `code file:line:column` of every problem, or of every warning when there is no error. */
export async function problems(
  files: Files,
  options: { readonly run?: string; readonly train?: string } = {},
): Promise<readonly string[]> {
  const issues = await model(files, options).then(
    (description) => description.warnings,
    (error: unknown) => {
      if (error instanceof PredictorError) return error.issues
      throw error
    },
  )
  return issues.map(({ code, file, line, column }) => `${code} ${file}:${line}:${column}`)
}

const IMPORTS = `
from typing import *
import typing, typing as t, typing_extensions as te, pathlib, collections.abc
from dataclasses import dataclass, field
from enum import Enum
from cog import *
import cog
`

/** The schema of one input written as \`name: annotation = default\`, with names of typing and cog imported. */
export async function inputSchema(parameter: string, before = ''): Promise<Record<string, unknown>> {
  const source = `${IMPORTS}\n${before}\nclass Predictor:\n    def predict(self, ${parameter}) -> str: ...\n`
  const { openapi } = await model(source)
  const schemas = openapi.components.schemas
  const properties = schemas['Input']?.['properties'] as Record<string, Record<string, unknown>>
  const [name = '', schema = {}] = Object.entries(properties)[0] ?? []
  const required = ((schemas['Input']?.['required'] ?? []) as string[]).includes(name)
  const { title: _title, 'x-order': _order, ...rest } = schema
  return {
    ...rest,
    ...(required ? { required } : {}),
    ...(schemas[name] === undefined ? {} : { choices: schemas[name] }),
  }
}

/** The schema of an output annotation, without its title. */
export async function outputSchema(annotation: string, before = ''): Promise<Record<string, unknown>> {
  const source = `${IMPORTS}\n${before}\nclass Predictor:\n    def predict(self) -> ${annotation}: ...\n`
  const { openapi } = await model(source)
  const { title: _title, ...rest } = openapi.components.schemas['Output'] ?? {}
  return rest
}

/** Codes of the problems of one input. */
export async function inputProblems(parameter: string, before = ''): Promise<readonly string[]> {
  const source = `${IMPORTS}\n${before}\nclass Predictor:\n    def predict(self, ${parameter}) -> str: ...\n`
  return (await problems(source)).map((text) => text.split(' ')[0] ?? '')
}

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

export interface Document {
  readonly paths: Record<string, { get?: unknown; post?: { parameters?: unknown; responses: Record<string, unknown> } }>
  readonly components: { readonly schemas: Record<string, { properties?: Record<string, unknown> }> }
}

/** Our document without what it adds to Cog's. */
export function withoutAdditions(openapi: unknown): Document {
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
