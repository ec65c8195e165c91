import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { copyImage, openDestination } from '../../src/destinations/index.ts'
import { mustRun } from '../support/command.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts'
import { recordIo } from '../support/output.ts'
import { sampleImage, sampleIndex } from '../support/sample-image.ts'
import { findTool, goTool, needTool } from '../support/tool.ts'

/** Every kind of image that a tag can name, by the tag that it is pushed under. */
const images = {
  oci: sampleImage(),
  docker: sampleImage({ format: 'docker' }),
  index: sampleIndex(),
  list: sampleIndex('docker'),
}
type Kind = keyof typeof images
const KINDS = Object.keys(images) as readonly Kind[]

let folder: string
let embedded: ServedRegistry
const programs: Record<string, string | undefined> = {}
const closing: DockerRegistry[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interop-versions-'))
  embedded = await serveRegistry({ storage: { kind: 'directory', path: join(folder, 'embedded') } })
  programs['docker-registry'] = await findTool('docker-registry')
  programs['distribution 3'] = await goTool('github.com/distribution/distribution/v3/cmd/registry@v3.0.0')
  programs['skopeo'] = await findTool('skopeo')
})
afterAll(async () => {
  for (const registry of closing) await registry.close()
  await embedded.close()
  await rm(folder, { recursive: true, force: true })
})

test.for(['docker-registry', 'distribution 3', 'embedded'])(
  'versions are promoted and rolled back in %s, whatever their kind, and skopeo sees it',
  async (kind, context) => {
    const { skopeo } = programs
    needTool(skopeo, 'skopeo', context)
    const host = await start(kind, context)
    const name = `${host}/team/app`
    const registries = new Registries({ env: {}, home: folder })
    for (const tag of KINDS) await copyImage(images[tag], await openDestination(`${name}:${tag}`, { registries }))
    const seen = async (): Promise<unknown> =>
      JSON.parse((await mustRun(skopeo, ['inspect', '--raw', '--tls-verify=false', `docker://${name}:stable`])).stdout)
    for (const tag of KINDS) {
      await run('promote', `${name}:${tag}`, 'stable')
      expect(await seen()).toEqual(documentOf(tag))
    }
    for (const tag of KINDS.slice(0, -1).toReversed()) {
      await run('rollback', `${name}:stable`)
      expect(await seen()).toEqual(documentOf(tag))
    }
    await run('promote', `${name}@${images.list.descriptor.digest}`, 'stable')
    await run('rollback', `${name}:stable`, '--to', '1')
    expect(await seen()).toEqual(documentOf('oci'))
    const versions = JSON.parse(await run('versions', name, '--json')) as { digest: string; tags: string[] }[]
    expect(versions.find(({ tags }) => tags.includes('stable'))?.digest).toBe(images.oci.descriptor.digest)
    expect(versions).toHaveLength(KINDS.length)
  },
)

test.for(['docker-registry', 'distribution 3', 'embedded'])(
  'old releases are removed from %s, or it is said that it removes no tags',
  async (kind, context) => {
    const host = await start(kind, context)
    const name = `${host}/team/pruned`
    const registries = new Registries({ env: {}, home: folder })
    for (const tag of KINDS) {
      await copyImage(images[tag], await openDestination(`${name}:${tag}`, { registries }))
      await run('promote', `${name}:${tag}`, 'stable')
    }
    const tags = async (): Promise<readonly string[]> => JSON.parse(await run('tags', name, '--json')) as string[]
    const before = await tags()
    const shown = JSON.parse(await run('versions', 'prune', name, '--keep', '2', '--dry-run', '--json')) as unknown[]
    expect(shown).toMatchObject([
      { number: 1, digest: images.oci.descriptor.digest, alsoNamed: ['oci'] },
      { number: 2, digest: images.docker.descriptor.digest, alsoNamed: ['docker'] },
    ])
    // Debian's, of version 2, takes images away by their digest alone.
    if (kind === 'docker-registry') {
      await expect(run('versions', 'prune', name, '--keep', '2')).rejects.toThrow(
        /^versions prune .*: 2\nerror\[NOT_SUPPORTED\]: The registry removes no tags: /,
      )
      expect(await tags()).toEqual(before)
      return
    }
    expect(JSON.parse(await run('versions', 'prune', name, '--keep', '2', '--json'))).toEqual(shown)
    const records = shown.map((release) => (release as { record: string }).record)
    expect(await tags()).toEqual(before.filter((tag) => !records.includes(tag)))
    await run('rollback', `${name}:stable`)
    const versions = JSON.parse(await run('versions', name, '--json')) as { digest: string; tags: string[] }[]
    expect(versions.find((version) => version.tags.includes('stable'))?.digest).toBe(images.index.descriptor.digest)
  },
)

async function start(kind: string, context: { skip: (note: string) => void }): Promise<string> {
  if (kind === 'embedded') return embedded.authority
  const program = programs[kind]
  needTool(program, kind, context)
  const registry = await startDockerRegistry({ program, scratch: folder })
  closing.push(registry)
  return registry.host
}

async function run(...args: readonly string[]): Promise<string> {
  const io = recordIo({ cwd: folder })
  const status = await runCommandLine(args, io)
  if (status !== 0) throw new Error(`${args.join(' ')}: ${status}\n${io.stderr.text()}`)
  return io.stdout.text()
}

function documentOf(kind: Kind): unknown {
  const image = images[kind]
  return JSON.parse(String('index' in image ? image.bytes : image.manifestBytes))
}
