import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { programVersion } from '../../src/core/version.ts'

test('programVersion() is the one that the launcher tells as its own', async () => {
  const launcher = await readFile(new URL('../../python/launcher/__init__.py', import.meta.url), 'utf8')
  expect(/^VERSION = "(.+)"$/m.exec(launcher)?.[1]).toBe(programVersion())
})
