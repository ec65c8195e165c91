import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { isLoopbackHost, type Environment } from '../core/http.ts'
import { homeFolder } from '../core/home.ts'

const DEFAULT_ENDPOINT = 'https://huggingface.co'

/** The address of the hub: `HF_ENDPOINT`, else the public one. @throws BuildError USAGE */
export function hubEndpoint(env: Environment): string {
  const text = env['HF_ENDPOINT']
  if (!text) return DEFAULT_ENDPOINT
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackHost(url.hostname))
  if (url === undefined || !isSafe || url.username !== '')
    throw new BuildError('USAGE', 'HF_ENDPOINT is not the https address of a hub', {
      hint: 'Such as https://hub.example. Plain http is for this machine alone; credentials go into HF_TOKEN.',
    })
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/**
 * Headers for an address of the hub: the user's token, and nothing for any other origin.
 *
 * @throws BuildError FILE_UNREADABLE for a token that is there and cannot be read
 */
export async function hubHeaders(url: string, env: Environment): Promise<Record<string, string>> {
  if (new URL(url).origin !== new URL(hubEndpoint(env)).origin) return {}
  const token = await findToken(env)
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** As the hub's own tools look for it: variable, then the file that `hf auth login` writes. */
async function findToken(env: Environment): Promise<string | undefined> {
  const stated = env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN']
  if (stated) return stated.trim()
  const home = homeFolder(env)
  const cache = env['XDG_CACHE_HOME'] || (home === undefined ? undefined : join(home, '.cache'))
  const folder = env['HF_HOME'] || (cache === undefined ? undefined : join(cache, 'huggingface'))
  const file = env['HF_TOKEN_PATH'] || (folder === undefined ? undefined : join(folder, 'token'))
  if (file === undefined) return undefined
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const code = systemErrorCode(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return ''
    // Without it the hub would refuse what its owner may have, and nobody would know why.
    throw new BuildError('FILE_UNREADABLE', `The token of the Hugging Face Hub cannot be read: \`${file}\``, { cause })
  })
  return text.trim() === '' ? undefined : text.trim()
}
