import { createHash, randomBytes } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import { expectedLayerBytes, layerKey, makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { describeLayer } from '../../layers/kinds/words.ts'
import { wheelFiles } from '../../layers/wheel-files.ts'
import { silent, type ProgressEvent } from '../../src/core/progress.ts'
import { openWheel } from '../../src/python/wheel.ts'
import { filesOf, readLayer, type ReadLayer } from '../support/layer-bytes.ts'
import { makeWheel, type MadeWheel, type WheelInput } from '../support/wheel.ts'
import { bytesAccess, type ZipMember } from '../support/zip.ts'

const SITE = 'opt/venv/lib/python3.11/site-packages'

function specOf(wheels: readonly MadeWheel[], change: object = {}): LayerSpec & { kind: 'wheels' } {
  return {
    kind: 'wheels',
    prefix: 'opt/venv',
    python: '3.11',
    wheels: wheels.map(({ filename, sha256, bytes }) => ({
      filename,
      sha256,
      sizeBytes: bytes.length,
      url: `https://index.example/${filename}`,
    })),
    ...change,
  }
}

function contextOf(wheels: readonly MadeWheel[], change: Partial<LayerContext> = {}): LayerContext {
  const bySha256 = new Map(wheels.map(({ sha256, bytes }) => [sha256, bytes]))
  return {
    openRemote: async ({ sha256 }) => bytesAccess(bySha256.get(sha256) ?? Buffer.alloc(0)),
    projectFolder: '/nowhere',
    report: silent,
    ...change,
  }
}

async function lay(inputs: readonly WheelInput[], change: Partial<LayerContext> = {}): Promise<ReadLayer> {
  const wheels = inputs.map(makeWheel)
  return readLayer(await makeLayerStream(specOf(wheels), contextOf(wheels, change)))
}

test('expectedLayerBytes() tells progress about how large a spliced layer becomes, and no other', async () => {
  const wheels = [makeWheel({ files: [{ name: 'a.bin', content: randomBytes(300_000) }] })]
  const spec = specOf(wheels)
  const expected = expectedLayerBytes(spec) ?? 0
  const { blob } = await makeLayerStream(spec, contextOf(wheels))
  let bytes = 0
  for await (const chunk of blob) bytes += chunk.length
  expect(Math.abs(bytes - expected) / expected).toBeLessThan(0.05)
  expect(expectedLayerBytes(spec, 'none')).toBeUndefined()
})

const module = { name: 'demo/__init__.py', content: 'x = 1\n'.repeat(100) } as const

describe('a layer of one wheel', () => {
  test('holds directories first, then files in the order of the archive, RECORD last', async () => {
    const { members } = await lay([{ files: [{ name: 'z.py', content: 'z' }, { name: 'demo/' }, module] }])
    expect(members.map(({ name, type }) => `${type} ${name}`)).toEqual([
      'directory opt/',
      'directory opt/venv/',
      'directory opt/venv/lib/',
      'directory opt/venv/lib/python3.11/',
      `directory ${SITE}/`,
      `directory ${SITE}/demo/`,
      `directory ${SITE}/demo-1.0.dist-info/`,
      `file ${SITE}/z.py`,
      `file ${SITE}/demo/__init__.py`,
      `file ${SITE}/demo-1.0.dist-info/METADATA`,
      `file ${SITE}/demo-1.0.dist-info/WHEEL`,
      `file ${SITE}/demo-1.0.dist-info/INSTALLER`,
      `file ${SITE}/demo-1.0.dist-info/RECORD`,
    ])
  })

  test('belongs to root, has one time, and modes 644 and 755 only', async () => {
    const files: ZipMember[] = [
      { name: 'plain.py', content: 'x', mode: 0o100600 },
      { name: 'run.sh', content: 'x', mode: 0o100711 },
      { name: 'setuid', content: 'x', mode: 0o104755 },
      { name: 'dos', content: 'x', host: 0, mode: 0 },
    ]
    const { members } = await lay([{ files }])
    const modes = Object.fromEntries(members.map(({ name, mode }) => [name.split('/').pop() || name, mode]))
    expect(modes).toMatchObject({ 'plain.py': 0o644, 'run.sh': 0o755, setuid: 0o755, dos: 0o644 })
    for (const { uid, gid, mtimeSeconds } of members)
      expect({ uid, gid, mtimeSeconds }).toEqual({ uid: 0, gid: 0, mtimeSeconds: 315532800 })
  })

  test("keeps the wheel's own deflate bytes, so that nothing is compressed again", async () => {
    const data = deflateRawSync(module.content, { level: 1 })
    const { blob } = await lay([{ files: [{ ...module, data }] }])
    expect(blob.includes(data)).toBe(true)
  })

  test('has a RECORD of every file with its hash, sorted', async () => {
    const layer = await lay([
      {
        files: [
          module,
          { name: 'demo-1.0.data/scripts/tool', content: '#!python\nprint()\n' },
          { name: 'demo-1.0.data/data/share/a,b', content: 'x' },
        ],
        metadata: { 'entry_points.txt': '[console_scripts]\ndemo = demo:main' },
      },
    ])
    const files = filesOf(layer)
    const record = files[`${SITE}/demo-1.0.dist-info/RECORD`] ?? ''
    const rows = record.trimEnd().split('\n')
    expect(rows.map((row) => row.replace(/,[^,]*,[^,]*$/, ''))).toEqual([
      '../../../bin/demo',
      '../../../bin/tool',
      '"../../../share/a,b"',
      'demo-1.0.dist-info/INSTALLER',
      'demo-1.0.dist-info/METADATA',
      'demo-1.0.dist-info/RECORD',
      'demo-1.0.dist-info/WHEEL',
      'demo-1.0.dist-info/entry_points.txt',
      'demo/__init__.py',
    ])
    for (const row of rows) {
      const [, quoted, plain, hash, size] = /^(?:"([^"]*)"|([^,]*)),(?:sha256=([^,]*))?,(\d*)$/.exec(row) ?? []
      const path = new URL(quoted ?? plain ?? '', `file:///${SITE}/`).pathname.slice(1)
      const content = Buffer.from(files[path] ?? '')
      if (path.endsWith('/RECORD')) continue
      expect({ hash, size }).toEqual({
        hash: createHash('sha256').update(content).digest('base64url'),
        size: String(content.length),
      })
    }
  })

  test('puts each scheme of .data where it belongs', async () => {
    const data = (path: string): ZipMember => ({ name: `demo-1.0.data/${path}`, content: path })
    const files = filesOf(
      await lay([{ files: ['purelib/p.py', 'platlib/q.py', 'headers/h.h', 'scripts/s', 'data/etc/x'].map(data) }]),
    )
    expect(Object.keys(files)).toEqual(
      expect.arrayContaining([
        `${SITE}/p.py`,
        `${SITE}/q.py`,
        'opt/venv/include/site/python3.11/demo/h.h',
        'opt/venv/bin/s',
        'opt/venv/etc/x',
      ]),
    )
  })

  test('has scripts for its entry points and rewrites Python scripts, which are executable', async () => {
    const layer = await lay([
      {
        files: [
          { name: 'demo-1.0.data/scripts/py', content: '#!python\nprint(1)\n' },
          { name: 'demo-1.0.data/scripts/sh', content: '#!/bin/sh\n' },
          // Made by setuptools for an entry point; the installer's own takes its place.
          { name: 'demo-1.0.data/scripts/demo', content: '#!python\nold\n' },
        ],
        metadata: { 'entry_points.txt': '[console_scripts]\ndemo = demo.cli:App.run [extra]' },
      },
    ])
    const files = filesOf(layer)
    expect(files['opt/venv/bin/py']).toBe('#!/opt/venv/bin/python\nprint(1)\n')
    expect(files['opt/venv/bin/sh']).toBe('#!/bin/sh\n')
    expect(files['opt/venv/bin/demo']).toContain('from demo.cli import App')
    for (const { name, mode } of layer.members)
      if (name.startsWith('opt/venv/bin/') && !name.endsWith('/')) expect(mode).toBe(0o755)
  })

  test('splices a large program of .data/scripts instead of holding it', async () => {
    const content = createHash('sha256').update('x').digest().toString('latin1').repeat(5000)
    const data = deflateRawSync(Buffer.from(content, 'latin1'))
    const { blob } = await lay([
      { files: [{ name: 'demo-1.0.data/scripts/tool', content: Buffer.from(content, 'latin1') }] },
    ])
    expect(blob.includes(data)).toBe(true)
  })

  test('leaves out what only a project can know, and signatures', async () => {
    const metadata = { REQUESTED: '', 'direct_url.json': '{}', INSTALLER: 'other\n', 'RECORD.jws': 'x' }
    const record = (rows: string[]): string[] => rows.filter((row) => !row.includes('RECORD.jws'))
    const files = filesOf(await lay([{ files: [module], metadata, record }]))
    expect(Object.keys(files).filter((name) => /REQUESTED|direct_url|jws/.test(name))).toEqual([])
    expect(files[`${SITE}/demo-1.0.dist-info/INSTALLER`]).toBe('layerwright\n')
    expect(files[`${SITE}/demo-1.0.dist-info/RECORD`]).not.toMatch(/REQUESTED|direct_url|jws/)
  })

  test('holds empty files, stored files and long and foreign names', async () => {
    const long = `${'d'.repeat(120)}/${'f'.repeat(120)}.py`
    const files: ZipMember[] = [
      { name: 'empty.py' },
      { name: 'stored.bin', content: Buffer.alloc(200_000, 'stored'), method: 'stored' },
      { name: long, content: 'long' },
      { name: 'é☺.txt', content: 'foreign' },
      { name: 'last.py', content: '' },
    ]
    const found = filesOf(await lay([{ files }]))
    expect(found).toMatchObject({
      [`${SITE}/empty.py`]: '',
      [`${SITE}/${long}`]: 'long',
      [`${SITE}/é☺.txt`]: 'foreign',
      [`${SITE}/last.py`]: '',
    })
    expect(found[`${SITE}/stored.bin`]).toHaveLength(200_000)
  })

  test('is the same tar however the zip was written', async () => {
    const variants: ((member: ZipMember) => ZipMember)[] = [
      (member) => member,
      (member) => ({ ...member, descriptor: 'signed' }),
      (member) => ({ ...member, zip64: true }),
      (member) => ({ ...member, method: 'stored' }),
      (member) => ({ ...member, method: 'stored', descriptor: 'long' }),
    ]
    const layers = await Promise.all(
      variants.map((variant) => lay([{ files: [module, { name: 'b.py', content: 'b' }].map(variant) }])),
    )
    expect(new Set(layers.map(({ diffId }) => diffId)).size).toBe(1)
  })

  test('keeps nothing of the memory that its written files were made in', async () => {
    const wheel = makeWheel({ files: [module] })
    const source = bytesAccess(wheel.bytes)
    const { written } = await wheelFiles(source, await openWheel(source, wheel.filename), specOf([wheel]))
    const held = new Set(written.map(({ bytes }) => bytes.buffer))
    const total = written.reduce((sum, { bytes }) => sum + bytes.length, 0)
    expect([...held].map(({ byteLength }) => byteLength)).toEqual([total])
  })

  test('does not depend on time, folder or compression', async () => {
    const input = { files: [module] }
    const one = await lay([input])
    const two = await lay([input], { mtimeSeconds: 1_700_000_000, projectFolder: '/elsewhere' })
    expect(two.digest).toBe(one.digest)
    const plain = await lay([input], { compression: 'none' })
    expect(plain.diffId).toBe(one.diffId)
  })

  test('gives the bytes it has always given', async () => {
    // A change of this digest makes every wheel's layer new everywhere: raise LAYOUT_VERSION with it.
    const { digest, diffId } = await lay([{ files: [{ ...module, method: 'stored' }], metadata: {} }])
    expect(diffId).toMatchInlineSnapshot(`"sha256:2aa4e0bb73f7cfed54a842cc3235717ad29f2d622501bbe2285c4ddbba9dd70e"`)
    expect(digest.startsWith('sha256:')).toBe(true)
  })

  const refused: Record<string, readonly [WheelInput, RegExp]> = {
    'an unknown scheme': [{ files: [{ name: 'demo-1.0.data/other/x', content: 'x' }] }, /unknown scheme: `other`/],
    'a file right below .data': [{ files: [{ name: 'demo-1.0.data/x', content: 'x' }] }, /lies in no scheme/],
    'a script that replaces the interpreter': [
      { files: [{ name: 'demo-1.0.data/scripts/python3', content: 'x' }] },
      /environment's own command: `python3`/,
    ],
    'an entry point that replaces the interpreter': [
      { metadata: { 'entry_points.txt': '[console_scripts]\npython = a:b' } },
      /own command: `python`/,
    ],
    'data that replaces the interpreter': [
      { files: [{ name: 'demo-1.0.data/data/bin/python', content: 'x' }] },
      /own command: `python`/,
    ],
    'data that replaces pyvenv.cfg': [
      { files: [{ name: 'demo-1.0.data/data/pyvenv.cfg', content: 'x' }] },
      /environment's own file/,
    ],
    'two files for one place': [
      {
        files: [
          { name: 'a.py', content: '1' },
          { name: 'demo-1.0.data/purelib/a.py', content: '2' },
        ],
      },
      /two of its files would lie at/,
    ],
    'a file with another hash than RECORD says': [
      {
        files: [module],
        record: (rows) => rows.map((row) => row.replace(/^(demo\/__init__\.py,sha256=)..../, '$1AAAA')),
      },
      /`opt\/venv\/lib\/python3\.11\/site-packages\/demo\/__init__\.py` does not have the hash/,
    ],
    'a rewritten script with another hash than RECORD says': [
      {
        files: [{ name: 'demo-1.0.data/scripts/x', content: '#!python\n' }],
        record: (rows) => rows.map((row) => row.replace(/^(demo-1\.0\.data\/scripts\/x,sha256=)..../, '$1AAAA')),
      },
      /does not have the hash/,
    ],
    'a file with a wrong CRC-32': [
      { files: [{ ...module, central: { crc32: 1 }, local: { crc32: 1 } }] },
      /demo\/__init__\.py` is damaged/,
    ],
    'a file that inflates to another size': [
      {
        files: [{ ...module, central: { sizeBytes: 599 }, local: { sizeBytes: 599 } }],
        record: (rows) => rows.map((row) => row.replace(/^(demo\/__init__.*),600$/, '$1,599')),
      },
      /damaged|hash|size/,
    ],
    'bytes that are not deflate': [
      { files: [{ ...module, data: Buffer.from('\xff\xff\xff\xff\xff', 'latin1') }] },
      /is damaged/,
    ],
  }
  for (const [name, [input, reason]] of Object.entries(refused)) {
    test(`refuses ${name}`, async () => {
      const error = await lay([input]).then(
        () => expect.unreachable('laid'),
        (error: unknown) => error,
      )
      expect(error).toMatchObject({ code: 'WHEEL_INVALID', message: expect.stringMatching(reason) })
      expect(String(error)).toContain('demo-1.0-py3-none-any.whl')
    })
  }

  test('stops when it is told to', async () => {
    const aborter = new AbortController()
    aborter.abort(new Error('enough'))
    await expect(lay([{ files: [module] }], { signal: aborter.signal })).rejects.toThrow('enough')
  })
})

describe('a layer of several wheels', () => {
  const shared = { name: 'nvidia/__init__.py', content: '' }

  test('holds a file that two wheels bring with equal bytes once', async () => {
    const { members } = await lay([
      { name: 'one', files: [shared] },
      { name: 'two', files: [shared, { name: 'nvidia/two.py', content: '2' }] },
    ])
    const names = members.map(({ name }) => name)
    expect(names.filter((name) => name.endsWith('nvidia/__init__.py'))).toHaveLength(1)
    expect(new Set(names).size).toBe(names.length)
  })

  test('is refused when two wheels fill one path differently, naming both', async () => {
    const promise = lay([
      { name: 'one', files: [{ ...shared, content: '1' }] },
      { name: 'two', version: '2.0', files: [{ ...shared, content: '2' }] },
    ])
    await expect(promise).rejects.toMatchObject({
      code: 'WHEEL_INVALID',
      message: `one 1.0 and two 2.0 both install \`/${SITE}/nvidia/__init__.py\`, with different content`,
    })
  })

  test('is refused when two wheels bring different commands of one name', async () => {
    const entry = (object: string) => ({ 'entry_points.txt': `[console_scripts]\nrun = ${object}` })
    await expect(
      lay([
        { name: 'one', metadata: entry('a:b') },
        { name: 'two', metadata: entry('c:d') },
      ]),
    ).rejects.toThrow(/`\/opt\/venv\/bin\/run`/)
    await expect(
      lay([
        { name: 'one', metadata: entry('a:b') },
        { name: 'two', metadata: entry('a:b') },
      ]),
    ).resolves.toBeDefined()
  })

  test('reports what is unusual', async () => {
    const events: ProgressEvent[] = []
    await lay([{ metadata: { WHEEL: 'Wheel-Version: 1.3\nRoot-Is-Purelib: true\n' } }], {
      report: (event) => events.push(event),
    })
    expect(events).toContainEqual({
      type: 'note',
      level: 'warning',
      text: 'demo-1.0-py3-none-any.whl has the newer wheel format 1.3',
    })
  })
})

describe('layerKey()', () => {
  const wheel = makeWheel({})
  test('does not know where a file comes from', () => {
    const spec = specOf([wheel])
    const elsewhere = { ...spec, wheels: spec.wheels.map((file) => ({ ...file, url: 'file:///x' })) }
    expect(layerKey(elsewhere)).toBe(layerKey(spec))
  })

  test('knows prefix, Python, content and compression, and no time', () => {
    const spec = specOf([wheel])
    const keys = [
      layerKey(spec),
      layerKey({ ...spec, prefix: 'opt/other' }),
      layerKey({ ...spec, python: '3.12' }),
      layerKey(specOf([makeWheel({ version: '2.0' })])),
      layerKey(spec, 'zstd'),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    expect(layerKey(spec, 'gzip', 5)).toBe(layerKey(spec))
  })

  test('names the wheels for the history line', () => {
    expect(describeLayer(specOf([wheel, makeWheel({ name: 'other' })]))).toBe('demo 1.0, other 1.0')
  })
})
