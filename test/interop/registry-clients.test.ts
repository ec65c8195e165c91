import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { OCI } from 'oci-spec-types'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import { runCommand } from '../support/command.ts'
import { findTool, goTool, needTool } from '../support/tool.ts'
import { pushImage, type PushedImage } from '../registry/server/push.ts'

let folder: string
let registry: ServedRegistry
let image: PushedImage
const errors: unknown[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-clients-'))
  errors.length = 0
  registry = await serveRegistry({
    storage: { kind: 'directory', path: join(folder, 'store') },
    onError: (error) => errors.push(error),
  })
  image = await pushImage(registry.url, 'team/model', 'v1')
})
afterEach(async () => {
  await registry.close(0)
  await rm(folder, { recursive: true })
  expect(errors).toEqual([])
})

const run = async (tool: string, ...args: string[]): Promise<string> => {
  // A home of its own, so that nobody's credentials or settings matter.
  const { status, stdout, stderr } = await runCommand(tool, args, { cwd: folder, env: { HOME: folder } })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

describe('the embedded registry serves', () => {
  it('skopeo over TLS of a private authority, with client certificates', async (context) => {
    const skopeo = await need(findTool('skopeo'), 'skopeo', context)
    const openssl = await need(findTool('openssl'), 'openssl', context)
    const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1']
    const make = (name: string, ...more: string[]): Promise<string> =>
      run(
        openssl,
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-noenc',
        '-days',
        '1',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.crt`,
        ...more,
      )
    await make('ca')
    for (const name of ['server', 'client']) await make(name, ...sign)
    const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
    const tls = { cert: await read('server.crt'), key: await read('server.key'), clientCa: await read('ca.crt') }
    const secure = await serveRegistry({ storage: { kind: 'memory' }, tls })
    try {
      await mkdir(join(folder, 'certs'))
      await writeFile(join(folder, 'certs/ca.crt'), await read('ca.crt'))
      const to = `docker://${secure.authority}/secured:v1`
      const copy = [
        'copy',
        '--src-tls-verify=false',
        '--dest-cert-dir',
        join(folder, 'certs'),
        `docker://${registry.authority}/team/model:v1`,
        to,
      ]
      // Without a certificate of its own the client is not let in.
      await expect(run(skopeo, ...copy)).rejects.toThrow('certificate')
      await writeFile(join(folder, 'certs/client.cert'), await read('client.crt'))
      await writeFile(join(folder, 'certs/client.key'), await read('client.key'))
      await run(skopeo, ...copy)
      expect(await run(skopeo, 'inspect', '--raw', '--cert-dir', join(folder, 'certs'), to)).toBe(image.text)
    } finally {
      await secure.close(0)
    }
  })

  it('crane: pull, validate, push, copy, tag, list, delete', async (context) => {
    const crane = await goTool('github.com/google/go-containerregistry/cmd/crane@v0.22.1')
    needTool(crane, 'crane', context)
    const at = registry.authority
    expect(await run(crane, 'digest', `${at}/team/model:v1`)).toBe(image.digest)
    await run(crane, 'pull', '--format', 'oci', `${at}/team/model:v1`, 'pulled')
    await run(crane, 'push', 'pulled', `${at}/other/model:v1`)
    expect(await run(crane, 'digest', `${at}/other/model:v1`)).toBe(image.digest)
    await run(crane, 'copy', `${at}/team/model:v1`, `${at}/third:v2`)
    await run(crane, 'tag', `${at}/third:v2`, 'v3')
    expect((await run(crane, 'ls', `${at}/third`)).split('\n')).toEqual(['v2', 'v3'])
    expect((await run(crane, 'catalog', at)).split('\n')).toEqual(['other/model', 'team/model', 'third'])
    await writeFile(join(folder, 'file'), 'content')
    await run(await need(findTool('tar'), 'tar', context), '-cf', 'layer.tar', 'file')
    await run(crane, 'append', '--oci-empty-base', '-f', 'layer.tar', '-t', `${at}/appended:v1`)
    await run(crane, 'validate', '--remote', `${at}/appended:v1`)
    await run(crane, 'delete', `${at}/third@${image.digest}`)
    await expect(run(crane, 'digest', `${at}/third:v2`)).rejects.toThrow('MANIFEST_UNKNOWN')
  })

  it('skopeo: inspect, copy between repositories, layouts and back, sync tags, delete, with passwords', async (context) => {
    const skopeo = await need(findTool('skopeo'), 'skopeo', context)
    const htpasswd = join(folder, 'htpasswd')
    await writeFile(htpasswd, `me:${await hash('s3cret', 4)}\n`)
    const guarded = await serveRegistry({ storage: { kind: 'memory' }, htpasswd })
    try {
      const from = `docker://${registry.authority}/team/model:v1`
      const to = `docker://${guarded.authority}/copied:v1`
      const login = ['--dest-creds', 'me:s3cret', '--dest-tls-verify=false', '--src-tls-verify=false']
      await run(skopeo, 'copy', ...login, from, to)
      await expect(run(skopeo, 'copy', '--src-tls-verify=false', '--dest-tls-verify=false', from, to)).rejects.toThrow()
      await run(skopeo, 'copy', '--src-tls-verify=false', '--src-creds', 'me:s3cret', to, 'oci:layout:v1')
      const index = JSON.parse(await readFile(join(folder, 'layout/index.json'), 'utf8')) as {
        manifests: [{ digest: string }]
      }
      expect(index.manifests[0].digest).toBe(image.digest)
      const tags = await run(
        skopeo,
        'list-tags',
        '--tls-verify=false',
        '--creds',
        'me:s3cret',
        `docker://${guarded.authority}/copied`,
      )
      expect((JSON.parse(tags) as { Tags: string[] }).Tags).toEqual(['v1'])
      await run(skopeo, 'delete', '--tls-verify=false', '--creds', 'me:s3cret', to)
      await expect(run(skopeo, 'inspect', '--tls-verify=false', '--creds', 'me:s3cret', to)).rejects.toThrow('unknown')
    } finally {
      await guarded.close(0)
    }
  })

  it('skopeo: reads a repository straight from the storage folder as an OCI layout', async (context) => {
    const skopeo = await need(findTool('skopeo'), 'skopeo', context)
    const raw = await run(skopeo, 'inspect', '--raw', `oci:${join(folder, 'store/team/model')}:v1`)
    expect(raw).toBe(image.text)
  })

  it('oras: push, attach, discover, pull, copy with referrers', async (context) => {
    const oras = await goTool('oras.land/oras/cmd/oras@v1.3.6')
    needTool(oras, 'oras', context)
    const at = registry.authority
    await writeFile(join(folder, 'report.txt'), 'all is well')
    await run(
      oras,
      'attach',
      '--plain-http',
      '--artifact-type',
      'application/x.report',
      `${at}/team/model:v1`,
      'report.txt',
    )
    const tree = JSON.parse(await run(oras, 'discover', '--plain-http', '--format', 'json', `${at}/team/model:v1`)) as {
      referrers: { artifactType: string; digest: string }[]
    }
    expect(tree.referrers.map(({ artifactType }) => artifactType)).toEqual(['application/x.report'])
    await run(oras, 'cp', '-r', '--from-plain-http', '--to-plain-http', `${at}/team/model:v1`, `${at}/copy:v1`)
    const copied = await fetch(`${registry.url}/v2/copy/referrers/${image.digest}`)
    expect(((await copied.json()) as { manifests: object[] }).manifests).toHaveLength(1)
    await run(oras, 'pull', '--plain-http', '-o', 'out', `${at}/copy@${tree.referrers[0]?.digest}`)
    expect(await readFile(join(folder, 'out/report.txt'), 'utf8')).toBe('all is well')
  })

  it('regctl: chunked blob, referrers, mounting copy, tag delete', async (context) => {
    const regctl = await goTool('github.com/regclient/regclient/cmd/regctl@v0.11.7')
    needTool(regctl, 'regctl', context)
    const at = registry.authority
    await run(regctl, 'registry', 'set', '--tls', 'disabled', '--blob-chunk', '100000', '--blob-max', '100000', at)
    await writeFile(join(folder, 'weights'), Buffer.alloc(450_000, 7))
    await run(
      regctl,
      'artifact',
      'put',
      '--artifact-type',
      'application/x.weights',
      '-f',
      'weights',
      `${at}/weights:v1`,
    )
    const manifest = JSON.parse(await run(regctl, 'manifest', 'get', '--format', 'raw-body', `${at}/weights:v1`)) as {
      layers: [{ size: number }]
    }
    expect(manifest.layers[0].size).toBe(450_000)
    await run(
      regctl,
      'artifact',
      'put',
      '--artifact-type',
      'application/x.note',
      '-f',
      'weights',
      '--subject',
      `${at}/team/model:v1`,
    )
    expect(await run(regctl, 'artifact', 'list', '--format', '{{len .Descriptors}}', `${at}/team/model:v1`)).toBe('1')
    await run(regctl, 'image', 'copy', '--referrers', `${at}/team/model:v1`, `${at}/mounted:v1`)
    await run(regctl, 'tag', 'delete', `${at}/mounted:v1`)
    const left = await fetch(`${registry.url}/v2/mounted/manifests/${image.digest}`, {
      headers: { accept: OCI.manifest },
    })
    expect(left.status).toBe(200)
  })
})

async function need(
  found: Promise<string | undefined>,
  name: string,
  context: { skip: (note: string) => void },
): Promise<string> {
  const path = await found
  needTool(path, name, context)
  return path
}
