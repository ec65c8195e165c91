import { describe, expect, it } from 'vitest'
import { parseContentRange, parseRange } from '../../../registry/server/byte-range.ts'
import { isRepositoryName, isTag } from '../../../registry/server/names.ts'
import { parseRoute } from '../../../registry/server/route.ts'

describe('isRepositoryName()', () => {
  it.each(['a', 'library/ubuntu', 'a.b/c__d/e--f', '0', 'a/manifests/b', 'uploads', 'a'.repeat(255)])(
    'accepts %s',
    (name) => {
      expect(isRepositoryName(name)).toBe(true)
    },
  )
  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a_',
    '-a',
    'a..b',
    'a/../b',
    '..',
    '.',
    'a\\b',
    'a b',
    'a\0',
    'ä',
    '%2e%2e',
    '.uploads',
    '.lock',
    'blobs',
    'a/blobs',
    'a/index.json',
    'oci-layout/a',
    'a'.repeat(256),
  ])('refuses %j', (name) => {
    expect(isRepositoryName(name)).toBe(false)
  })
})

describe('isTag()', () => {
  it.each(['latest', 'v1.0', '_x', 'A-b_c.D', 'a'.repeat(128)])('accepts %s', (tag) => expect(isTag(tag)).toBe(true))
  it.each(['', '.a', '-a', 'a:b', 'a/b', 'a b', 'a'.repeat(129)])('refuses %j', (tag) => expect(isTag(tag)).toBe(false))
})

describe('parseRange() of 100 bytes', () => {
  it.each([
    ['bytes=0-9', { start: 0, end: 10 }],
    ['bytes=90-', { start: 90, end: 100 }],
    ['bytes=-10', { start: 90, end: 100 }],
    ['bytes=-1000', { start: 0, end: 100 }],
    ['bytes=50-5000', { start: 50, end: 100 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=50-10', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    [undefined, 'whole'],
    ['bytes=-', 'whole'],
    ['bytes=0-1,5-6', 'whole'],
    ['items=0-1', 'whole'],
  ])('%s', (header, expected) => expect(parseRange(header, 100)).toEqual(expected))
})

describe('parseContentRange()', () => {
  it.each([
    ['0-9', { start: 0, end: 10 }],
    ['bytes 10-19/*', { start: 10, end: 20 }],
    ['bytes 10-19/20', { start: 10, end: 20 }],
    ['5-5', { start: 5, end: 6 }],
    ['6-5', undefined],
    ['a-b', undefined],
    ['', undefined],
    ['0-99999999999999999999', undefined],
  ])('%s', (header, expected) => expect(parseContentRange(header)).toEqual(expected))
})

describe('parseRoute()', () => {
  it.each([
    ['/v2/', { kind: 'ping' }],
    ['/v2', { kind: 'ping' }],
    ['/v2/_catalog', { kind: 'catalog' }],
    ['/v2/a/b/tags/list', { kind: 'tags', repository: 'a/b' }],
    ['/v2/a/manifests/latest', { kind: 'manifest', repository: 'a', reference: 'latest' }],
    [
      '/v2/a/manifests/manifests/manifests/b',
      { kind: 'manifest', repository: 'a/manifests/manifests', reference: 'b' },
    ],
    ['/v2/a/blobs/sha256:0', { kind: 'blob', repository: 'a', digest: 'sha256:0' }],
    ['/v2/a/blobs/uploads/', { kind: 'uploads', repository: 'a' }],
    ['/v2/a/blobs/uploads', { kind: 'uploads', repository: 'a' }],
    ['/v2/a/blobs/uploads/1', { kind: 'upload', repository: 'a', id: '1' }],
    ['/v2/a/referrers/sha256:0', { kind: 'referrers', repository: 'a', digest: 'sha256:0' }],
    ['/v2/../x/manifests/a', { kind: 'manifest', repository: '../x', reference: 'a' }],
    ['/v2/manifests/a', undefined],
    ['/v1/', undefined],
    ['/v2/a', undefined],
    ['/v2/a/manifests/', undefined],
  ])('%s', (path, expected) => expect(parseRoute(path)).toEqual(expected))
})
