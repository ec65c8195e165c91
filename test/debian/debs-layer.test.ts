import { describe, expect, it } from 'vitest'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { collect, copied } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { BuildError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/progress.ts'
import { packBaseFiles } from '../../src/debian/base-files.ts'
import { factsCache } from '../../src/debian/facts-file.ts'
import { readTar, type TarHeader } from '../../src/core/tar-reader.ts'
import type { LayerContext } from '../../layers/context.ts'
import { debEntries, debsKind, type DebSource, type DebsLayerSpec } from '../../layers/kinds/debs.ts'
import { debianRegistrationKind } from '../../layers/kinds/debian-registration.ts'
import { layerKey } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import { materialise } from '../../layers/materialise.ts'
import { makeCheckPool } from '../../layers/workers/pool.ts'
import { indexLayer } from '../../layers/ztoc/index-layer.ts'
import { readParts } from '../../layers/ztoc/spill.ts'
import { Store } from '../../src/store/store.ts'
import { channelThread } from '../support/check-thread.ts'
import { makeDeb, sha256, type DebDescription, type DebMember } from '../support/debian-package.ts'
import { randomAccess } from '../support/random-access.ts'

const ROOT_LINKS = { bin: 'usr/bin', lib: 'usr/lib' }

function store(packages: readonly (DebDescription & { replaces?: readonly string[] })[]): {
  readonly debs: DebSource[]
  readonly context: LayerContext
} {
  const files = new Map<string, Buffer>()
  const debs = packages.map(({ replaces, ...description }) => {
    const bytes = makeDeb(description)
    files.set(sha256(bytes), bytes)
    const { package: name, version = '1', architecture = 'amd64' } = description
    const source = {
      package: name,
      version,
      architecture,
      url: `http://archive/${name}.deb`,
      sha256: sha256(bytes),
      sizeBytes: bytes.length,
    }
    return replaces === undefined ? source : { ...source, replaces }
  })
  const context: LayerContext = {
    openRemote: async ({ sha256: hash }) => randomAccess(files.get(hash) ?? Buffer.alloc(0)),
    projectFolder: '/nowhere',
    report: silent,
  }
  return { debs, context }
}

type Listed = TarHeader & { readonly text: string }

async function list(blob: AsyncIterable<Uint8Array>): Promise<Map<string, Listed>> {
  const bytes = gunzipSync(await collect(blob, 1 << 28))
  const found = new Map<string, Listed>()
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  for await (const { body, ...header } of readTar(source())) {
    const path = header.name.replace(/\/$/, '')
    expect(found.has(path), `${path} stands twice`).toBe(false)
    found.set(path, { ...header, text: (await collect(body, 1 << 24)).toString('utf8') })
  }
  return found
}

async function lay(
  packages: Parameters<typeof store>[0],
  spec: Partial<DebsLayerSpec> = {},
): Promise<Map<string, Listed>> {
  const { debs, context } = store(packages)
  const layer = await debsKind.make({ kind: 'debs', debs, leaveOut: 'nothing', ...spec }, context)
  return list(layer.blob)
}

/** Paths of what is no folder. */
const contents = (found: Map<string, Listed>): string[] =>
  [...found].flatMap(([path, { type }]) => (type === 'directory' ? [] : [path]))

const file = (name: string, content = 'x'): DebMember => ({ name, content })
const folder = (name: string, mode?: number): DebMember => ({ name, type: 'directory', mode })

describe('debs layer', () => {
  it('moves files of merged folders and never puts a folder in the place of a link', async () => {
    const found = await lay(
      [
        {
          package: 'a',
          members: [
            folder('./'),
            folder('./bin'),
            file('./bin/tool'),
            folder('./lib'),
            folder('./lib/x86_64-linux-gnu'),
            file('./lib/x86_64-linux-gnu/liba.so.1'),
          ],
        },
      ],
      { rootLinks: ROOT_LINKS },
    )
    expect([...found.keys()]).toEqual([
      'usr',
      'usr/bin',
      'bin',
      'usr/lib',
      'lib',
      'usr/bin/tool',
      'usr/lib/x86_64-linux-gnu',
      'usr/lib/x86_64-linux-gnu/liba.so.1',
    ])
    expect(found.get('bin')).toMatchObject({ type: 'symlink', linkName: 'usr/bin' })
  })

  it('follows links to folders that the base or an earlier package has', async () => {
    const found = await lay(
      [
        {
          package: 'a',
          members: [file('./usr/share/doc/a/copyright'), { name: './usr/share/doc/b', type: 'symlink', target: 'a' }],
        },
        { package: 'b', members: [folder('./usr/share/doc/b'), file('./usr/share/doc/b/extra'), file('./opt/app/x')] },
      ],
      { baseLinks: { opt: 'srv/opt' } },
    )
    expect(contents(found)).toEqual([
      'usr/share/doc/a/copyright',
      'usr/share/doc/b',
      'usr/share/doc/a/extra',
      'srv/opt/app/x',
    ])
  })

  it('puts files of which the base diverts the place where they then lie, but not those of who diverts', async () => {
    const diversions = [
      { from: 'lib/liba.so.1', to: 'usr/lib/vendor-diverted/liba.so.1', by: 'vendor' },
      { from: 'usr/bin/tool', to: 'usr/bin/tool.real', by: ':' },
    ]
    const found = await lay(
      [
        {
          package: 'a',
          members: [
            file('./usr/lib/liba.so.1', 'of a'),
            { name: './usr/lib/liba.so', type: 'hardlink', target: './usr/lib/liba.so.1' },
            file('./bin/tool'),
          ],
        },
        { package: 'vendor', members: [file('./lib/liba.so.1', 'of the vendor')] },
      ],
      { diversions },
    )
    expect(contents(found)).toEqual([
      'usr/lib/vendor-diverted/liba.so.1',
      'usr/lib/liba.so',
      'usr/bin/tool.real',
      'usr/lib/liba.so.1',
    ])
    expect(found.get('usr/lib/liba.so')).toMatchObject({ linkName: 'usr/lib/vendor-diverted/liba.so.1' })
    expect(found.get('usr/lib/liba.so.1')?.text).toBe('of the vendor')
  })

  it('keeps setuid bits, owners, hard links; writes one time for all', async () => {
    const found = await lay([
      {
        package: 'a',
        members: [
          { name: './usr/bin/su', content: 'su', mode: 0o4755 },
          { name: './usr/bin/wall', content: 'wall', mode: 0o2755, gid: 5 },
          { name: './usr/bin/su2', type: 'hardlink', target: './usr/bin/su' },
        ],
      },
    ])
    expect(found.get('usr/bin/su')).toMatchObject({ mode: 0o4755, mtimeSeconds: 315532800 })
    expect(found.get('usr/bin/wall')).toMatchObject({ mode: 0o2755, gid: 5 })
    expect(found.get('usr/bin/su2')).toMatchObject({ type: 'hardlink', linkName: 'usr/bin/su' })
  })

  it('leaves folders alone whose mode the base has changed', async () => {
    const found = await lay([{ package: 'a', members: [folder('./var'), folder('./var/mail')] }], {
      keptFolders: { 'var/mail': { mode: 0o2775, uid: 0, gid: 8 } },
    })
    expect([...found.keys()]).toEqual(['var'])
  })

  it('writes the list of picture loaders, and says what settings lack', async () => {
    const loaders = './usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders'
    const postinst = '#!/bin/sh\nhandle_triggers $2\n'
    const { debs, context } = store([
      { package: 'libglib2.0-0', controlFiles: { postinst } },
      {
        package: 'libgdk-pixbuf-2.0-0',
        members: ['gif', 'bmp', 'odd'].map((name) => file(`${loaders}/libpixbufloader-${name}.so`)),
        controlFiles: { postinst },
      },
      { package: 'editor', members: [file('./usr/share/glib-2.0/schemas/org.editor.gschema.xml')] },
    ])
    const notes: string[] = []
    const report: typeof context.report = (event) => void (event.type === 'note' && notes.push(event.text))
    const spec = { kind: 'debian-registration', architecture: 'amd64', debs } as const
    const found = await list((await debianRegistrationKind.make(spec, { ...context, report })).blob)
    const text = found.get('usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders.cache')?.text ?? ''
    expect(text.match(/^"\/.*$/gm)).toEqual(
      ['bmp', 'gif'].map((name) => `"${loaders.slice(1)}/libpixbufloader-${name}.so"`),
    )
    expect(text).toMatch(/^"GIF8" "" 100\n\n\n$/m)
    expect(notes).toEqual([expect.stringContaining('settings (1) are not compiled')])
  })

  it('holds every folder above what it holds, those of the base with the mode that they have there', async () => {
    const found = await lay([{ package: 'a', members: [file('./var/mail/x'), file('./lib/y/z')] }], {
      keptFolders: { 'var/mail': { mode: 0o2775, uid: 0, gid: 8 } },
    })
    expect([...found.keys()]).toEqual(['var', 'var/mail', 'var/mail/x', 'usr', 'usr/lib', 'usr/lib/y', 'usr/lib/y/z'])
    expect(found.get('var/mail')).toMatchObject({ type: 'directory', mode: 0o2775, gid: 8 })
    expect(found.get('usr/lib')).toMatchObject({ type: 'directory', mode: 0o755, gid: 0 })
  })

  it('leaves out what the slim image leaves out, but for copyright files', async () => {
    const members = [
      './usr/share/doc/a/copyright',
      './usr/share/doc/a/changelog.gz',
      './usr/share/man/man1/a.1.gz',
      './usr/share/locale/de/a.mo',
      './usr/bin/a',
    ]
    const found = await lay([{ package: 'a', members: members.map((name) => file(name)) }], { leaveOut: 'slim' })
    expect(contents(found)).toEqual(['usr/share/doc/a/copyright', 'usr/bin/a'])
  })

  it('takes a file that two packages have from the one that replaces the other', async () => {
    const packages = [
      { package: 'a', members: [file('./usr/bin/x', 'old')] },
      { package: 'b', members: [file('./usr/bin/x', 'new')], replaces: ['a'] },
    ]
    expect((await lay(packages)).get('usr/bin/x')?.text).toBe('new')
    const quarrel = packages.map(({ package: name, members }) => ({ package: name, members }))
    await expect(lay(quarrel)).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('overwrites a file of a'),
    })
  })

  it('refuses what would leave the image or is no file', async () => {
    const hostile: Record<string, DebMember> = {
      'leaves its folder': file('../../etc/passwd'),
      'leaves its folder: usr/../../x': file('./usr/../../x'),
      'A hard link to a file that the package does not have': { name: './a', type: 'hardlink', target: '/etc/shadow' },
      'A path with a character': file('./a\nb'),
    }
    for (const [message, member] of Object.entries(hostile)) {
      await expect(lay([{ package: 'a', members: [member] }]), message).rejects.toMatchObject({
        code: 'ARCHIVE_INVALID',
        message: expect.stringContaining(message),
      })
    }
  })

  it('writes nothing through a link that a package brings', async () => {
    const found = await lay([
      { package: 'a', members: [{ name: './trap', type: 'symlink', target: '/etc' }, file('./trap/passwd', 'evil')] },
    ])
    expect(contents(found)).toEqual(['trap', 'etc/passwd'])
    const circle: DebMember[] = [
      { name: './x', type: 'symlink', target: 'y' },
      { name: './y', type: 'symlink', target: 'x' },
      file('./x/f'),
    ]
    await expect(lay([{ package: 'a', members: circle }])).rejects.toMatchObject({
      message: expect.stringContaining('circle'),
    })
  })

  it('refuses a package that is another than the lock says', async () => {
    const { debs, context } = store([{ package: 'a', version: '2' }])
    const layer = await debsKind.make(
      { kind: 'debs', leaveOut: 'nothing', debs: debs.map((deb) => ({ ...deb, version: '1' })) },
      context,
    )
    await expect(list(layer.blob)).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('it is a 2'),
    })
  })

  it('blames a download that is not the package, not what is odd in it, and keeps nothing that was learned of it', async () => {
    const { debs, context } = store([{ package: 'a', members: [file('./usr/a')] }])
    const other = makeDeb({ package: 'a', members: [file('./usr/b')] })
    const mismatch = new BuildError('DIGEST_MISMATCH', 'another file')
    for (const bytes of [other, other.subarray(0, 100)]) {
      const facts = memoryCache()
      const openPassing: LayerContext['openPassing'] = async () => ({
        ...randomAccess(bytes),
        prove: () => Promise.reject(mismatch),
      })
      const passing = { ...context, openPassing, facts: factsCache(facts) }
      const layer = await debsKind.make({ kind: 'debs', leaveOut: 'nothing', debs }, passing)
      await expect(list(layer.blob)).rejects.toBe(mismatch)
      expect(await passing.facts.get(debs[0]?.sha256 ?? '')).toBeUndefined()
    }
  })

  it('gives its table for lazy pulling to who wants it, the same as one made of the layer', async () => {
    const content = createHash('shake256', { outputLength: 6_000_000 }).update('x').digest().toString('latin1')
    const { debs, context } = store([{ package: 'a', members: [file('./usr/large', content), file('./usr/small')] }])
    const checks = makeCheckPool({ start: () => channelThread() }) ?? expect.unreachable()
    const kept: Buffer[] = []
    const keepZtoc: LayerContext['keepZtoc'] = async (_, ztoc) =>
      void kept.push(await collect(copied(readParts(ztoc)), 2 ** 25))
    const spec = { kind: 'debs', leaveOut: 'nothing', debs } as const
    const opened = await Store.open(await mkdtemp(join(tmpdir(), 'lw-debs-')))
    try {
      const layer = await materialise(spec, { ...context, checks, keepZtoc }, layerStore(opened))
      expect(kept).toHaveLength(1)
      const again = await collect(copied(readParts(await indexLayer(layer))), 2 ** 25)
      expect(again.equals(kept[0] ?? Buffer.alloc(0))).toBe(true)
    } finally {
      await checks.close()
      await rm(opened.folder, { recursive: true })
    }
  })

  it('is the same for any order of its packages', async () => {
    const { debs, context } = store(
      ['a', 'b', 'c'].map((name) => ({ package: name, members: [folder('./usr'), file(`./usr/${name}`)] })),
    )
    const digests = []
    for (const order of [debs, debs.toReversed()]) {
      const layer = await debsKind.make({ kind: 'debs', leaveOut: 'nothing', debs: order }, context)
      digests.push(
        createHash('sha256')
          .update(await collect(layer.blob, 1 << 24))
          .digest('hex'),
      )
    }
    expect(digests[0]).toBe(digests[1])
  })

  it('closes what it opened when it is given up', async () => {
    const { debs, context } = store(
      ['a', 'b', 'c'].map((name) => ({ package: name, members: [file(`./usr/${name}`)] })),
    )
    let open = 0
    const counting: LayerContext = {
      ...context,
      openRemote: async (remote) => {
        const opened = await context.openRemote(remote)
        open++
        return { ...opened, close: async () => void open-- }
      },
    }
    const layer = await debsKind.make({ kind: 'debs', debs, leaveOut: 'nothing' }, { ...counting, compression: 'none' })
    for await (const chunk of layer.blob) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect(open).toBe(0)
  })
})

