import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { htpasswdAuthenticator, parseHtpasswd } from '../../../registry/server/authentication.ts'
import { serveRegistry } from '../../../registry/server/serve.ts'

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

describe('parseHtpasswd()', () => {
  it('reads users, comments and empty lines', async () => {
    const secret = await hash('x', 4)
    expect([...parseHtpasswd(`# users\n\na:${secret}\r\nb:${secret}\n`, 'f').keys()]).toEqual(['a', 'b'])
  })

  it.each([
    ['an MD5 entry', 'a:$apr1$x$yyyyyyyyyyyyyyyyyyyyyy'],
    ['a SHA-1 entry', 'a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='],
    ['a plain password', 'a:secret'],
    ['no user', ':$2y$05$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde'],
  ])('refuses %s without showing it', (_, line) => {
    const parse = (): unknown => parseHtpasswd(`\n${line}\n`, 'users.txt')
    expect(parse).toThrow(/^Line 2 is no `user:bcrypt-hash`: `users.txt`$/)
  })

  it('refuses a file without users', () => expect(() => parseHtpasswd('# none\n', 'f')).toThrow('No user in `f`'))
})

describe('htpasswdAuthenticator()', () => {
  let folder: string
  let path: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'layerwright-htpasswd-'))
    path = join(folder, 'htpasswd')
    await writeFile(path, `me:${await hash('s3cret:with colon', 4)}\n`)
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('lets in the right pair only', async () => {
    const isAllowed = await htpasswdAuthenticator(path)
    const right = basic('me', 's3cret:with colon')
    expect(await Promise.all([right, right, right].map(isAllowed))).toEqual([true, true, true])
    const wrong = [basic('me', 'other'), basic('you', 's3cret:with colon'), 'Bearer x', 'Basic !', undefined]
    expect(await Promise.all(wrong.map(isAllowed))).toEqual(wrong.map(() => false))
  })

  it('follows changes of the file', async () => {
    const isAllowed = await htpasswdAuthenticator(path)
    expect(await isAllowed(basic('me', 's3cret:with colon'))).toBe(true)
    await writeFile(path, `you:${await hash('new', 4)}\n`)
    await utimes(path, 1, 1)
    expect(await isAllowed(basic('me', 's3cret:with colon'))).toBe(false)
    expect(await isAllowed(basic('you', 'new'))).toBe(true)
  })

  it('guards every path of a registry with a challenge', async () => {
    const registry = await serveRegistry({ storage: { kind: 'memory' }, htpasswd: path })
    try {
      const url = `${registry.url}/v2/`
      const refused = await fetch(url)
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
        401,
        'Basic realm="layerwright registry", charset="UTF-8"',
      ])
      expect((await fetch(`${registry.url}/v2/a/tags/list`)).status).toBe(401)
      const headers = { authorization: basic('me', 's3cret:with colon') }
      expect((await fetch(url, { headers })).status).toBe(200)
    } finally {
      await registry.close(0)
    }
  })
})
