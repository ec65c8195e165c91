import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestHex } from 'oci-spec-types'
import { Registries } from '../../registry/registries.ts'
import { digestOf } from '../../src/core/digest.ts'
import { copyContent, copyImage, openDestination, openSource, readContent } from '../../src/destinations/index.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts'
import { CASES, type Case } from '../support/registry-faults.ts'
import { startProxy, type CountingProxy } from '../support/registry-proxy.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * What `bench/registry.ts` counts for this program and its peers, as tests: a survey's 30 faults and 36 more, made by a proxy in
 * front of a real registry. The best of crane, skopeo, regctl and oras survives 27 of the 30.
 */

const image = sampleImage({ layers: ['a', 'b', 'c', 'd', 'e'].map((name) => sampleLayer(name, 1 << 20)) })
let folder: string
let docker: DockerRegistry | undefined
let proxy: CountingProxy | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registry-faults-'))
  if ((await findTool('docker-registry')) === undefined) return
  docker = await startDockerRegistry()
  proxy = await startProxy(Number(docker.host.split(':')[1]))
})
afterAll(async () => {
  proxy?.close()
  await docker?.close()
  await rm(folder, { recursive: true, force: true })
})

const registries = (): Registries => new Registries({ env: {}, home: join(folder, 'nobody') })

async function carry(from: string, to: string): Promise<void> {
  const context = { registries: registries() }
  await copyContent(await readContent(await openSource(from, context)), await openDestination(to, context))
}

const blobs = [image.manifest.config, ...image.manifest.layers]

async function isWholeLayout(place: string): Promise<boolean> {
  for (const { digest } of blobs) {
    const bytes = await readFile(join(place, 'blobs', 'sha256', digestHex(digest))).catch(() => undefined)
    if (bytes === undefined || digestOf(bytes) !== digest) return false
  }
  return true
}

/** Asks the registry itself, past the proxy. */
async function isWholeImage(host: string, repository: string): Promise<boolean> {
  const client = registries().client({ registry: host, repository }, { actions: 'pull' })
  if ((await client.headManifest('v1'))?.digest !== image.descriptor.digest) return false
  const found = await Promise.all(blobs.map(({ digest }) => client.headBlob(digest)))
  return found.every((answer) => answer !== undefined)
}

describe.each(Object.entries(CASES))('%s', (set, cases) => {
  test.for(cases.map((broken, index) => ({ ...broken, index })))('$operation: $what', async (broken, context) => {
    needTool(docker?.host, 'docker-registry', context)
    await survive(broken, `${set}/f${broken.index}`)
  })
})

async function survive({ operation, succeeds, faults, tokens }: Case, repository: string): Promise<void> {
  if (docker === undefined || proxy === undefined) return
  proxy.reset()
  const from = `${proxy.host}/${repository}:v1`
  const to = operation === 'copy' ? `${repository}-copy` : repository
  const push = async (): Promise<unknown> => copyImage(image, await openDestination(from, { registries: registries() }))
  if (operation !== 'push') await push()
  proxy.reset(faults, tokens)
  const place = join(folder, repository)
  const run = { push, pull: () => carry(from, `oci:${place}:v1`), copy: () => carry(from, `${proxy?.host}/${to}:v1`) }
  const outcome = await run[operation]().then(
    () => 'done',
    (error: unknown) => error,
  )
  expect(proxy.complaints()).toEqual([])
  if (succeeds) expect(outcome).toBe('done')
  else expect(outcome).toMatchObject({ code: /^(DIGEST_MISMATCH|SIZE_MISMATCH|NETWORK_FAILED|NETWORK_REFUSED)$/ })
  const isWhole = operation === 'pull' ? await isWholeLayout(place) : await isWholeImage(docker.host, to)
  expect(isWhole).toBe(succeeds)
}
