import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { readSourceTexts } from '../../../src/build/source/source-texts.ts'
import { randomAccess } from '../../support/random-access.ts'
import { makeZip } from '../../support/zip.ts'
import { dir, file, tar } from '../../run/tar-builder.ts'

const members = [
  ['a-1.0/PKG-INFO', 'top'],
  ['a-1.0/pyproject.toml', '[project]'],
  ['a-1.0/a.egg-info/PKG-INFO', 'egg'],
  ['a-1.0/sub/PKG-INFO', 'sub'],
] as const

const archives: readonly (readonly [string, Buffer])[] = [
  ['a packed tar', gzipSync(tar(dir('a-1.0/'), ...members.map(([name, text]) => file(name, text))))],
  ['a plain tar', tar(...members.map(([name, text]) => file(name, text)))],
  ['a zip', makeZip(members.map(([name, content]) => ({ name, content })))],
]

it.each(archives)('readSourceTexts() finds the files at the top of %s', async (_, bytes) => {
  const texts = await readSourceTexts(randomAccess(bytes), 'a', true, undefined)
  expect(texts).toEqual({ pkgInfo: 'top', pyproject: '[project]' })
})

it.each(archives)('readSourceTexts() finds those of a folder below in %s', async (_, bytes) => {
  expect(await readSourceTexts(randomAccess(bytes), 'a', true, 'sub')).toEqual({ pkgInfo: 'sub', pyproject: undefined })
})

it('readSourceTexts() finds those of a tree without a top folder', async () => {
  const bytes = tar(file('./PKG-INFO', 'root'), file('x/PKG-INFO', 'x'))
  expect(await readSourceTexts(randomAccess(bytes), 'a', false, undefined)).toMatchObject({ pkgInfo: 'root' })
})

it('readSourceTexts() refuses an archive that is broken', async () => {
  const bytes = gzipSync(tar(file('a/PKG-INFO', 'x'.repeat(5000)))).subarray(0, 60)
  await expect(readSourceTexts(randomAccess(bytes), 'a', true, undefined)).rejects.toMatchObject({
    code: 'ARCHIVE_INVALID',
  })
})
