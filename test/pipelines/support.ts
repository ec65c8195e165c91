import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { DiagnosticError } from '../../src/core/diagnostic.ts'
import type { ProjectDescription } from '../../src/pipelines/describe-project.ts'
import { readDescription } from '../../src/pipelines/read-description.ts'

const IMPORTS = `from typing import *
from dataclasses import dataclass
from cog import BaseModel, BasePredictor, ConcatenateIterator, File, Input, Path, Secret, streaming
`

/** Signatures, as in `image: Path, top: int = 3 -> str`, by the name of the model; each in a file of its own. */
export type Models = Readonly<Record<string, string>>

/** A project of some models, `setup` being Python above each, with the rest of its cog.yaml. */
export function projectFiles(models: Models, rest: string, setup = ''): Readonly<Record<string, string>> {
  const entries = Object.keys(models).map((name) => `  ${name}: {run: "${name}.py:predict"}\n`)
  const files = Object.entries(models).map(([name, signature]) => {
    const cut = signature.lastIndexOf('->')
    const decorator = signature.startsWith('@') ? `${signature.slice(0, signature.indexOf(' '))}\n` : ''
    const inputs = signature.slice(decorator === '' ? 0 : decorator.length, cut).trim()
    const text = `${IMPORTS}${setup}\n${decorator}def predict(${inputs}) ${signature.slice(cut)}:\n    ...\n`
    return [`${name}.py`, text] as const
  })
  return { 'cog.yaml': `models:\n${entries.join('')}${rest}`, ...Object.fromEntries(files) }
}

/** Describes a project that is written to a temporary folder. */
export async function describeFiles(files: Readonly<Record<string, string>>): Promise<ProjectDescription> {
  const folder = await mkdtemp(join(tmpdir(), 'pipelines-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), text)
    }
    return await readDescription(await loadConfig(folder))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** `code path message` of every problem of the pipelines of a project, with the suggestion after an arrow. */
export async function pipelineProblems(models: Models, rest: string, setup = ''): Promise<readonly string[]> {
  try {
    await describeFiles(projectFiles(models, rest, setup))
    return []
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error
    return error.issues.map(
      ({ code, path = '', message, suggestion }) =>
        `${code} ${path}: ${message}${suggestion === undefined ? '' : ` -> ${suggestion}`}`,
    )
  }
}
