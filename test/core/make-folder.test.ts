import { existsSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { directoryStorage } from '../../registry/server/directory-storage.ts'
import { makeFolder } from '../../src/core/make-folder.ts'
import { layoutDestination } from '../../src/destinations/oci-layout.ts'
import { initProject } from '../../src/init/init.ts'

let folder = ''
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'lw-folder-'))))
afterEach(() => rm(folder, { recursive: true }))

test('makeFolder() makes what is missing, once for all who ask at the same time', async () => {
  const path = join(folder, 'a/b/c')
  await Promise.all(Array.from({ length: 8 }, () => makeFolder(path)))
  expect((await stat(path)).isDirectory()).toBe(true)
})

test('makeFolder() gives what it makes a mode, and leaves what is there', async () => {
  const path = join(folder, 'a/b')
  await makeFolder(path, 0o700)
  await makeFolder(path)
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o700)
})

test('makeFolder() refuses a path through a file, and a file', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(makeFolder(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(makeFolder(join(folder, 'file/below'))).rejects.toMatchObject({ code: 'ENOTDIR' })
})

// Node 20's own `recursive` never ends there.
test.skipIf(!existsSync('/proc/self'))(
  'a place where no folder can be made is refused, not tried for ever',
  async () => {
    for (const path of ['/proc/layerwright/a', '/proc/self/layerwright/a/b']) {
      await expect(makeFolder(path)).rejects.toMatchObject({ code: 'ENOENT', syscall: 'mkdir' })
    }
    const uses = [
      async () => layoutDestination('/proc/layerwright', 'app').prepare?.([]),
      () => directoryStorage('/proc/layerwright'),
      () => initProject('/proc/layerwright'),
    ]
    for (const use of uses)
      await expect(use()).rejects.toMatchObject({
        code: 'FILE_UNWRITABLE',
        message: expect.stringContaining('/proc/layerwright') as string,
      })
  },
)
