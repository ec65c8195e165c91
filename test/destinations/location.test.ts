import { expect, test } from 'vitest'
import { formatLocation, parseLocation } from '../../src/destinations/location.ts'

test.each([
  ['oci:out', { kind: 'oci', path: 'out', tag: undefined }],
  ['oci:out/a:v1', { kind: 'oci', path: 'out/a', tag: 'v1' }],
  ['oci-archive:a.tar:v1', { kind: 'oci-archive', path: 'a.tar', tag: 'v1' }],
  ['docker-archive:a.tar', { kind: 'docker-archive', path: 'a.tar', tag: undefined }],
  ['docker-archive:a.tar:model:v1', { kind: 'docker-archive', path: 'a.tar', tag: 'model:v1' }],
  [
    'docker-archive:a.tar:localhost:5000/model:v1',
    { kind: 'docker-archive', path: 'a.tar', tag: 'localhost:5000/model:v1' },
  ],
  ['oci:C:\\images:v1', { kind: 'oci', path: 'C:\\images', tag: 'v1' }],
  ['oci:C:/images', { kind: 'oci', path: 'C:/images', tag: undefined }],
])('parseLocation() %s', (text, expected) => {
  expect(parseLocation(text)).toEqual(expected)
  expect(parseLocation(formatLocation(parseLocation(text)))).toEqual(expected)
})

test.each(['docker://ubuntu:22.04', 'ubuntu:22.04', 'docker.io/library/ubuntu:22.04'])(
  'parseLocation() %s is a registry',
  (text) => {
    const location = parseLocation(text)
    expect(formatLocation(location)).toBe('docker://docker.io/library/ubuntu:22.04')
    expect(parseLocation(formatLocation(location))).toEqual(location)
  },
)

test.each([
  ['oci:', 'REFERENCE_INVALID'],
  ['oci:out:a/b', 'REFERENCE_INVALID'],
  ['../out', 'REFERENCE_INVALID'],
  ['/out/x.tar', 'REFERENCE_INVALID'],
  ['oci::v1', 'REFERENCE_INVALID'],
  ['docker:ubuntu:22.04', 'REFERENCE_INVALID'],
  ['docker://Ubuntu', 'REFERENCE_INVALID'],
  ['docker-archive:a.tar:Not A Name', 'REFERENCE_INVALID'],
  ['docker-daemon:ubuntu:22.04', 'NOT_SUPPORTED'],
  ['dir:/tmp/x', 'NOT_SUPPORTED'],
  ['', 'REFERENCE_INVALID'],
])('parseLocation() refuses %j', (text, code) => {
  expect(() => parseLocation(text)).toThrow(expect.objectContaining({ code }))
})
