import { ErrorReply } from '@redis/client'
import { expect, test } from 'vitest'
import { explainFailure, explainRefusal } from '../../src/queue/connect.ts'

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

test.each([
  ['connect ECONNREFUSED 127.0.0.1:9', 'NETWORK_FAILED', 'rediss'],
  ['getaddrinfo ENOTFOUND queue.nowhere.invalid', 'HOST_NOT_FOUND', 'name'],
  ['80FC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number', 'TLS_FAILED', 'redis://'],
  ['self-signed certificate in certificate chain', 'CERTIFICATE_INVALID', 'ssl_ca_certs'],
  ['unable to get local issuer certificate', 'CERTIFICATE_INVALID', 'ssl_ca_certs'],
  [
    '40F7:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required',
    'CREDENTIALS_INVALID',
    'ssl_certfile',
  ],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'CREDENTIALS_INVALID', 'password'],
])('explainFailure() of %s', (reason, code, hint) => {
  expect(explainFailure({ isTls: false }, reason)).toEqual({ code, hint: expect.stringContaining(hint) as string })
})