const SYSTEM: Parameters<typeof store>[0] = [
  {
    package: 'base-files',
    members: [
      file('./usr/share/base-files/motd', 'hello\n'),
      file('./usr/share/base-files/dot.bashrc', 'PS1=$\n'),
      folder('./root', 0o700),
      file('./etc/dpkg/origins/debian'),
      file('./etc/host.conf', 'multi on\n'),
    ],
    controlFiles: { conffiles: '/etc/host.conf\n', md5sums: '5eb63bbbe01eeed093cb22bb8f5acdc3  usr/x\n' },
  },
  {
    package: 'base-passwd',
    members: [
      file('./usr/share/base-passwd/passwd.master', 'root:*:0:0:root:/root:/bin/bash\nnobody:*:65534:65534::/:/x\n'),
      file('./usr/share/base-passwd/group.master', 'root:*:0:\nshadow:*:42:\n'),
    ],
  },
  { package: 'passwd' },
  { package: 'openssh-client', controlFiles: { postinst: '#!/bin/sh\naddgroup --system _ssh\n' } },
  {
    package: 'libx1',
    fields: { 'Multi-Arch': 'same' },
    members: [folder('./usr'), folder('./usr/lib'), file('./usr/lib/libx.so.1')],
    controlFiles: { triggers: 'activate-noawait ldconfig\n' },
  },
  {
    package: 'libc-bin',
    members: [file('./etc/ld.so.conf', '')],
    controlFiles: { triggers: 'interest-noawait ldconfig\n' },
  },
  {
    package: 'mawk',
    members: [file('./usr/bin/mawk')],
    controlFiles: {
      postinst:
        'update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n  --slave /usr/bin/nawk nawk /usr/bin/mawk\n',
    },
  },
  { package: 'odd', controlFiles: { postinst: '#!/bin/sh\nset -e\nmake-world --better\n' } },
]

