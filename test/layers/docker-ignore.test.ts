import { describe, expect, test } from 'vitest'
import { parseDockerIgnore } from '../../layers/docker-ignore.ts'

const ignores = (patterns: readonly string[], path: string): boolean =>
  parseDockerIgnore(patterns.join('\n')).isIgnored(path)

// The cases that Docker documents and tests (moby/patternmatcher, Apache-2.0).
describe('parseDockerIgnore() agrees with Docker on', () => {
  test.each<[pattern: string, path: string, ignored: boolean]>([
    ['**', 'file', true],
    ['**/', 'file', true],
    ['**', 'dir/file', true],
    ['**/', 'dir/file', true],
    ['**/**', 'dir/file', true],
    ['dir/**', 'dir/file', true],
    ['dir/**', 'dir/dir2/file', true],
    ['**/dir', 'dir', true],
    ['**/dir', 'dir/file', true],
    ['**/dir2/*', 'dir/dir2/file', true],
    ['**/dir2/**', 'dir/dir2/dir3/file', true],
    ['**file', 'file', true],
    ['**file', 'dir/file', true],
    ['**file', 'dir/afile', true],
    ['**/file', 'dir/file', true],
    ['**file', 'dir/dir/file', true],
    ['**/file', 'dir/dir/file', true],
    ['**/file*', 'dir/dir/file', true],
    ['**/file*', 'dir/dir/file.txt', true],
    ['**/file*txt', 'dir/dir/file.txt', true],
    ['**/file*.txt', 'dir/dir/file.txt', true],
    ['**/file*.txt*', 'dir/dir/file.txt', true],
    ['**/**/*.txt', 'dir/dir/file.txt', true],
    ['**/**/*.txt2', 'dir/dir/file.txt', false],
    ['**/*.txt', 'file.txt', true],
    ['**/**/*.txt', 'file.txt', true],
    ['a**/*.txt', 'a/file.txt', true],
    ['a**/*.txt', 'a/dir/file.txt', true],
    ['a**/*.txt', 'a/dir/dir/file.txt', true],
    ['a/*.txt', 'a/dir/file.txt', false],
    ['a/*.txt', 'a/file.txt', true],
    ['a/*.txt**', 'a/file.txt', true],
    ['a[b-d]e', 'ae', false],
    ['a[b-d]e', 'ace', true],
    ['a[b-d]e', 'aae', false],
    ['a[^b-d]e', 'aze', true],
    ['.*', '.foo', true],
    ['.*', 'foo', false],
    ['abc.def', 'abcdef', false],
    ['abc.def', 'abc.def', true],
    ['abc.def', 'abcZdef', false],
    ['abc?def', 'abcZdef', true],
    ['abc?def', 'abcdef', false],
    ['a\\\\', 'a\\', true],
    ['a\\*b', 'a*b', true],
    ['**/foo/bar', 'foo/bar', true],
    ['**/foo/bar', 'dir/foo/bar', true],
    ['**/foo/bar', 'dir/dir2/foo/bar', true],
    ['abc/**', 'abc', false],
    ['abc/**', 'abc/def', true],
    ['abc/**', 'abc/def/ghi', true],
    ['**/.foo', '.foo', true],
    ['**/.foo', 'bar.foo', false],
    ['a(b)c/def', 'a(b)c/def', true],
    ['a(b)c/def', 'a(b)c/xyz', false],
    ['a.|)$(}+{bc', 'a.|)$(}+{bc', true],
    ['dist/*.whl', 'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl', true],
    ['*c', 'abc', true],
    ['a*', 'ab/c', true],
    ['a*/b', 'a/c/b', false],
    ['a*b*c*d*e*/f', 'axbxcxdxexxx/f', true],
    ['a*b*c*d*e*/f', 'axbxcxdxe/xxx/f', false],
    ['a*b?c*x', 'abxbbxdbxebxczzx', true],
    ['a*b?c*x', 'abxbbxdbxebxczzy', false],
    ['ab[c]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['a?b', 'a☺b', true],
    ['a[^a]b', 'a☺b', true],
    ['a???b', 'a☺b', false],
    ['[a-ζ]*', 'α', true],
    ['*[a-ζ]', 'A', false],
    ['a?b', 'a/b', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['[x\\-]', 'x', true],
    ['[x\\-]', 'z', false],
    ['[\\-x]', '-', true],
    ['[\\-x]', 'a', false],
    ['docs/', 'docs/README.md', true],
    ['/docs', 'docs/README.md', true],
    ['./docs', 'docs/README.md', true],
    ['docs/../other', 'other/x', true],
    ['doc', 'docs/README.md', false],
  ])('%s for %s: %s', (pattern, path, ignored) => {
    expect(ignores([pattern], path)).toBe(ignored)
  })

  test.each<[patterns: string[], path: string, ignored: boolean]>([
    [['!fileutils.go', '*.go'], 'fileutils.go', true],
    [['*.go', '!fileutils.go'], 'fileutils.go', false],
    [['docs', '!docs/README.md'], 'docs/README.md', false],
    [['docs', '!docs/README.md'], 'docs/other.md', true],
    [['docs/', '!docs/README.md'], 'docs/README.md', false],
    [['docs/*', '!docs/README.md'], 'docs/README.md', false],
    [['**', '!util/docker/web'], 'util/docker/web/foo', false],
    [['**', '!util/docker/web', 'util/docker/web/foo'], 'util/docker/web/foo', true],
    [['**', '!dist/*.whl'], 'dist/a-1.0+g08.whl', false],
    [['*.md', '!README*.md', 'README-secret.md'], 'README-secret.md', true],
    [['*.md', '!README*.md', 'README-secret.md'], 'README.md', false],
    [['  !docs/README.md  ', 'x'], 'docs/README.md', false],
    [['# comment', '', '   '], '# comment', false],
    [[' # no comment'], '# no comment', true],
    [['\uFEFFa.txt'], 'a.txt', true],
    [['a.txt\r', 'b.txt\r'], 'a.txt', true],
    [['! a.txt', 'a*'], 'a.txt', true],
  ])('%j for %s: %s', (patterns, path, ignored) => {
    expect(ignores(patterns, path)).toBe(ignored)
  })

  test.each(['!', '[', '[]a]', '[-]', '[x-]', '[-x]', '\\', '[a-b-c]', '[^', '[^bc', 'a['])(
    'the malformed %s',
    (pattern) => {
      expect(() => parseDockerIgnore(`ok\n${pattern}`)).toThrow(
        expect.objectContaining({ code: 'PROJECT_INVALID', message: expect.stringContaining('line 2') }),
      )
    },
  )
})

describe('isSealed()', () => {
  test.each<[patterns: string[], folder: string, sealed: boolean]>([
    [['node_modules'], 'node_modules', true],
    [['docs', '!docs/README.md'], 'docs', false],
    [['docs', '!docs/README.md'], 'docs/deep', true],
    [['*', '!src'], 'src/deep', false],
    [['*', '!src'], 'other', true],
    [['*', '!*/keep'], 'other', false],
    [['*', '!**/keep'], 'a/b/c', false],
  ])('%j for %s: %s', (patterns, folder, sealed) => {
    expect(parseDockerIgnore(patterns.join('\n')).isSealed(folder)).toBe(sealed)
  })
})
