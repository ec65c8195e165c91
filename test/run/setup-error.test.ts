import { expect, test } from 'vitest'
import { setupError } from '../../src/run/predict/model-server.ts'

const trace =
  'Traceback (most recent call last):\n  File "/src/predict.py", line 4\nOSError: libgomp.so.1: no such file\n'
const what = 'The setup of the model failed'

test('setupError() repeats no traceback that was shown, and hands the hint on', () => {
  const logs = `loading\n${trace}\nhint: Add \`libgomp1\`.\n`
  const error = setupError({ what, logs }, `[error] Setup failed: OSError: libgomp.so.1: no such file\n${logs}`)
  expect(error).toMatchObject({
    code: 'RUN_FAILED',
    message: `${what}: OSError: libgomp.so.1: no such file`,
    hint: 'Add `libgomp1`.',
    data: { logs: logs.trim() },
  })
})

test('setupError() tells all of a setup that printed nothing', () => {
  const error = setupError({ what, logs: trace }, 'starting\n')
  expect(error.message).toBe(`${what}:\n${trace.trimEnd()}`)
  expect(error.hint).toBeUndefined()
})

test('setupError() takes the last line of a container that ended, and does without any', () => {
  expect(setupError({ what: 'The container ended' }, 'one\ntwo\n').message).toBe('The container ended: two')
  expect(setupError({ what: 'The container ended' }, '').message).toBe('The container ended')
})
