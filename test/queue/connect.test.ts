import { ErrorReply } from '@redis/client'
import { expect, test } from 'vitest'
import { explainRefusal } from '../../src/queue/connect.ts'

test.each([
  ["OOM command not allowed when used memory > 'maxmemory'.", 'NETWORK_FAILED', 'maxmemory'],
  ['MISCONF Redis is configured to save RDB snapshots', 'NETWORK_FAILED', 'disk'],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'USAGE', '--queue'],
  ["NOPERM User u has no permissions to run the 'eval' command", 'USAGE', 'rights'],
])('explainRefusal() of %s', (message, code, hint) => {
  const error = explainRefusal(new ErrorReply(message))
  expect(error).toMatchObject({ code, hint: expect.stringContaining(hint) as string })
  expect((error as Error).message).toContain(message)
})

test('explainRefusal() leaves our own faults alone', () => {
  const fault = new TypeError('x')
  expect(explainRefusal(fault)).toBe(fault)
})
