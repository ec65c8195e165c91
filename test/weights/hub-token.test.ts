import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hubHeaders } from '../../src/weights/hub-token.ts'

const HUB = 'https://huggingface.co/a/b'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'hub-token-'))))
afterEach(() => rm(folder, { recursive: true }))

const write = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), text)
}

describe('hubHeaders()', () => {
  it.each([
    ['of the variable', { HF_TOKEN: ' one ' }, 'one'],
    ['of the older variable', { HUGGING_FACE_HUB_TOKEN: 'two' }, 'two'],
    ['of the file that a variable names', { HF_TOKEN_PATH: 'named' }, 'three'],
    ['of the hub’s own folder', { HF_HOME: 'hf' }, 'four'],
    ['of the user’s cache', { HOME: 'home' }, 'five'],
    ['none where the file is not there', { HF_TOKEN_PATH: 'absent' }, undefined],
    ['none where the file is empty', { HF_TOKEN_PATH: 'empty' }, undefined],
  ])('sends the token %s', async (_, env, token) => {
    await write('named', 'three\n')
    await write('hf/token', 'four')
    await write('home/.cache/huggingface/token', 'five')
    await write('empty', ' \n')
    const paths = Object.entries(env).map(([name, value]) => [
      name,
      name.endsWith('TOKEN') ? value : join(folder, value),
    ])
    const headers = await hubHeaders(HUB, { HOME: join(folder, 'nobody'), ...Object.fromEntries(paths) })
    expect(headers).toEqual(token === undefined ? {} : { authorization: `Bearer ${token}` })
  })

  it('sends it nowhere else', async () => {
    expect(await hubHeaders('https://cdn.example/a', { HF_TOKEN: 'one' })).toEqual({})
  })

  it('says when there is a token that cannot be read', async () => {
    await expect(hubHeaders(HUB, { HF_TOKEN_PATH: folder })).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining(folder) as string,
    })
  })
})
