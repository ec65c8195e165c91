import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openBytes } from '../../src/core/bytes.ts'
import { applyLayer } from '../../src/run/unpack/apply-layer.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { dir, file, hardlink, symlink, tar, type TestEntry } from './tar-builder.ts'

/*
 * The escapes that other people's unpackers are known by, under their names: containerd `pkg/archive/tar_test.go`
 * (TestBreakouts) and umoci `oci/layer/tar_extract_test.go` (sanitising, scoping, whiteouts, hard links).
 * The inputs and outcomes follow those tables; each is checked for leaving the surroundings untouched as well.
 */

let outside: string
let root: string

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'lw-breakout-'))
  root = join(outside, 'rootfs')
  mkdirSync(root)
  writeFileSync(join(outside, 'file'), 'host content')
  chmodSync(join(outside, 'file'), 0o640)
})
afterEach(() => removeTree(outside))

const apply = (entries: readonly TestEntry[]) =>
  applyLayer(root, openBytes(tar(...entries))(), {
    keepOwners: process.getuid?.() === 0,
    alone: false,
    maxEntries: 1000,
  })

const put = (path: string, data: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), data)
}
const etcPasswd = (): void => put('etc/passwd', 'inside')
const inode = (path: string): number => lstatSync(join(root, path)).ino
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const sameFile = (a: string, b: string) => (): void => expect(inode(a)).toBe(inode(b))
const unbroken = (): void => expect(read('etc/unbroken')).toBe('unbroken')

interface Case {
  readonly name: string
  readonly before?: () => void
  readonly entries: readonly TestEntry[]
  readonly after?: () => void
  readonly refused?: boolean
}

const passwd = [dir('etc', 0o770), file('/etc/passwd', 'inside')]
const localetc = (): void => {
  put('etc/passwd', 'all users')
  put('etc/whitedout', 'ahhhh whiteout')
  symlinkSync('/etc', join(root, 'localetc'))
}

