import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../../registry/server/serve.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { recordIo } from '../../support/output.ts'
import { pushImage } from '../../registry/server/push.ts'

let served: ServedRegistry
beforeEach(async () => {
  served = await serveRegistry({ port: 0, host: '127.0.0.1', storage: { kind: 'memory' } })
  await pushImage(served.url, 'team/app', 'v1')
  await pushImage(served.url, 'team/app', 'v2')
})
afterEach(() => served.close())

const name = (): string => `${new URL(served.url).host}/team/app`

async function run(...args: readonly string[]): Promise<{ readonly status: number; readonly text: string }> {
  const io = recordIo({ cwd: '/' })
  const status = await runCommandLine(args, io)
  return { status, text: `${io.stdout.text()}${io.stderr.text()}` }
}

test('delete takes a tag away and leaves the image to its other tags', async () => {
  expect(await run('delete', `${name()}:v1`)).toMatchObject({ status: 0 })
  expect((await run('tags', name())).text).toBe('v2\n')
})

test('delete takes an image away with every tag that it has', async () => {
  expect(await run('copy', '--quiet', `${name()}:v1`, `${name()}:same`)).toMatchObject({ status: 0 })
  const response = await fetch(new URL('/v2/team/app/manifests/v1', served.url), { method: 'HEAD' })
  const digest = response.headers.get('docker-content-digest')
  const { status, text } = await run('delete', `${name()}@${digest}`)
  expect({ status, text }).toEqual({ status: 0, text: `deleted ${name()}@${digest}\n` })
  expect((await run('tags', name())).text).toBe('v2\n')
})

test('delete of what is not there, or of a whole repository, is an error and deletes nothing', async () => {
  expect(await run('delete', `${name()}:v3`)).toMatchObject({ status: 3 })
  const { status, text } = await run('delete', `${name()}:v1`, name())
  expect(status).toBe(2)
  expect(text).toContain('Add `:TAG` or `@DIGEST`')
  expect((await run('tags', name())).text).toBe('v1\nv2\n')
})
