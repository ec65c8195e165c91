import { expect, test } from 'vitest'
import { pathProblem } from '../../src/core/archive-path.ts'

test.each(['a', 'a/b.c', '..a/b', 'a/b..', 'a/...', 'ä/ö', 'x'.repeat(255)])(
  'pathProblem() has nothing against %s',
  (path) => {
    expect(pathProblem(path)).toBeUndefined()
  },
)

test.each([
  ['', 'is empty'],
  ['/etc/passwd', 'is absolute'],
  ['..', 'leaves the folder it is laid in'],
  ['../a', 'leaves the folder it is laid in'],
  ['a/../../b', 'leaves the folder it is laid in'],
  ['a/..', 'leaves the folder it is laid in'],
  ['a//b', 'has an empty part'],
  ['./a', 'has an empty part'],
  ['a/', 'has an empty part'],
  ['a\\..\\b', 'holds a backslash'],
  ['C:a', 'starts with a drive letter'],
  ['a\0b', 'holds a control character'],
  ['a\nb', 'holds a control character'],
  ['x'.repeat(256), 'has a part longer than 255 bytes'],
  ['ä'.repeat(128), 'has a part longer than 255 bytes'],
  ['x/'.repeat(2048) + 'x', 'is longer than 4095 bytes'],
])('pathProblem() says what is wrong with %j', (path, problem) => {
  expect(pathProblem(path)).toBe(problem)
})