const containerd: readonly Case[] = [
  {
    name: 'SymlinkAbsolute',
    entries: [dir('etc'), symlink('/etc', 'localetc'), file('/localetc/unbroken', 'unbroken')],
    after: unbroken,
  },
  {
    name: 'SymlinkUpAndOut',
    entries: [dir('etc'), dir('dummy'), symlink('/dummy/../etc', 'localetc'), file('/localetc/unbroken', 'unbroken')],
    after: unbroken,
  },
  {
    name: 'SymlinkMultipleAbsolute',
    entries: [
      dir('etc'),
      dir('dummy'),
      symlink('/etc', '/dummy/etc'),
      symlink('/dummy/etc', 'localetc'),
      file('/dummy/etc/unbroken', 'unbroken'),
    ],
    after: unbroken,
  },
  {
    name: 'SymlinkMultipleRelative',
    entries: [
      dir('etc'),
      dir('dummy'),
      symlink('/etc', '/dummy/etc'),
      symlink('./dummy/etc', 'localetc'),
      file('/dummy/etc/unbroken', 'unbroken'),
    ],
    after: unbroken,
  },
  {
    name: 'SymlinkEmptyFile',
    entries: [dir('etc'), file('etc/emptied', 'notempty'), symlink('/etc', 'localetc'), file('/localetc/emptied')],
    after: () => expect(read('etc/emptied')).toBe(''),
  },
  {
    name: 'HardlinkRelative',
    entries: [
      ...passwd,
      dir('breakouts'),
      symlink('../../etc', 'breakouts/d1'),
      hardlink('/breakouts/d1/passwd', 'breakouts/mypasswd'),
    ],
    after: sameFile('breakouts/mypasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkDownAndOut',
    entries: [
      ...passwd,
      dir('breakouts'),
      dir('downandout'),
      symlink('../downandout/../../etc', 'breakouts/d1'),
      hardlink('/breakouts/d1/passwd', 'breakouts/mypasswd'),
    ],
    after: sameFile('breakouts/mypasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkAbsolute',
    entries: [...passwd, symlink('/etc', 'localetc'), hardlink('/localetc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkRelativeLong',
    entries: [...passwd, symlink('../../../../../../../etc', 'localetc'), hardlink('/localetc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkRelativeUpAndOut',
    entries: [...passwd, symlink('upandout/../../../etc', 'localetc'), hardlink('/localetc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkDirectRelative',
    entries: [...passwd, hardlink('../../../../../etc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'HardlinkDirectAbsolute',
    entries: [...passwd, hardlink('/etc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkParentDirectory',
    entries: [...passwd, symlink('/etc/', '..'), hardlink('/etc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkEmptyFilename',
    entries: [...passwd, symlink('/etc/', ''), hardlink('/etc/passwd', 'localpasswd')],
    after: sameFile('localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkParentRelative',
    entries: [...passwd, symlink('/etc/', 'localetc/sub/..'), hardlink('/etc/passwd', '/localetc/localpasswd')],
    after: sameFile('etc/localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkSlashEnded',
    entries: [...passwd, dir('localetc/', 0o770), hardlink('/etc/passwd', '/localetc/localpasswd')],
    after: sameFile('localetc/localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkOverrideDirectory',
    before: () => {
      etcPasswd()
      mkdirSync(join(root, 'localetc'))
    },
    entries: [symlink('/etc', 'localetc'), hardlink('/etc/passwd', '/localetc/localpasswd')],
    after: sameFile('etc/localpasswd', 'etc/passwd'),
  },
  {
    name: 'SymlinkOverrideDirectoryRelative',
    before: () => {
      etcPasswd()
      mkdirSync(join(root, 'localetc'))
    },
    entries: [symlink('../../etc', 'localetc'), hardlink('/etc/passwd', '/localetc/localpasswd')],
    after: sameFile('etc/localpasswd', 'etc/passwd'),
  },
  {
    name: 'DirectoryOverrideSymlink',
    before: () => {
      etcPasswd()
      symlinkSync('/etc', join(root, 'localetc'))
    },
    entries: [dir('/localetc/'), hardlink('/etc/passwd', '/localetc/localpasswd')],
    after: () => {
      expect(lstatSync(join(root, 'localetc')).isDirectory()).toBe(true)
      sameFile('localetc/localpasswd', 'etc/passwd')()
    },
  },
  {
    name: 'DirectoryOverrideSymlinkAndHardlink',
    before: () => {
      etcPasswd()
      symlinkSync('etc', join(root, 'localetc'))
      linkSync(join(root, 'etc/passwd'), join(root, 'localetc/localpasswd'))
    },
    entries: [dir('/localetc/'), file('/localetc/localpasswd', 'different')],
    after: () => {
      expect(inode('localetc/localpasswd')).not.toBe(inode('etc/passwd'))
      expect(read('etc/passwd')).toBe('inside')
    },
  },
  { name: 'WhiteoutRootParent', before: etcPasswd, entries: [file('.wh...')], refused: true },
  { name: 'WhiteoutParent', before: etcPasswd, entries: [file('etc/.wh...')], refused: true },
  { name: 'WhiteoutRoot', before: etcPasswd, entries: [file('.wh..')], refused: true },
  { name: 'WhiteoutCurrentDirectory', before: etcPasswd, entries: [file('etc/.wh..')], refused: true },
  {
    name: 'WhiteoutSymlink',
    before: localetc,
    entries: [file('.wh.localetc')],
    after: () => {
      expect(read('etc/passwd')).toBe('all users')
      expect(existsSync(join(root, 'localetc'))).toBe(false)
    },
  },
  {
    name: 'WhiteoutSymlinkPath',
    before: localetc,
    entries: [file('localetc/.wh.whitedout')],
    after: () => {
      expect(read('etc/passwd')).toBe('all users')
      expect(existsSync(join(root, 'etc/whitedout'))).toBe(false)
    },
  },
  {
    name: 'WhiteoutDirectoryName',
    before: localetc,
    entries: [file('.wh.etc/somefile', 'non-empty')],
    after: () => {
      expect(read('etc/passwd')).toBe('all users')
      expect(read('.wh.etc/somefile')).toBe('non-empty')
    },
  },
  {
    name: 'WhiteoutDeadSymlinkParent',
    before: () => {
      etcPasswd()
      symlinkSync('/dne', join(root, 'localetc'))
    },
    entries: [file('localetc/.wh.etc')],
    after: () => expect(read('etc/passwd')).toBe('inside'),
  },
  {
    name: 'WhiteoutRelativePath',
    before: () => {
      etcPasswd()
      symlinkSync('/dne', join(root, 'localetc'))
    },
    entries: [file('dne/../.wh.etc')],
    after: () => expect(existsSync(join(root, 'etc'))).toBe(false),
  },
  {
    name: 'HardlinkSymlinkBeforeCreateTarget',
    entries: [
      dir('etc', 0o770),
      symlink('/etc/passwd', 'localpasswd'),
      hardlink('localpasswd', 'localpasswd-dup'),
      file('/etc/passwd', 'after'),
    ],
    after: () => {
      sameFile('localpasswd-dup', 'localpasswd')()
      expect(readlinkSync(join(root, 'localpasswd-dup'))).toBe('/etc/passwd')
      expect(read('etc/passwd')).toBe('after')
    },
  },
  ...(['../../../../../etc/passwd', '/etc/passwd'] as const).map((target) => ({
    name: target.startsWith('/') ? 'HardlinkSymlinkAbsolute' : 'HardlinkSymlinkRelative',
    entries: [...passwd, symlink(target, 'passwdlink'), hardlink('/passwdlink', 'localpasswd')],
    after: (): void => {
      sameFile('localpasswd', 'passwdlink')()
      expect(readlinkSync(join(root, 'localpasswd'))).toBe(target)
    },
  })),
]

describe('containerd TestBreakouts', () => {
  test.each(containerd)('$name', async ({ before, entries, after, refused }) => {
    before?.()
    const applied = apply(entries)
    if (refused === true) {
      await expect(applied).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
      expect(read('etc/passwd')).toBe('inside')
    } else {
      await applied
      after?.()
    }
    surroundingsAreUntouched()
  })

  test('HardlinkSymlinkChmod', async () => {
    const target = join(outside, 'perm400')
    const name = join(outside, 'also-exists-outside-root')
    writeFileSync(target, '...')
    chmodSync(target, 0o400)
    writeFileSync(name, '...', { mode: 0o640 })
    await apply([symlink(target, name), { ...hardlink(name, 'sketchylink'), mode: 0o777 }])
    expect(lstatSync(target).mode & 0o777).toBe(0o400)
    expect(lstatSync(name).isFile()).toBe(true)
    expect(lstatSync(join(root, 'sketchylink')).isSymbolicLink()).toBe(true)
  })

  // Theirs has 33 names, of which four are appended where the system is not Darwin; a search for "name" in their table finds
  // 34 lines, as the field's declaration is one.
  test('the table holds every case of theirs', () => {
    expect(new Set([...containerd.map(({ name }) => name), 'HardlinkSymlinkChmod']).size).toBe(33)
  })
})

describe('umoci TestUnpackEntrySanitiseScoping and TestUnpackEntrySymlinkScoping', () => {
  test.each(['/..', '..'])('an entry below %s stays inside', async (prefix) => {
    await apply([file(`${prefix}/file`, 'container content')])
    expect(read('file')).toBe('container content')
    surroundingsAreUntouched()
  })

  test.each(['/', '/../', '/../../../../../../../../', '/./.././.././.././.././.././../', '..'])(
    'an entry below a link to %s stays inside',
    async (target) => {
      symlinkSync(target, join(root, 'link'))
      await apply([file('link/file', 'container content')])
      expect(read('file')).toBe('container content')
      surroundingsAreUntouched()
    },
  )

  test('TestUnpackEntryParentDir: missing parents are made', async () => {
    await apply([file('a/b/c/file', 'x')])
    expect(read('a/b/c/file')).toBe('x')
  })

  test('TestUnpackEntryNonDirParent: a file gives way to the directory below which entries lie', async () => {
    await apply([file('nondir', 'x'), file('nondir/foo/bar/baz', 'y')])
    expect(read('nondir/foo/bar/baz')).toBe('y')
  })
})

describe('umoci TestUnpackEntryWhiteout', () => {
  const cases = ['rootpath', '.hiddenroot', 'some/path/file', 'another/path/.hiddenfile'].flatMap((path) => [
    { path, isDirectory: false },
    { path, isDirectory: true },
  ])
  test.each(cases)(
    '$path (directory: $isDirectory) goes, its parent keeps its times',
    async ({ path, isDirectory }) => {
      if (isDirectory) {
        put(`${path}/file1`, 'some value')
        put(`${path}/.subdir/file3`, 'some value')
      } else put(path, 'some value')
      const parent = dirname(join(root, path))
      const { utimesSync } = await import('node:fs')
      utimesSync(parent, 789, 123)
      const slash = path.lastIndexOf('/')
      await apply([file(`${path.slice(0, slash + 1)}.wh.${path.slice(slash + 1)}`)])
      expect(existsSync(join(root, path))).toBe(false)
      expect(statSync(parent).mtimeMs).toBe(123_000)
      expect(statSync(parent).atimeMs).toBe(789_000)
    },
  )

  test('TestUnpackOpaqueWhiteout: lower contents go, those of this layer stay, before and after it', async () => {
    put('dir/lower', 'x')
    put('dir/sub/lower', 'x')
    await apply([dir('dir'), file('dir/early', 'a'), file('dir/.wh..wh..opq'), file('dir/late', 'b')])
    expect(existsSync(join(root, 'dir/lower'))).toBe(false)
    expect(existsSync(join(root, 'dir/sub'))).toBe(false)
    expect(read('dir/early') + read('dir/late')).toBe('ab')
  })

  test('an opaque directory behind a link clears what lies inside the root', async () => {
    put('real/lower', 'x')
    symlinkSync('/real', join(root, 'dir'))
    await apply([file('dir/.wh..wh..opq')])
    expect(existsSync(join(root, 'real/lower'))).toBe(false)
    surroundingsAreUntouched()
  })
})

test('umoci TestUnpackHardlink: links share the file, and their own owner and mode are not applied', async () => {
  await apply([
    file('regular', 'content', 0o600),
    { ...hardlink('/regular', 'hard link'), uid: 1337, mode: 0o777 },
    symlink('../../../regular', 'link'),
    { ...hardlink('../../../link', 'hard link to symlink'), uid: 1337 },
  ])
  expect(inode('hard link')).toBe(inode('regular'))
  expect(inode('hard link to symlink')).toBe(inode('link'))
  expect(lstatSync(join(root, 'regular')).mode & 0o777).toBe(0o600)
  expect(lstatSync(join(root, 'regular')).uid).toBe(process.getuid?.())
})

test('a layer of links to links without end is refused', async () => {
  const applied = apply([symlink('b', 'a'), symlink('a', 'b'), file('a/x', 'y')])
  await expect(applied).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
})

test('a hard link to nothing names both paths', async () => {
  await expect(apply([hardlink('missing', 'name')])).rejects.toThrow(/`missing`.*`name`/)
})

function surroundingsAreUntouched(): void {
  expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('host content')
  expect(lstatSync(join(outside, 'file')).mode & 0o777).toBe(0o640)
  rmSync(join(outside, 'file'))
  expect(lstatSync(outside).isDirectory()).toBe(true)
  expect(existsSync(join(outside, 'etc'))).toBe(false)
  expect(existsSync(join(outside, 'unbroken'))).toBe(false)
}