describe('debian-registration layer', () => {
  it('writes what dpkg and the scripts would have written', async () => {
    const { debs, context } = store(SYSTEM)
    const notes: string[] = []
    const layer = await debianRegistrationKind.make(
      { kind: 'debian-registration', architecture: 'amd64', debs, bootstrap: { suite: 'bookworm', leaveOut: 'slim' } },
      { ...context, report: (event) => event.type === 'note' && notes.push(event.text) },
    )
    const found = await list(layer.blob)
    const text = (path: string): string => found.get(path)?.text ?? `no ${path}`
    expect(text('var/lib/dpkg/status')).toContain('Package: base-files\nStatus: install ok installed\nVersion: 1\n')
    expect(text('var/lib/dpkg/status')).toContain(
      `Conffiles:\n /etc/host.conf ${createHash('md5').update('multi on\n').digest('hex')}\n`,
    )
    expect(text('var/lib/dpkg/info/libx1:amd64.list')).toBe('/.\n/usr\n/usr/lib\n/usr/lib/libx.so.1\n')
    expect(text('var/lib/dpkg/info/libx1:amd64.md5sums')).toContain('  usr/lib/libx.so.1\n')
    expect(found.get('var/lib/dpkg/info/odd.postinst')?.mode).toBe(0o755)
    expect(text('var/lib/dpkg/triggers/ldconfig')).toBe('libc-bin/noawait\n')
    expect(text('etc/motd')).toBe('hello\n')
    expect(text('root/.bashrc')).toBe('PS1=$\n')
    expect(found.get('root')).toMatchObject({ type: 'directory', mode: 0o700 })
    expect(found.get('var/run')).toMatchObject({ type: 'symlink', linkName: '/run' })
    expect(found.get('var/mail')).toMatchObject({ mode: 0o2775, gid: 8 })
    expect(text('etc/passwd')).toBe('root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/x\n')
    expect(text('etc/group')).toBe('root:x:0:\nshadow:x:42:\n_ssh:x:100:\n')
    expect(found.get('etc/shadow')).toMatchObject({ mode: 0o640, gid: 42 })
    expect(found.get('etc/alternatives/awk')?.linkName).toBe('/usr/bin/mawk')
    expect(found.get('usr/bin/nawk')?.linkName).toBe('/etc/alternatives/nawk')
    expect(text('etc/dpkg/dpkg.cfg.d/docker')).toBe('no etc/dpkg/dpkg.cfg.d/docker')
    expect(notes).toEqual(['The postinst of odd was not run: make-world --better'])
  })

  it('holds every folder above what it holds, with the mode that packages or the base give it', async () => {
    const { debs, context } = store(SYSTEM)
    const spec = { kind: 'debian-registration', architecture: 'amd64', debs } as const
    const keptFolders = { 'etc/alternatives': { mode: 0o750, uid: 0, gid: 5 } }
    const found = await list((await debianRegistrationKind.make({ ...spec, keptFolders }, context)).blob)
    for (const path of found.keys()) {
      const slash = path.lastIndexOf('/')
      if (slash > 0) expect(found.get(path.slice(0, slash))?.type, path).toBe('directory')
    }
    expect(found.get('etc/alternatives')).toMatchObject({ mode: 0o750, gid: 5 })
    expect(found.get('etc')).toMatchObject({ mode: 0o755, gid: 0 })
  })

  it('leaves a file alone that took the place of one of an upgraded package', async () => {
    const { debs, context } = store([
      { package: 'a', version: '2', members: [file('./usr/bin/tool'), folder('./usr/share/a/')] },
    ])
    const base = new Map([
      ['var/lib/dpkg/status', 'Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n'],
      ['var/lib/dpkg/info/a:amd64.list', '/.\n/usr\n/usr/bin\n/usr/bin/gone\n/usr/bin/old\n/usr/bin/tool\n'],
      ['var/lib/dpkg/info/a.list', '/.\n/usr\n/usr/bin\n/usr/bin/gone\n/usr/bin/old\n/usr/bin/tool\n'],
      ['var/lib/dpkg/diversions', '/bin/tool\n/bin/tool.real\nvendor\n/bin/old\n/bin/old.real\nvendor\n'],
    ])
    const packed = packBaseFiles(new Map([...base].map(([path, text]) => [path, Buffer.from(text)])))
    const layer = await debianRegistrationKind.make(
      { kind: 'debian-registration', architecture: 'amd64', debs, base: packed, baseLinks: { bin: 'usr/bin' } },
      context,
    )
    const removed = [...(await list(layer.blob)).keys()].filter((path) => path.includes('.wh.'))
    expect(removed.sort()).toEqual(['usr/bin/.wh.gone', 'usr/bin/.wh.old.real'])
  })

  it('opens no package whose facts are kept from an earlier build', async () => {
    const facts = factsCache(memoryCache())
    const spec = { kind: 'debian-registration', architecture: 'amd64' } as const
    const first = store(SYSTEM)
    const made = await list(
      (await debianRegistrationKind.make({ ...spec, debs: first.debs }, { ...first.context, facts })).blob,
    )
    const closed: LayerContext = {
      ...first.context,
      openRemote: () => Promise.reject(new TypeError('A package was opened')),
      facts,
    }
    const again = await list((await debianRegistrationKind.make({ ...spec, debs: first.debs }, closed)).blob)
    expect(again).toEqual(made)
  })

  it('reads each package once when it is made beside the layer that lays them down', async () => {
    const { debs, context } = store(SYSTEM)
    let opened = 0
    const counting: LayerContext = {
      ...context,
      openRemote: async (remote) => {
        opened++
        return context.openRemote(remote)
      },
    }
    const laying = await debsKind.make({ kind: 'debs', debs, leaveOut: 'nothing' }, { ...counting })
    const registering = await debianRegistrationKind.make(
      { kind: 'debian-registration', architecture: 'amd64', debs },
      { ...counting },
    )
    await Promise.all([list(registering.blob), list(laying.blob)])
    expect(opened).toBe(debs.length)
  })

  it('reads packages itself when the layer that would have laid them down was given up', async () => {
    const { debs, context } = store(SYSTEM)
    const laying = await debsKind.make({ kind: 'debs', debs, leaveOut: 'nothing' }, { ...context, compression: 'none' })
    const registering = await debianRegistrationKind.make(
      { kind: 'debian-registration', architecture: 'amd64', debs },
      { ...context },
    )
    const giveUp = async (): Promise<void> => {
      for await (const chunk of laying.blob) if (chunk.length > 0) break
    }
    const [found] = await Promise.all([list(registering.blob), giveUp()])
    expect(found.has('var/lib/dpkg/status')).toBe(true)
  })

  it('gives the same bytes again, whether or not the packages were laid down before', async () => {
    const { debs, context } = store(SYSTEM)
    const spec = { kind: 'debian-registration', architecture: 'amd64', debs } as const
    const fresh = await collect((await debianRegistrationKind.make(spec, context)).blob, 1 << 24)
    const second = store(SYSTEM)
    await list((await debsKind.make({ kind: 'debs', debs: second.debs, leaveOut: 'nothing' }, second.context)).blob)
    const after = await collect((await debianRegistrationKind.make(spec, second.context)).blob, 1 << 24)
    expect(sha256(after)).toBe(sha256(fresh))
  })
})

