import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../registry/server/serve.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { mustRun } from '../support/command.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { recordIo } from '../support/output.ts'
import { findTool, needTool } from '../support/tool.ts'

let folder: string
let registry: ServedRegistry
const requests: RequestEvent[] = []
/** Variables besides the usual ones. */
let more: Readonly<Record<string, string>> = {}

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
  const env = { LAYERWRIGHT_CACHE: join(folder, machine), PATH: process.env['PATH'], ...more }
  const io = recordIo({ cwd: folder, env })
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

it('a fresh runner with the lock file sends a changed line to another registry, and asks nobody else', async (context) => {
  const skopeo = await findTool('skopeo')
  needTool(skopeo, 'skopeo', context)
  needTool(await findTool('docker-registry'), 'docker-registry', context)
  const other = await startDockerRegistry({ isCounting: true })
  try {
    await cp(join(packageRoot(), 'examples/hello'), join(folder, 'line'), { recursive: true })
    await run('warm', 'lock', 'line')
    const push = ['--push', '-t', `${other.host}/line:v1`]
    await run('warm', 'build', 'line', ...push)
    // Whatever is asked but the registry fails: nobody listens on that port.
    more = { http_proxy: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9', no_proxy: 'localhost' }
    for (const [machine, flags] of [
      ['runner', []],
      ['none', ['--no-store']],
    ] as const) {
      await appendFile(join(folder, 'line', 'run.py'), `# ${machine}\n`)
      const before = await other.requests()
      const { digest, progress } = await run(machine, 'build', 'line', '--locked', ...push, ...flags)
      expect(downloads(progress)).toEqual([])
      // Tag and manifest are read; POST and PUT of the project's layer and of the configuration; the new manifest.
      expect((await other.requests()) - before).toBeLessThanOrEqual(7)
      const { stdout } = await mustRun(skopeo, ['inspect', '--tls-verify=false', `docker://${other.host}/line:v1`])
      expect(JSON.parse(stdout)).toMatchObject({ Digest: digest })
    }
    more = {}
    // What was known is what is made.
    const { digest } = await run('verifying', 'build', 'line', '--locked', '--verify', '-o', 'oci:verified')
    expect(digest).toBe((await run('warm', 'build', 'line', '--locked', '-o', 'oci:warm')).digest)
  } finally {
    more = {}
    await other.close()
  }
})
