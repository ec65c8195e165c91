import { expect, it } from 'vitest'
import { explainFailure, explainOutput } from '../../../src/build/source/explain-failure.ts'
import { BuildError } from '../../../src/core/errors.ts'

it.each([
  ["error: command 'gcc' failed: No such file or directory", 'build-essential'],
  ["error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", 'build-essential'],
  ["FileNotFoundError: [Errno 2] No such file or directory: 'cc'", 'build-essential'],
  ['sh: 1: g++: not found', 'build-essential'],
  ['x.c:1:10: fatal error: Python.h: No such file or directory', 'python3-dev'],
  ['x.c:1:10: fatal error: libpq-fe.h: No such file or directory', '`libpq-fe.h`'],
  ['x.cu:3:10: fatal error: cuda_runtime.h: No such file or directory', 'cuda_flavour'],
  ['/bin/sh: 1: nvcc: not found', 'cuda_flavour'],
  ['Package cairo was not found in the pkg-config search path.', '`cairo`'],
  ['/bin/sh: 1: pkg-config: not found', 'pkg-config'],
  ["error: can't find Rust compiler", '`rustc`'],
  ["FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", '`cmake`'],
  ['LookupError: setuptools-scm was unable to detect version for /build/src.', '`git`'],
  ["ModuleNotFoundError: No module named 'numpy'", '`numpy`'],
  ["ModuleNotFoundError: No module named 'pkg_resources'", 'setuptools<82'],
  ['Temporary failure in name resolution', '--network'],
])('explainOutput() knows what is missing after: %s', (output, word) => {
  expect(explainOutput(`some line\n${output}\n`)).toContain(word)
})

it('explainOutput() makes nothing up', () => {
  expect(explainOutput('ValueError: 7')).toBeUndefined()
})

it('explainFailure() shows the last lines, shortened, and the package', () => {
  const output = [...Array.from({ length: 50 }, (_, i) => `line ${i}`), 'x'.repeat(1000)].join('\n')
  const error = explainFailure('thing 1.0', new BuildError('RUN_FAILED', 'status 1', { data: { status: 1, output } }))
  expect(error.message).toContain('`thing 1.0` could not be built')
  expect(error.message).toContain('line 49')
  expect(error.message).not.toContain('line 29\n')
  expect(Math.max(...error.message.split('\n').map((line) => line.length))).toBeLessThan(260)
})
