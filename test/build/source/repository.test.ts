import { once } from 'node:events'
import { createReadStream, existsSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readTar } from '../../../layers/tar.ts'
import { openPath } from '../../../src/core/file-access.ts'
import { silent } from '../../../src/core/progress.ts'
import {
  fetchRepository,
  parseRepository,
  resolveCommit,
  withoutCredentials,
  type RepositoryContext,
} from '../../../src/build/source/repository.ts'
import { Store } from '../../../src/store/store.ts'
import { mustRun } from '../../support/command.ts'
import { findTool, needTool } from '../../support/tool.ts'

describe('parseRepository()', () => {
  it.each([
    ['git+https://host/a/b.git', { url: 'https://host/a/b.git' }],
    ['git+https://host/a/b.git@v1.2', { url: 'https://host/a/b.git', revision: 'v1.2' }],
    ['git+https://user:secret@host/a@main#egg=x', { url: 'https://user:secret@host/a', revision: 'main' }],
    ['git+ssh://git@host/a/b.git@feature/x', { url: 'ssh://git@host/a/b.git', revision: 'feature/x' }],
    ['git+file:///srv/a#subdirectory=pkg', { url: 'file:///srv/a', subdirectory: 'pkg' }],
  ])('%s', (location, expected) => {
    expect(parseRepository(location)).toMatchObject(expected)
  })

  it.each([
    ['hg+https://host/a', 'NOT_SUPPORTED'],
    ['svn+https://host/a', 'NOT_SUPPORTED'],
    ['git+ext://sh -c id', 'REQUIREMENT_INVALID'],
    ['git+https://host/a@--upload-pack=id', 'REQUIREMENT_INVALID'],
    ['git+ssh://git@host:owner/a.git', 'REQUIREMENT_INVALID'],
    ['git+https://host/a#subdirectory=../../etc', 'REQUIREMENT_INVALID'],
    ['git+https://host/a#subdirectory=/etc', 'REQUIREMENT_INVALID'],
  ])('refuses %s', (location, code) => {
    expect(() => parseRepository(location)).toThrow(expect.objectContaining({ code }) as Error)
  })

  it.each([
    ['https://user:secret@host/a', 'https://host/a'],
    ['https://token@host/a', 'https://host/a'],
    ['ssh://git@host/a', 'ssh://git@host/a'],
  ])('withoutCredentials() of %s', (url, expected) => {
    expect(withoutCredentials(url)).toBe(expected)
  })
})