it('a package that fails while the one before it is laid down is told when its turn comes, not as an uncaught error', async () => {
  const { debs, context } = store([
    { package: 'a', members: [file('./a')] },
    { package: 'b', members: [file('./b')] },
  ])
  const stopped = new Error('stopped')
  const openRemote: LayerContext['openRemote'] = (source) =>
    source.sha256 === debs[1]?.sha256 ? Promise.reject(stopped) : context.openRemote(source)
  const uncaught: unknown[] = []
  const note = (error: unknown): void => void uncaught.push(error)
  process.on('unhandledRejection', note)
  try {
    const entries = debEntries({ kind: 'debs', debs, leaveOut: 'nothing' }, { ...context, openRemote })
    await entries.next()
    await new Promise((resolve) => setTimeout(resolve, 50))
    await expect(
      (async () => {
        for await (const entry of entries) void entry
      })(),
    ).rejects.toBe(stopped)
    expect(uncaught).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})

it('a registration is known again by the files of its base, whichever zlib packed them', () => {
  const files = new Map([['etc/passwd', Buffer.from('root:x:0:0\n'.repeat(50))]])
  const base = packBaseFiles(files)
  const spec = { kind: 'debian-registration', architecture: 'amd64', debs: [], base } as const
  const other = gzipSync(gunzipSync(Buffer.from(base, 'base64')), { level: 1 }).toString('base64')
  expect(other).not.toBe(base)
  expect(layerKey({ ...spec, base: other })).toBe(layerKey(spec))
  expect(layerKey({ ...spec, base: packBaseFiles(new Map([['etc/group', Buffer.alloc(9)]])) })).not.toBe(layerKey(spec))
})
