import { expect, test } from 'vitest'
import { assertLazy, outputAt, parseOutput } from '../../src/cli/output.ts'
import { resolvePath } from '../../src/destinations/location.ts'

const oci = { compression: 'gzip', format: 'oci' } as const

test.each([
  ['oci:out/x:1', 'gzip', 'out/x'],
  ['oci:out/x:1,compression=zstd', 'zstd', 'out/x'],
  ['oci-archive:a,b.tar,compression=none', 'none', 'a,b.tar'],
  ['oci:a,compression=b/c', 'gzip', 'a,compression=b/c'],
])('parseOutput() reads %s', (word, compression, path) => {
  expect(parseOutput(word, oci)).toMatchObject({ location: { path }, compression })
})

test.each([
  ['oci:out:v1', 'oci:/work/out:v1'],
  ['docker-archive:x.tar', 'docker-archive:/work/x.tar'],
  ['docker://r.example/x', 'docker://r.example/x'],
  ['r.example/x', 'r.example/x'],
  ['oci:', 'oci:'],
])('resolvePath(%j) starts from where the command was called', (word, resolved) => {
  expect(resolvePath(word, '/work')).toBe(resolved)
})

test('parseOutput() takes what is said of all places where a place says nothing', () => {
  const defaults = { compression: 'zstd', format: 'oci' } as const
  expect(parseOutput('docker://r.example/x:1', defaults).compression).toBe('zstd')
  expect(parseOutput('docker://r.example/x:1,compression=gzip', defaults).compression).toBe('gzip')
  expect(parseOutput('docker-archive:x.tar', defaults).compression).toBe('gzip')
})

test('a Docker archive that names nothing takes the name of the image', () => {
  const named = { compression: 'gzip', format: 'oci', name: 'model:v1' } as const
  expect(parseOutput('docker-archive:x.tar', named).location).toMatchObject({ tag: 'model:v1' })
  expect(parseOutput('docker-archive:x.tar:other:v2', named).location).toMatchObject({ tag: 'other:v2' })
  expect(parseOutput('oci:x', named).location).toMatchObject({ tag: undefined })
})

test.each([
  ['oci:x,compression=lzma', oci, /Not a compression: `lzma`/],
  ['docker-archive:x.tar,compression=zstd', oci, /not of this compression: zstd/],
  ['oci:x,compression=zstd', { compression: 'gzip', format: 'docker' }, /not of this compression: zstd/],
] as const)('parseOutput() refuses %s', (word, defaults, reason) => {
  expect(() => parseOutput(word, defaults)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  expect(() => parseOutput(word, defaults)).toThrow(reason)
})

test("outputAt() refuses zstd in Docker's format", () => {
  const location = { kind: 'oci', path: 'x', tag: undefined } as const
  expect(() => outputAt(location, { compression: 'zstd', format: 'docker' })).toThrow(/layers of gzip only/)
})

test.each([
  ['oci:x', { format: 'docker' }, /--format docker/],
  ['oci:x', { format: 'oci', load: true }, /--load/],
  ['docker-archive:x', { format: 'oci' }, /docker-archive/],
  ['oci:x,compression=zstd', { format: 'oci' }, /compression: zstd/],
] as const)('assertLazy() refuses %s with %o', (word, options, reason) => {
  expect(() => assertLazy([parseOutput(word, oci)], options)).toThrow(reason)
})

test('assertLazy() takes gzip layers in the OCI format', () => {
  expect(() => assertLazy([parseOutput('docker://r.example/x:1', oci)], { format: 'oci' })).not.toThrow()
})
