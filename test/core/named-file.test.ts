import { existsSync } from 'node:fs'
import { lstat, mkdir, mkdtemp, open, readFile, readlink, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeNamedFile } from '../../src/core/named-file.ts'
import { mustRun } from '../support/command.ts'

let folder = ''
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'lw-named-'))))
afterEach(() => rm(folder, { recursive: true }))

test('writeNamedFile() writes a new file, and replaces one that is there', async () => {
  const path = join(folder, 'deep/new')
  await writeNamedFile(path, 'first and longer')
  await writeNamedFile(path, 'second')
  expect(await readFile(path, 'utf8')).toBe('second')
  expect(await readdir(join(folder, 'deep'))).toEqual(['new'])
})

test.skipIf(process.platform === 'win32')(
  'writeNamedFile() keeps a symbolic link and replaces what is behind it',
  async () => {
    await mkdir(join(folder, 'kept'))
    await writeFile(join(folder, 'kept/file'), 'before')
    await symlink('kept/file', join(folder, 'link'))
    await writeNamedFile(join(folder, 'link'), 'after')
    expect(await readlink(join(folder, 'link'))).toBe('kept/file')
    expect(await readFile(join(folder, 'kept/file'), 'utf8')).toBe('after')
    await symlink('kept/new', join(folder, 'dangling'))
    await writeNamedFile(join(folder, 'dangling'), 'made')
    expect(await readlink(join(folder, 'dangling'))).toBe('kept/new')
    expect(await readFile(join(folder, 'kept/new'), 'utf8')).toBe('made')
  },
)

test.skipIf(process.platform === 'win32')('writeNamedFile() writes into a pipe, which stays one', async () => {
  const path = join(folder, 'pipe')
  await mustRun('mkfifo', [path])
  const [read] = await Promise.all([readFile(path, 'utf8'), writeNamedFile(path, 'words')])
  expect(read).toBe('words')
  expect((await lstat(path)).isFIFO()).toBe(true)
})

test.skipIf(!existsSync('/dev/full'))(
  'writeNamedFile() tells that a device takes nothing, and leaves it there',
  async () => {
    // Behind a link, so that a device of this machine is not what is replaced where this fails.
    const path = join(folder, 'device')
    await symlink('/dev/full', path)
    await expect(writeNamedFile(path, 'words')).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect((await lstat(path)).isSymbolicLink()).toBe(true)
  },
)

test.skipIf(!existsSync('/proc/self/fd'))('writeNamedFile() goes on where an open file is', async () => {
  const file = await open(join(folder, 'open'), 'w')
  try {
    await file.write('before ')
    await writeNamedFile(`/proc/self/fd/${file.fd}`, 'between')
    await file.write(' after')
  } finally {
    await file.close()
  }
  expect(await readFile(join(folder, 'open'), 'utf8')).toBe('before between after')
})
