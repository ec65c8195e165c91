import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../registry/server/serve.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { recordIo } from '../support/output.ts'

let folder: string
let registry: ServedRegistry
const requests: RequestEvent[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-shared-'))
  registry = await serveRegistry({ storage: { kind: 'memory' }, onRequest: (event) => requests.push(event) })
  await cp(join(packageRoot(), 'examples/hello'), join(folder, 'hello'), { recursive: true })
})
afterAll(async () => {
  await registry.close(0)
  await rm(folder, { recursive: true })
})

/** Runs the command line on a machine with a store of its own; what it says in progress lines comes back. */
const run = async (machine: string, ...args: string[]): Promise<{ digest: string; progress: string[] }> => {
  const io = recordIo({ cwd: folder, env: { LAYERWRIGHT_CACHE: join(folder, machine), PATH: process.env['PATH'] } })
  const status = await runCommandLine([...args, '--progress', 'json'], io)
  expect([status, status === 0 ? '' : io.stderr.text()]).toEqual([0, ''])
  return { digest: io.stdout.text().trim(), progress: io.stderr.text().split('\n') }
}
const downloads = (progress: readonly string[]): string[] => progress.filter((line) => line.includes('"download '))

it('a cold machine builds from a warm cache without a download, and sends no layer', async () => {
  await run('warm', 'lock', 'hello')
  const cache = `${registry.authority}/cache`
  const first = await run(
    'warm',
    'build',
    'hello',
    '--locked',
    '--push',
    '-t',
    `${registry.authority}/first`,
    '--cache-to',
    cache,
  )
  expect(downloads(first.progress)).not.toEqual([])

  requests.length = 0
  const second = await run(
    'cold',
    'build',
    'hello',
    '--locked',
    '--push',
    '-t',
    `${registry.authority}/second`,
    '--cache-from',
    cache,
  )
  expect(second.digest).toBe(first.digest)
  expect(downloads(second.progress)).toEqual([])
  const layers = requests.filter(
    ({ method, url, status }) => method === 'POST' && url.includes('/second/blobs/') && status === 201,
  )
  expect(layers.length).toBeGreaterThan(3)
  // The configuration is the only blob that is no layer of the cache.
  const sent = requests.filter(({ method, url }) => method === 'PUT' && url.includes('/blobs/uploads/'))
  expect(sent).toHaveLength(1)
})

it('a build that verifies its cache makes everything anew and comes to the same image', async () => {
  const cache = `${registry.authority}/cache`
  const target = ['--push', '-t', `${registry.authority}/third`, '--cache-from', cache, '--cache-verify']
  const { progress } = await run('verifying', 'build', 'hello', '--locked', ...target)
  expect(downloads(progress)).not.toEqual([])
})
