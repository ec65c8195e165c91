import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import { mustRun, runCommand, type Finished } from '../support/command.ts'
import { startDebianRegistry, type DebianRegistry } from '../support/debian-registry.ts'
import { goTool, needTool } from '../support/tool.ts'

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
const validators = join(root, '.cache', 'attest-validators')
let folder: string
let served: ServedRegistry
let debian: DebianRegistry

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attest-'))
  await mkdir(cache, { recursive: true })
  served = await serveRegistry({ storage: { kind: 'memory' } })
  debian = await startDebianRegistry()
})
afterAll(async () => {
  await served.close()
  await debian.stop()
  await rm(folder, { recursive: true, force: true })
})

const layerwright = (args: readonly string[]): Promise<Finished> =>
  mustRun(process.execPath, [join(root, 'bin', 'layerwright.mjs'), ...args], {
    cwd: root,
    env: { LAYERWRIGHT_CACHE: cache },
  })

/** One with the referrers API, one without it. */
const registries = [
  ['the embedded registry', () => new URL(served.url).host],
  ['Debian’s docker-registry, by the tag that stands in', () => debian.host],
] as const

interface Referrer {
  readonly reference: string
  readonly artifactType: string
}

test.each(registries)('oras finds components and signed provenance beside an image in %s', async (_, hostOf) => {
  const oras = await goTool('oras.land/oras/cmd/oras@v1.3.6')
  needTool(oras, 'oras', { skip: (note) => expect.unreachable(note) })
  const key = join(folder, 'key.pem')
  await makeKey(key)
  const image = `${hostOf()}/examples/hello:v1`
  const args = ['push', image, '--project', 'examples/hello', '--insecure', '-q', '--attest-key', key]
  const digest = (await layerwright(args)).stdout.trim()
  const listed = async (): Promise<readonly Referrer[]> => {
    const { stdout } = await mustRun(oras, ['discover', '--plain-http', '--format', 'json', image])
    return (JSON.parse(stdout) as { readonly referrers: readonly Referrer[] }).referrers
  }
  const referrers = await listed()
  expect(referrers.map(({ artifactType }) => artifactType).sort()).toEqual([
    'application/spdx+json',
    'application/vnd.dsse.envelope.v1+json',
  ])
  const envelope = await pull(oras, referrers.find(({ artifactType }) => artifactType.includes('dsse'))?.reference)
  const { payload, payloadType, signatures } = JSON.parse(envelope.toString()) as {
    readonly payload: string
    readonly payloadType: string
    readonly signatures: readonly { readonly sig: string }[]
  }
  const bytes = Buffer.from(payload, 'base64')
  const statement = JSON.parse(bytes.toString()) as { readonly subject: readonly { readonly digest: object }[] }
  expect(statement.subject[0]?.digest).toEqual({ sha256: digest.slice('sha256:'.length) })
  await writeFile(
    join(folder, 'message'),
    `DSSEv1 ${payloadType.length} ${payloadType} ${bytes.length} ${bytes.toString()}`,
  )
  await writeFile(join(folder, 'signature'), Buffer.from(signatures[0]?.sig ?? '', 'base64'))
  await mustRun('openssl', ['pkey', '-in', key, '-pubout', '-out', join(folder, 'key.pub')])
  const proof = ['-verify', join(folder, 'key.pub'), '-signature', join(folder, 'signature'), join(folder, 'message')]
  expect((await mustRun('openssl', ['dgst', '-sha256', ...proof])).stdout).toContain('Verified OK')
  const page = (await layerwright(['inspect', image, '--insecure'])).stdout
  expect(page).toMatch(/attestations, not verified\n(?: {2}sha256:.*\n){2}$/)
  expect(page).toContain('  components (SPDX)\n')
  expect(page).toContain('  provenance (SLSA), signed\n')
  // The same again changes nothing, and asks no more than whether the tag is there.
  expect((await layerwright(args)).stdout.trim()).toBe(digest)
  expect((await listed()).length).toBe(2)
  // Another key at the same place signs anew.
  await makeKey(key)
  expect((await layerwright(args)).stdout.trim()).toBe(digest)
  expect((await listed()).length).toBe(3)
})

async function makeKey(file: string): Promise<void> {
  const [make, pack] = ['openssl ecparam -name prime256v1 -genkey -noout', 'openssl pkcs8 -topk8 -nocrypt']
  await mustRun('sh', ['-c', `${make} | ${pack} -out ${file}`])
}

async function pull(oras: string, reference: string | undefined): Promise<Buffer> {
  const manifest = JSON.parse((await mustRun(oras, ['manifest', 'fetch', '--plain-http', reference ?? ''])).stdout) as {
    readonly layers: readonly { readonly digest: string }[]
  }
  const place = `${(reference ?? '').split('@')[0] ?? ''}@${manifest.layers[0]?.digest ?? ''}`
  const file = join(folder, 'blob')
  await mustRun(oras, ['blob', 'fetch', '--plain-http', '--output', file, place])
  return readFile(file)
}

test('the documents are valid by other people’s validators', async () => {
  const python = join(validators, 'bin', 'python')
  const probe = `${python} -c 'import spdx_tools, cyclonedx.validation.json'`
  if ((await runCommand('sh', ['-c', probe])).status !== 0) {
    await mustRun('python3', ['-m', 'venv', validators])
    await mustRun(python, [
      '-m',
      'pip',
      'install',
      '-q',
      'spdx-tools==0.8.5',
      'cyclonedx-python-lib[json-validation]==11.12.0',
    ])
  }
  const spdx = join(folder, 'tabular.spdx.json')
  await writeFile(spdx, (await layerwright(['sbom', 'examples/tabular', '-q'])).stdout)
  await mustRun(join(validators, 'bin', 'pyspdxtools'), ['-i', spdx])
  const cyclone = join(folder, 'tabular.cdx.json')
  await writeFile(cyclone, (await layerwright(['sbom', 'examples/tabular', '-q', '--format', 'cyclonedx'])).stdout)
  const script = `
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(problem) if problem else 0)
`
  await mustRun(python, ['-c', script, cyclone])
})
