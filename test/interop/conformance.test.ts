import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { serveRegistry, type ServeOptions } from '../../registry/server/serve.ts'
import { goTool, needTool } from '../support/tool.ts'

/** The OCI distribution conformance suite of the specification's main branch. */
const SUITE = 'github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-conformance-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('the embedded registry passes the OCI distribution conformance suite', () => {
  const memory = async (): Promise<ServeOptions> => ({ storage: { kind: 'memory' } })
  const directory = async (): Promise<ServeOptions> => ({ storage: { kind: 'directory', path: join(folder, 'store') } })
  const guarded = async (): Promise<ServeOptions> => {
    const htpasswd = join(folder, 'htpasswd')
    await writeFile(htpasswd, `tester:${await hash('s3cret', 4)}\n`)
    return { ...(await directory()), htpasswd }
  }
  const chunked = async (): Promise<ServeOptions> => ({ ...(await directory()), minChunkBytes: 4096 })
  const sparse = async (): Promise<ServeOptions> => ({ ...(await directory()), allowMissing: true })
  const login = { OCI_USERNAME: 'tester', OCI_PASSWORD: 's3cret' }

  it.for([
    // Sparse images and cancelled uploads are opt-in in version 1.1; that is what its two disabled cases are.
    { name: '1.1 in memory', options: memory, env: { OCI_VERSION: '1.1' }, disabled: 2, atLeast: 860 },
    { name: '1.1 in a folder', options: directory, env: { OCI_VERSION: '1.1' }, disabled: 2, atLeast: 860 },
    { name: '1.1 with passwords', options: guarded, env: { OCI_VERSION: '1.1', ...login }, disabled: 2, atLeast: 860 },
    {
      name: '1.1 with a smallest chunk, sparse images and cancelled uploads',
      options: async () => ({ ...(await chunked()), ...(await sparse()) }),
      env: { OCI_VERSION: '1.1', OCI_DATA_SPARSE: 'true', OCI_API_BLOBS_UPLOAD_CANCEL: 'true' },
      disabled: 0,
      atLeast: 870,
    },
    {
      name: 'the next version, everything on',
      options: sparse,
      env: { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' },
      disabled: 0,
      atLeast: 980,
    },
    {
      name: 'the next version with passwords',
      options: guarded,
      env: { OCI_VERSION: 'dev', ...login },
      disabled: 0,
      atLeast: 970,
    },
  ])('$name', async ({ options, env, disabled, atLeast }, context) => {
    const suite = await goTool(SUITE)
    needTool(suite, 'the conformance suite (Go)', context)
    const errors: unknown[] = []
    const registry = await serveRegistry({ ...(await options()), onError: (error) => errors.push(error) })
    try {
      const counts = await runSuite(suite, {
        OCI_REGISTRY: registry.authority,
        OCI_TLS: 'disabled',
        OCI_REPO1: 'conformance/repo1',
        OCI_REPO2: 'conformance/repo2',
        ...env,
      })
      expect(counts).toMatchObject({ failed: [], failures: 0, errors: 0, skipped: 0, disabled })
      expect(counts.passed).toBeGreaterThanOrEqual(atLeast)
      expect(errors).toEqual([])
    } finally {
      await registry.close()
    }
  })
})

interface Counts {
  readonly passed: number
  /** The names of the cases that failed. */
  readonly failed: readonly string[]
  readonly failures: number
  readonly errors: number
  readonly skipped: number
  readonly disabled: number
}

async function runSuite(path: string, env: Readonly<Record<string, string>>): Promise<Counts> {
  const results = join(folder, 'results')
  await new Promise<void>((resolve, reject) => {
    const child = spawn(path, {
      cwd: folder,
      env: { PATH: process.env['PATH'], OCI_RESULTS_DIR: results, ...env },
      stdio: 'ignore',
    })
    // The exit status says whether something failed; the report says what.
    child.on('error', reject).on('exit', () => resolve())
  })
  const report = await readFile(join(results, 'junit.xml'), 'utf8')
  const root = /<testsuites[^>]*>/.exec(report)?.[0] ?? ''
  // Counts of zero are left out of the report.
  const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(root)?.[1] ?? 0)
  const failed = [...report.matchAll(/<testcase name="([^"]*)"[^>]*>\s*<(?:failure|error)/g)].map(
    ([, name = '']) => name,
  )
  const failures = count('failures')
  const errors = count('errors')
  const skipped = count('skipped')
  const disabled = count('disabled')
  return {
    passed: count('tests') - failures - errors - skipped - disabled,
    failed,
    failures,
    errors,
    skipped,
    disabled,
  }
}
