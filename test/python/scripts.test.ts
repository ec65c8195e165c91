import { describe, expect, test } from 'vitest'
import { parseScriptEntryPoints } from '../../src/python/entry-points.ts'
import {
  formatScript,
  formatShebang,
  isPythonScript,
  isReservedScript,
  rewriteScript,
} from '../../src/python/scripts.ts'

describe('parseScriptEntryPoints()', () => {
  test.each([
    ['a command', '[console_scripts]\nf2py = numpy.f2py:main', [['f2py', 'numpy.f2py', 'main']]],
    ['a window', '[gui_scripts]\nidle = idlelib:run', [['idle', 'idlelib', 'run']]],
    ['white space', '[ console_scripts ]\n  a=b:c  \r\n', [['a', 'b', 'c']]],
    ['extras, which mean nothing', '[console_scripts]\na = b:c [x, y]', [['a', 'b', 'c']]],
    ['a method', '[console_scripts]\na = b:C.run', [['a', 'b', 'C.run']]],
    ['comments', '# x\n[console_scripts]\n; y\na = b:c', [['a', 'b', 'c']]],
    ['names with dots and dashes', '[console_scripts]\npip3.11-x = pip:main', [['pip3.11-x', 'pip', 'main']]],
    ['a repeated line', '[console_scripts]\na = b:c\na = b:c', [['a', 'b', 'c']]],
    ['nothing of other groups', '[pytest11]\nx = not valid at all!', []],
  ])('reads %s', (_, text, expected) => {
    const found = parseScriptEntryPoints(text, 'x.whl')
    expect(found.map(({ name, module, attribute }) => [name, module, attribute])).toEqual(expected)
  })

  test.each([
    ['a name that climbs out', '../../bin/x = a:b', /not a name for a command/],
    ['a name with a slash', 'a/b = a:b', /not a name for a command/],
    ['a name with a backslash', 'a\\b = a:b', /not a name for a command/],
    ['a name that is two dots', '.. = a:b', /not a name for a command/],
    ['no name', ' = a:b', /not a name for a command/],
    ['code in place of a module', 'x = os;import evil:main', /names no Python object/],
    ['code in place of an object', 'x = os:system("x")', /names no Python object/],
    ['no object', 'x = os', /names no Python object/],
    ['no value', 'x', /expected `name = module:object`/],
    ['one name for two objects', 'x = a:b\nx = a:c', /line 3: `x` is declared twice/],
  ])('refuses %s', (_, line, reason) => {
    expect(() => parseScriptEntryPoints(`[console_scripts]\n${line}`, 'x.whl')).toThrow(reason)
  })
})

describe('formatShebang()', () => {
  test('is plain where the kernel takes it', () => {
    expect(formatShebang('/opt/venv/bin/python')).toBe('#!/opt/venv/bin/python\n')
    expect(formatShebang(`/${'x'.repeat(123)}`)).toMatch(/^#!\/x+\n$/)
  })

  test.each([`/${'x'.repeat(300)}/python`, '/with space/python'])('goes through a shell for %s', (path) => {
    expect(formatShebang(path)).toBe(`#!/bin/sh\n'''exec' "${path}" "$0" "$@"\n' '''\n`)
  })
})

test('formatScript() imports the first name and calls the whole', () => {
  expect(formatScript({ name: 'x', module: 'a.b', attribute: 'C.run' }, '/p')).toBe(
    "#!/p\n# -*- coding: utf-8 -*-\nimport sys\nfrom a.b import C\nif __name__ == '__main__':\n    sys.exit(C.run())\n",
  )
})

describe('rewriteScript()', () => {
  test.each(['#!python\n', '#!pythonw\n', '#!python3\n', '#!python\r\n'])('replaces %j', (line) => {
    const script = Buffer.from(`${line}print(1)\n`)
    expect(isPythonScript(script)).toBe(true)
    expect(String(rewriteScript(script, '/p'))).toBe('#!/p\nprint(1)\n')
  })

  test.each(['#!/bin/sh\n', '#!/usr/bin/env python\n', '\x7fELF', '', '#!pyth'])('leaves %j alone', (text) => {
    expect(isPythonScript(Buffer.from(text))).toBe(false)
  })

  test('copes with a script that is its first line only', () => {
    expect(String(rewriteScript(Buffer.from('#!python'), '/p'))).toBe('#!/p\n')
  })
})

test.each([
  ['python', true],
  ['python3', true],
  ['python3.11', true],
  ['python3.13t', true],
  ['pythonw', true],
  ['pypy3', true],
  ['python3-config', true],
  ['activate', true],
  ['pip', false],
  ['python-argcomplete', false],
  ['ipython', false],
])('isReservedScript(%j) is %s', (name, expected) => {
  expect(isReservedScript(name)).toBe(expected)
})
