import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findInImage, readTextInImage } from '../../src/run/layer-view.ts'
import { makeProcess } from '../../src/run/process.ts'

let upper: string
let lower: string
const all = mkdtempSync(join(tmpdir(), 'lw-view-'))
beforeAll(() => {
  upper = join(all, 'upper')
  lower = join(all, 'lower')
  for (const folder of [upper, lower]) mkdirSync(join(folder, 'etc'), { recursive: true })
  writeFileSync(join(lower, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nold:x:7:7::/:/bin/sh\n')
  writeFileSync(join(upper, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n')
  writeFileSync(join(lower, 'etc/group'), 'root:x:0:\nbob:x:1000:\nvideo:x:44:bob,ann\naudio:x:29:ann\n')
  mkdirSync(join(lower, 'usr/lib'), { recursive: true })
  writeFileSync(join(lower, 'usr/lib/lib.so'), 'x')
  symlinkSync('usr/lib', join(lower, 'lib'))
  symlinkSync('/usr/../lib', join(lower, 'lib64'))
  symlinkSync('../../../../../../etc/passwd', join(lower, 'escape'))
  symlinkSync('loop', join(lower, 'loop'))
  mkdirSync(join(lower, 'hidden'))
  writeFileSync(join(lower, 'hidden/file'), 'x')
  writeFileSync(join(upper, 'hidden'), 'a file hides the folder')
})
afterAll(() => rmSync(all, { recursive: true }))

const folders = (): string[] => [upper, lower]

describe('findInImage()', () => {
  test.each([
    ['/etc/passwd', '/etc/passwd', true],
    ['/lib/lib.so', '/usr/lib/lib.so', true],
    ['/lib64/../lib/lib.so', '/usr/lib/lib.so', true],
    ['/escape', '/etc/passwd', true],
    ['/../../etc/group', '/etc/group', true],
    ['/nothing/below/here', '/nothing/below/here', false],
    ['/hidden/file', undefined, false],
    ['/etc/passwd/x', undefined, false],
    ['/loop', undefined, false],
    ['/', '/', false],
  ])('%s is %s', (path, expected, exists) => {
    const found = findInImage(folders(), path)
    expect(found?.path).toBe(expected)
    expect(found?.host !== undefined).toBe(exists)
  })

  test('sees the topmost of two files', () => {
    expect(readTextInImage(folders(), '/etc/passwd')).toContain('bob')
    expect(readTextInImage(folders(), '/etc/group')).toContain('video')
    expect(readTextInImage(folders(), '/etc')).toBeUndefined()
  })
})

describe('makeProcess()', () => {
  const config = { Entrypoint: ['/launch'], Cmd: ['serve'], Env: ['A=1', 'B=x=y'], WorkingDir: '/src' }

  test.each([
    ['the image', {}, ['/launch', 'serve']],
    ['a command', { command: ['train'] }, ['/launch', 'train']],
    ['an entrypoint', { entrypoint: ['/bin/sh'] }, ['/bin/sh']],
    ['both', { entrypoint: ['/bin/sh'], command: ['-c', 'x'] }, ['/bin/sh', '-c', 'x']],
  ])('takes the arguments of %s', (_name, request, args) => {
    expect(makeProcess(config, request, folders()).args).toEqual(args)
  })

  test('refuses an image that names no command', () => {
    expect(() => makeProcess({}, {}, folders())).toThrow(/names no command/)
  })

  test.each([
    ['', { uid: 0, gid: 0, additionalGids: [] }, '/root'],
    ['bob', { uid: 1000, gid: 1000, additionalGids: [44] }, '/home/bob'],
    ['bob:video', { uid: 1000, gid: 44, additionalGids: [] }, '/home/bob'],
    ['bob:29', { uid: 1000, gid: 29, additionalGids: [] }, '/home/bob'],
    ['1000', { uid: 1000, gid: 1000, additionalGids: [] }, '/home/bob'],
    ['4242', { uid: 4242, gid: 0, additionalGids: [] }, '/'],
    ['4242:4243', { uid: 4242, gid: 4243, additionalGids: [] }, '/'],
  ])('resolves the user %j in the image', (user, expected, home) => {
    const process = makeProcess({ ...config, User: user }, {}, folders())
    expect(process).toMatchObject(expected)
    expect(process.env).toContain(`HOME=${home}`)
  })

  test.each(['nobody-there', 'bob:no-group', '4294967295', '99999999999'])('refuses the user %s', (user) => {
    expect(() => makeProcess({ ...config, User: user }, {}, folders())).toThrowError(
      expect.objectContaining({ code: 'IMAGE_INVALID' }),
    )
  })

  test('adds variables, and never changes one that the image sets', () => {
    const { env } = makeProcess(
      { ...config, Env: ['PATH=/x', 'HOME=/y', 'A=1'] },
      { env: { A: '2', C: '3' } },
      folders(),
    )
    expect(env).toEqual(['PATH=/x', 'HOME=/y', 'A=2', 'C=3'])
    expect(makeProcess(config, {}, folders()).env[2]).toMatch(/^PATH=.*\/usr\/bin/)
  })
})
