import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { chooseEnvironment, CompatError, findImages, formatImage } from '../../src/compat/index.ts'
import type { Config } from '../../src/config/config.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { DiagnosticError, type Diagnostic } from '../../src/core/diagnostic.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { readDescription } from '../../src/pipelines/read-description.ts'
import type { MembersDocument } from '../../src/pipelines/describe-project.ts'
import type { OpenApiDocument } from '../../src/predictor/openapi.ts'
import { asks } from '../compat/support.ts'

const folder = join(packageRoot(), 'fixtures/projects')
const names = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

/** What a project comes to before any network. */
async function outcome(name: string): Promise<unknown> {
  const projectFolder = join(folder, name)
  try {
    const loaded = await loadConfig(projectFolder)
    const { config, warnings } = loaded
    const { openapi, members, warnings: notes } = await readDescription(loaded)
    const { Input, Output, TrainingInput, TrainingOutput } = openapi.components.schemas
    return {
      config: settings(config),
      environment: environmentOf(config, projectFolder),
      schemas: { Input, Output, TrainingInput, TrainingOutput },
      ...(members === undefined ? {} : { members: withoutDocuments(members) }),
      warnings: [...warnings, ...notes].map(line),
    }
  } catch (error) {
    if (error instanceof DiagnosticError) return { code: error.code, issues: error.issues.map(line) }
    if (error instanceof CompatError) return { code: error.code, conflicts: error.conflicts }
    throw error
  }
}

/** What the launcher is told, each document as what it takes and gives. */
function withoutDocuments(members: MembersDocument): unknown {
  return JSON.parse(JSON.stringify(members), (key, value: unknown) => {
    // A document has a version of this name, too.
    if (key !== 'openapi' || typeof value !== 'object') return value
    const { Input, Output } = (value as OpenApiDocument).components.schemas
    return { Input, Output }
  })
}

/** What the configuration says beyond the defaults. */
function settings(config: Config): unknown {
  const defaults = parseConfig('').config
  const differing = <T extends object>(value: T, usual: Partial<T>): Partial<T> =>
    Object.fromEntries(
      Object.entries(value).filter(([key, member]) => JSON.stringify(member) !== JSON.stringify(usual[key as keyof T])),
    ) as Partial<T>
  return { ...differing(config, defaults), build: differing(config.build, defaults.build) }
}

function environmentOf({ build }: Config, projectFolder: string): unknown {
  const file = join(projectFolder, 'requirements.txt')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : build.pythonPackages
  const choice = chooseEnvironment({
    gpu: build.gpu,
    cuda: build.cuda,
    cudnn: build.cudnn,
    python: build.pythonVersion,
    minDriver: build.targets.minDriver,
    architectures: build.targets.architectures,
    needsImage: build.base === 'auto' || build.base === 'cuda',
    frameworks: lines.filter((text) => text !== '').map((text) => asks(text)),
  })
  const images = choice.cuda === undefined ? undefined : findImages(choice.cuda)
  // Addresses live in one data file; here their last part says enough.
  const indexes = choice.indexes.map(({ packages, url }) => `${packages.join(' ')} from ${url.split('/').at(-2)}`)
  return {
    ...choice,
    indexes,
    ...(images === undefined ? {} : { smallestImage: formatImage(images, 'base', choice.ubuntu) }),
  }
}

/** A diagnostic on one line, without the folder of the machine. */
function line({ severity, code, file, line, column, message, hint, suggestion }: Diagnostic): string {
  const place = `${file
    .split('/')
    .slice(file.startsWith('fixtures/') ? 3 : 0)
    .join('/')}:${line}:${column}`
  const more = [suggestion === undefined ? '' : `did you mean ${suggestion}?`, hint ?? ''].filter((text) => text !== '')
  return [`${place}: ${severity}[${code}]: ${message}`, ...more].join(' | ')
}

describe('fixture projects', () => {
  it('are at least 20', () => {
    expect(names.length).toBeGreaterThanOrEqual(20)
  })

  it.each(names)('%s comes to what is expected', async (name) => {
    const file = join(folder, name, 'expected.json')
    const text = `${JSON.stringify(await outcome(name), undefined, 2)}\n`
    if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, text)
    expect(text).toBe(readFileSync(file, 'utf8'))
  })
})
