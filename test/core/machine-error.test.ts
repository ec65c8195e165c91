import { expect, test } from 'vitest'
import { BuildError } from '../../src/core/errors.ts'
import { explainMachineError } from '../../src/core/machine-error.ts'

const ofSystem = (code: string): Error => Object.assign(new Error(`${code}: of the system`), { code })

test.each([
  ['EMFILE', 'HOST_UNSUPPORTED', 'ulimit -n'],
  ['ENOSPC', 'DISK_FULL', 'LAYERWRIGHT_CACHE'],
  ['EIO', 'FILE_UNREADABLE', 'dmesg'],
])('explainMachineError() makes of %s what a user can act on', (code, own, hint) => {
  const cause = ofSystem(code)
  const found = explainMachineError(cause)
  expect(found).toMatchObject({ code: own, hint: expect.stringContaining(hint) as string, cause })
})

test('explainMachineError() leaves other errors as they are', () => {
  const ours = new BuildError('USAGE', 'no such option', { cause: ofSystem('EMFILE') })
  for (const error of [ours, ofSystem('ENOENT'), new TypeError('a fault'), undefined])
    expect(explainMachineError(error)).toBe(error)
})
