import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mustRun } from '../support/command.ts'
import { makeArchiveKey, startArchive, type ArchiveKey, type TestArchive } from '../support/debian-archive.ts'
import { goTool, needTool } from '../support/tool.ts'

/*
 * A whole build that takes a package from a vendor's signed archive on loopback and what it needs from Debian's own; a command
 * of `pre_install` calls it in the sandbox. The image is run, and a scanner of images lists what is in it.
 */

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
let folder: string
let archive: TestArchive
let key: ArchiveKey
let layout: string

const cli = (...args: string[]): Promise<string> =>
  mustRun(process.execPath, [join(root, 'bin', 'layerwright.mjs'), ...args], {
    cwd: join(folder, 'project'),
    env: { LAYERWRIGHT_CACHE: cache },
  }).then(({ stdout }) => stdout)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'apt-sources-'))
  await mkdir(join(folder, 'project'))
  await mkdir(cache, { recursive: true })
  key = await makeArchiveKey()
  archive = await startArchive(key)
  layout = join(folder, 'image')
  await archive.publish([
    {
      package: 'acme-greet',
      version: '2.1-1',
      architecture: 'all',
      fields: { Depends: 'jq (>= 1.6), acme-data (= 2.1-1)' },
      members: [
        { name: './usr/bin/', type: 'directory' },
        {
          name: './usr/bin/acme-greet',
          mode: 0o755,
          // No two runs have the same package: a store that was kept would have its layer.
          content: `#!/bin/sh\n# ${randomUUID()}\nexec jq -r .word /usr/share/acme/data.json\n`,
        },
      ],
    },
    {
      package: 'acme-data',
      version: '2.1-1',
      architecture: 'all',
      members: [{ name: './usr/share/acme/data.json', content: '{"word": "hello from the vendor"}' }],
    },
  ])
  await writeFile(join(folder, 'project/acme.asc'), key.publicKey)
  await writeFile(
    join(folder, 'project/cog.yaml'),
    `build:
  python_version: "3.11"
  python_requirements: requirements.txt
  system_packages: [acme-greet]
  apt_sources:
    - url: ${archive.url}
      suite: stable
      components: [main]
      key: acme.asc
  pre_install:
    - mkdir -p /opt/pre && acme-greet > /opt/pre/word
run: "run.py:Runner"
`,
  )
  await writeFile(join(folder, 'project/requirements.txt'), 'idna==3.10\n')
  const code = ['import subprocess', '', 'from cog import BaseRunner', '', '', 'class Runner(BaseRunner):']
  const run = [
    '    def run(self) -> str:',
    '        word = open("/opt/pre/word").read().strip()',
    '        return word + ", " + subprocess.check_output(["acme-greet"], text=True).strip()',
  ]
  await writeFile(join(folder, 'project/run.py'), [...code, ...run, ''].join('\n'))
})
afterAll(async () => {
  await archive.close()
  await rm(folder, { recursive: true, force: true })
})

describe('build.apt_sources', () => {
  test(
    "gives an image whose program is the vendor's, on libraries of Debian, and commands that use it",
    { timeout: 900_000 },
    async () => {
      await cli('build', '-q', '-o', `oci:${layout}`)
      expect(archive.requests).toContain('/pool/acme-greet_2.1-1.deb')
      expect((await cli('predict', `oci:${layout}`, '-q')).trim()).toBe('hello from the vendor, hello from the vendor')
    },
  )

  test('holds the build to the key that was named', { timeout: 300_000 }, async () => {
    const other = await makeArchiveKey()
    await writeFile(join(folder, 'project/acme.asc'), other.publicKey)
    await expect(cli('build', '-q', '--refresh', '-o', `oci:${layout}-2`)).rejects.toThrow('SIGNATURE_INVALID')
    await writeFile(join(folder, 'project/acme.asc'), key.publicKey)
  })

  // Compiling the scanner takes minutes, once.
  test('gives an image in which a scanner finds what was laid down', { timeout: 1_800_000 }, async (context) => {
    const syft = await goTool('github.com/anchore/syft/cmd/syft@v1.57.1')
    needTool(syft, 'syft', context)
    await mustRun(syft, ['scan', `oci-dir:${layout}`, '-q', '-o', `json=${join(folder, 'found.json')}`])
    const { artifacts } = JSON.parse(await readFile(join(folder, 'found.json'), 'utf8')) as {
      readonly artifacts: readonly {
        readonly name: string
        readonly version: string
        readonly type: string
        readonly locations: readonly { readonly path: string }[]
      }[]
    }
    const found = (type: string): string[] =>
      artifacts
        // Packages may bring copies of others in folders of their own.
        .filter((artifact) => artifact.type === type && !artifact.locations[0]?.path.includes('/_vendor/'))
        .map(({ name, version }) => `${name.toLowerCase()} ${version}`)
        .sort()
    const document = JSON.parse(await cli('sbom', '-q')) as {
      readonly packages: readonly {
        readonly name: string
        readonly versionInfo?: string
        readonly externalRefs?: readonly { readonly referenceLocator: string }[]
      }[]
    }
    const listed = (type: string): string[] =>
      document.packages
        .filter(({ externalRefs }) => externalRefs?.some((it) => it.referenceLocator.startsWith(`pkg:${type}/`)))
        .map(({ name, versionInfo }) => `${name.toLowerCase()} ${versionInfo}`)
        .sort()
    expect(found('deb')).toEqual(listed('deb'))
    expect(found('deb')).toContain('acme-greet 2.1-1')
    expect(found('python')).toEqual(listed('pypi'))
  })
})
