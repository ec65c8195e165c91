import { describe, expect, it } from 'vitest'
import { makeConfig } from '../../src/config/make-config.ts'
import { takeRunFlags } from '../../src/config/run-flags.ts'

const cache = (target: string, more: object = {}) => ({ type: 'cache', target, ...more })
const tmpfs = (target: string) => ({ type: 'tmpfs', target })

describe('takeRunFlags()', () => {
  it.each([
    ['echo --mount=type=cache,target=/a', 'echo --mount=type=cache,target=/a', []],
    ['--mount=type=cache,target=/root/.cache pip install a', 'pip install a', [cache('/root/.cache')]],
    [
      '--mount=type=cache,id=x,sharing=locked,dst=/c  --mount=target=/t,type=tmpfs\tmake',
      'make',
      [cache('/c', { id: 'x', sharing: 'locked' }), tmpfs('/t')],
    ],
    [
      '--mount=type=cache,target=/c,mode=0700,uid=1000,gid=100 make',
      'make',
      [cache('/c', { mode: 0o700, uid: 1000, gid: 100 })],
    ],
    ['--mount=type=cache,target=/c,ro make', 'make', [cache('/c', { isReadOnly: true })]],
    ['--mount=type=cache,target=/c,readonly=false,rw make', 'make', [cache('/c')]],
    [
      '--mount=type=cache,target=/c,rw=false,sharing=private make',
      'make',
      [cache('/c', { sharing: 'private', isReadOnly: true })],
    ],
    ['\n--mount=type=cache,target=/c\nmake --flag', 'make --flag', [cache('/c')]],
    ['--mount=type=secret,id=token ls', 'ls', [{ type: 'secret', id: 'token', target: '/run/secrets/token' }]],
    ['--mount=type=secret,target=/a/key ls', 'ls', [{ type: 'secret', id: 'key', target: '/a/key' }]],
    ['--network=host --security=sandbox ls', 'ls', []],
  ])('of `%s`', (text, command, mounts) => {
    expect(takeRunFlags(text)).toEqual({ command, mounts, problems: [] })
  })

  it.each([
    ['--mount=type=bind,source=a,target=/a ls', 'type=bind'],
    ['--mount=target=/a ls', 'target=/a'],
    ['--mount=type=ssh ls', 'type=ssh'],
    ['--mount=type=cache,from=other,target=/a ls', 'from=other'],
    ['--mount=type=cache ls', 'type=cache'],
    ['--mount=type=cache,target=/a,sharing=all ls', 'sharing=all'],
    ['--mount=type=cache,target=/a,mode=rwx ls', 'mode=rwx'],
    ['--mount=type=cache,target=/a,gid=users ls', 'gid=users'],
    ['--mount=type=cache,target=/a,size=1g ls', 'size'],
    ['--mount=type=cache,target=a ls', 'absolute'],
    ['--mount=type=secret,id=a,env=A ls', 'env=A'],
    ['--mount ls', 'no value'],
    ['--network=none ls', '--network=none'],
    ['--security=insecure ls', '--security=insecure'],
    ['--device=nvidia.com/gpu ls', '--device'],
    ['--mount=type=cache,target=/a', 'no command'],
  ])('refuses `%s`', (text, part) => {
    const { problems } = takeRunFlags(text)
    expect(problems).toHaveLength(1)
    expect(problems[0]?.text).toContain(part)
    expect(problems[0]?.hint).not.toBe('')
  })
})

describe('makeConfig()', () => {
  it('takes the mounts of flags with those of the mapping', () => {
    const mount = { type: 'secret', id: 'a', target: '/a' } as const
    const { build } = makeConfig({
      build: {
        run: [{ command: '--mount=type=cache,target=/c make', mounts: [mount] }],
        pre_install: ['--mount=type=tmpfs,target=/t ls'],
      },
    })
    expect(build.run).toEqual([
      { command: 'make', mounts: [mount, cache('/c')] },
      { command: 'ls', mounts: [tmpfs('/t')] },
    ])
  })
})
