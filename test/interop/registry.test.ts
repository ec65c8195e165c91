import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadHosts } from '../../registry/host-files.ts'
import { Registries, type RegistriesOptions } from '../../registry/registries.ts'
import { collect } from '../../src/core/bytes.ts'
import { verify } from '../../src/core/digest.ts'
import {
  convertContent,
  copyContent,
  copyImage,
  openDestination,
  openImage,
  openSource,
  readContent,
} from '../../src/destinations/index.ts'
import { startDockerRegistry, type DockerRegistry, type DockerRegistryOptions } from '../support/docker-registry.ts'
import { sampleImage, sampleIndex, sampleLayer } from '../support/sample-image.ts'
import { startTokenServer } from '../support/token-server.ts'
import { findTool, goTool, needTool } from '../support/tool.ts'

const run = promisify(execFile)
const tls = (name: string): string => fileURLToPath(new URL(`../../fixtures/tls/${name}`, import.meta.url))
const image = sampleImage({ layers: [sampleLayer('one', 300), sampleLayer('two', 3_000_000)] })
const [username, password] = ['me', 'pa:ss word']

let folder: string
let tools: Record<'docker-registry' | 'skopeo' | 'crane' | 'htpasswd', string | undefined>
const closing: DockerRegistry[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interop-registry-'))
  tools = {
    'docker-registry': await findTool('docker-registry'),
    skopeo: await findTool('skopeo'),
    htpasswd: await findTool('htpasswd'),
    crane: await goTool('github.com/google/go-containerregistry/cmd/crane@v0.22.1'),
  }
})
afterAll(async () => {
  for (const registry of closing) await registry.close()
  await rm(folder, { recursive: true, force: true })
})

async function start(options?: DockerRegistryOptions): Promise<DockerRegistry> {
  const registry = await startDockerRegistry(options)
  closing.push(registry)
  return registry
}

/** Registries of a user whose home is a folder of its own. */
function registriesOf(options: RegistriesOptions = {}): Registries {
  return new Registries({ env: { PATH: process.env['PATH'] }, home: join(folder, 'nobody'), ...options })
}

async function roundTrip(host: string, registries: Registries): Promise<void> {
  const location = `${host}/team/app:v1`
  const pushed = await copyImage(image, await openDestination(location, { registries }))
  expect(pushed).toMatchObject({ outcome: 'copied', blobs: { uploaded: 3 } })
  expect((await copyImage(image, await openDestination(location, { registries }))).outcome).toBe('exists')
  const source = await openSource(location, { registries })
  const other = await openDestination(`${host}/other/app:v1`, { registries })
  expect((await copyContent(await readContent(source), other)).blobs.mounted).toBe(3)
  const found = await openImage(`${host}/other/app@${image.descriptor.digest}`, { registries })
  for (const layer of found.layers) await collect(verify(layer.open(), layer.descriptor, 'the layer'), 1 << 23)
  const tags: string[] = []
  for await (const tag of registries.client({ registry: host, repository: 'team/app' }, { actions: 'pull' }).tags())
    tags.push(tag)
  expect(tags).toEqual(['v1'])
}