describe('a repository', () => {
  let folder: string
  let context: RepositoryContext
  let first: string

  beforeEach(async (test) => {
    needTool(await findTool('git'), 'git', test)
    folder = await mkdtemp(join(tmpdir(), 'repository-'))
    context = { store: await Store.open(join(folder, 'store')), env: process.env, report: silent }
    await mkdir(join(folder, 'r'))
    await git('init', '--quiet', '--initial-branch=main')
    await commit('one')
    first = (await git('rev-parse', 'HEAD')).trim()
    await git('tag', '-a', 'v1', '-m', 'v1')
    await commit('two')
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  async function git(...args: string[]): Promise<string> {
    const config = [
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@b.c',
      '-c',
      'commit.gpgsign=false',
      '-c',
      'tag.gpgsign=false',
    ]
    return (await mustRun('git', ['-C', join(folder, 'r'), ...config, ...args])).stdout
  }
  async function commit(text: string): Promise<void> {
    await writeFile(join(folder, 'r', 'file'), text)
    await git('add', '.')
    await git('commit', '--quiet', '-m', text)
  }

  it('tells the commit of a tag, a branch, the default branch and of itself', async () => {
    const head = (await git('rev-parse', 'HEAD')).trim()
    const url = `file://${folder}/r`
    expect(await resolveCommit({ url, revision: 'v1' }, context)).toBe(first)
    expect(await resolveCommit({ url, revision: 'main' }, context)).toBe(head)
    expect(await resolveCommit({ url }, context)).toBe(head)
    expect(await resolveCommit({ url, revision: first }, context)).toBe(first)
    await expect(resolveCommit({ url, revision: 'nope' }, context)).rejects.toMatchObject({
      code: 'REQUIREMENT_INVALID',
    })
  })

  it('is checked out at the commit, with its history, once', async () => {
    const url = `file://${folder}/r`
    const stored = await fetchRepository({ url, commit: first }, context)
    const names: string[] = []
    let text = ''
    for await (const { name, data, uid } of readTar(openPath(context.store.path(stored.digest))(), 'x')) {
      names.push(name)
      expect(uid).toBe(0)
      if (name === './file') for await (const chunk of data) text += Buffer.from(chunk).toString()
    }
    expect(text).toBe('one')
    expect(names.some((name) => name.startsWith('./.git/'))).toBe(true)
    await rm(join(folder, 'r'), { recursive: true })
    expect(await fetchRepository({ url, commit: first }, context)).toEqual(stored)
  })

  it('keeps no credentials where the build sees them, not those of submodules either', async () => {
    await mustRun('git', ['clone', '--quiet', '--bare', join(folder, 'r'), join(folder, 'served', 'sub.git')])
    const local = ['-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', `file://${folder}/served/sub.git`]
    await git(...local)
    await git('config', '-f', '.gitmodules', 'submodule.sub.url', '../sub.git')
    await git('commit', '--quiet', '--all', '-m', 'sub')
    await mustRun('git', ['clone', '--quiet', '--bare', join(folder, 'r'), join(folder, 'served', 'main.git')])
    for (const name of ['sub', 'main'])
      await mustRun('git', ['-C', join(folder, 'served', `${name}.git`), 'update-server-info'])
    const server = createServer((request, response) => {
      const path = join(folder, 'served', new URL(request.url ?? '', 'http://x').pathname)
      if (existsSync(path) && statSync(path).isFile()) createReadStream(path).pipe(response)
      else response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const url = `http://me:word-of-mine@127.0.0.1:${(server.address() as AddressInfo).port}/main.git`
      const head = (await git('rev-parse', 'HEAD')).trim()
      const { digest } = await fetchRepository({ url, commit: head }, context)
      const bytes = await readFile(context.store.path(digest))
      expect(bytes.includes('./sub/file')).toBe(true)
      expect(bytes.includes('127.0.0.1')).toBe(true)
      expect(bytes.includes('word-of-mine')).toBe(false)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('trusts the authority that is set, and says where to name it', async () => {
    const tls = (name: string): URL => new URL(`../../../fixtures/tls/${name}`, import.meta.url)
    const [key, cert] = await Promise.all([readFile(tls('server.key')), readFile(tls('server.crt'))])
    const server = createTlsServer({ key, cert }, (_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const url = `https://localhost:${(server.address() as AddressInfo).port}/a.git`
      await expect(resolveCommit({ url }, context)).rejects.toMatchObject({
        code: 'CERTIFICATE_INVALID',
        hint: expect.stringContaining('SSL_CERT_FILE') as string,
      })
      const env = { ...context.env, GIT_SSL_CAINFO: undefined, SSL_CERT_FILE: fileURLToPath(tls('ca.crt')) }
      await expect(resolveCommit({ url }, { ...context, env })).rejects.toMatchObject({
        code: 'NETWORK_FAILED',
        message: expect.stringContaining('not found') as string,
      })
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('names git where it is not installed', async () => {
    const bare = { ...context, env: { PATH: folder } }
    await expect(resolveCommit({ url: 'https://u:secret@host.invalid/a' }, bare)).rejects.toMatchObject({
      code: 'HOST_UNSUPPORTED',
      message: expect.stringMatching(/`git` is not installed here: https:\/\/\*\*\*@host\.invalid/) as string,
    })
  })

  it('says what git said, without credentials', async () => {
    await expect(resolveCommit({ url: `file://u:secret@${folder}/none` }, context)).rejects.toMatchObject({
      code: 'NETWORK_FAILED',
      message: expect.not.stringContaining('secret') as string,
    })
  })
})