describe("Debian's docker-registry", () => {
  test('plain, and other tools accept what lies there', async (context) => {
    needTool(tools['docker-registry'], 'docker-registry', context)
    const { host } = await start()
    const registries = registriesOf()
    await roundTrip(host, registries)
    const index = sampleIndex()
    await copyImage(index, await openDestination(`${host}/multi:v1`, { registries }))
    needTool(tools.crane, 'crane', context)
    await run(tools.crane, ['validate', '--remote', `${host}/team/app:v1`])
    await run(tools.crane, ['validate', '--remote', `${host}/multi:v1`])
    needTool(tools.skopeo, 'skopeo', context)
    const { stdout } = await run(tools.skopeo, ['inspect', '--tls-verify=false', `docker://${host}/team/app:v1`])
    expect((JSON.parse(stdout) as { Digest: string }).Digest).toBe(image.descriptor.digest)
    const client = registries.client({ registry: host, repository: 'team/app' }, { actions: 'delete' })
    await client.deleteManifest(image.descriptor.digest)
    expect(await client.headManifest(image.descriptor.digest)).toBeUndefined()
  })

  test('what skopeo and crane push is read, as OCI and as Docker schema 2', async (context) => {
    needTool(tools['docker-registry'], 'docker-registry', context)
    needTool(tools.skopeo, 'skopeo', context)
    needTool(tools.crane, 'crane', context)
    const { host } = await start()
    const registries = registriesOf()
    const layout = `oci:${join(folder, 'layout')}:v1`
    await copyImage(image, await openDestination(layout))
    await run(tools.skopeo, ['copy', '--format', 'v2s2', '--dest-tls-verify=false', layout, `docker://${host}/v2s2:v1`])
    const docker = await openImage(`${host}/v2s2:v1`, { registries })
    expect(docker.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
    expect(docker.config).toEqual(image.config)
    await run(tools.crane, ['cp', `${host}/v2s2:v1`, `${host}/crane:v1`])
    expect((await openImage(`${host}/crane:v1`, { registries })).descriptor).toEqual(docker.descriptor)
    const back = convertContent(await readContent(await openSource(`${host}/v2s2:v1`, { registries })), 'oci')
    await copyContent(back, await openDestination(`${host}/back:v1`, { registries }))
    await run(tools.crane, ['validate', '--remote', `${host}/back:v1`])
  })

  test('archives and layouts are read by skopeo, and skopeo’s by us', async (context) => {
    needTool(tools.skopeo, 'skopeo', context)
    const at = (name: string): string => join(folder, name)
    const [mine, theirs] = [
      `docker-archive:${at('mine.tar')}:sample:v1`,
      `docker-archive:${at('theirs.tar')}:sample:v1`,
    ]
    await copyImage(image, await openDestination(mine))
    await copyImage(image, await openDestination(`oci-archive:${at('oci.tar')}:v1`))
    await run(tools.skopeo, ['copy', `oci-archive:${at('oci.tar')}:v1`, theirs])
    await run(tools.skopeo, ['copy', mine, `oci:${at('from-mine')}:v1`])
    const found = await openImage(theirs)
    expect(found.layers.map(({ diffId }) => diffId)).toEqual(image.layers.map(({ diffId }) => diffId))
    expect((await openImage(`oci:${at('from-mine')}:v1`)).config.rootfs).toEqual(image.config.rootfs)
    needTool(tools.crane, 'crane', context)
    await run(tools.crane, ['validate', '--tarball', at('mine.tar')])
  })

  test('with htpasswd', async (context) => {
    needTool(tools['docker-registry'], 'docker-registry', context)
    needTool(tools.htpasswd, 'htpasswd', context)
    const { stdout } = await run(tools.htpasswd, ['-Bbn', username, password])
    await writeFile(join(folder, 'htpasswd'), stdout)
    const { host } = await start({ auth: { htpasswd: { realm: 'test', path: join(folder, 'htpasswd') } } })
    await expect(roundTrip(host, registriesOf())).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    await roundTrip(host, registriesOf({ home: await homeWith(host, 'htpasswd-home') }))
  })

  test('with a token server: one token for a push, one for a copy with mounts', async (context) => {
    needTool(tools['docker-registry'], 'docker-registry', context)
    const [key, certificate] = await Promise.all([
      readFile(tls('server.key'), 'utf8'),
      readFile(tls('server.crt'), 'utf8'),
    ])
    const server = await startTokenServer({ key, certificate, username, password })
    const { realm, service, issuer } = server
    const { host } = await start({ auth: { token: { realm, service, issuer, rootcertbundle: tls('ca.crt') } } })
    const registries = registriesOf({ home: await homeWith(host, 'token-home') })
    await copyImage(image, await openDestination(`${host}/first/app:v1`, { registries }))
    expect(server.requests.length).toBe(1)
    await roundTrip(host, registriesOf({ home: join(folder, 'token-home') }))
    await expect(roundTrip(host, registriesOf())).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    await server.close()
  })

  test('with TLS of a private authority, and with client certificates', async (context) => {
    needTool(tools['docker-registry'], 'docker-registry', context)
    const base = { certificate: tls('server.crt'), key: tls('server.key') }
    const { host } = await start({ tls: base })
    await expect(roundTrip(host, registriesOf())).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
    await roundTrip(host, registriesOf({ env: { SSL_CERT_FILE: tls('ca.crt') } }))
    const mutual = await start({ tls: { ...base, clientcas: [tls('ca.crt')] } })
    const certs = join(folder, 'etc', 'docker', 'certs.d', mutual.host)
    await mkdir(certs, { recursive: true })
    for (const [from, to] of [
      ['ca.crt', 'ca.crt'],
      ['client.crt', 'me.cert'],
      ['client.key', 'me.key'],
    ] as const)
      await writeFile(join(certs, to), await readFile(tls(from)))
    const hosts = loadHosts({ env: {}, home: join(folder, 'nobody'), systemFolder: join(folder, 'etc') })
    await roundTrip(mutual.host, registriesOf({ hosts }))
  })
})

/** A home whose Docker configuration holds the login of a registry. */
async function homeWith(host: string, name: string): Promise<string> {
  const auth = Buffer.from(`${username}:${password}`).toString('base64')
  await mkdir(join(folder, name, '.docker'), { recursive: true })
  await writeFile(join(folder, name, '.docker', 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  return join(folder, name)
}
