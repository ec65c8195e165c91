import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createReadStream } from 'node:fs'
import type { Descriptor } from 'oci-spec-types'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'
import { startTask, type Report } from '../../core/progress.ts'
import { temporaryName } from '../../core/temporary-name.ts'
import type { Store } from '../../store/store.ts'
import { parseSubdirectory } from './subdirectory.ts'

/** A repository as a requirement names it. */
export interface RepositoryLocation {
  /** For git: without `git+`, fragment and revision. May hold credentials. */
  readonly url: string
  /** Branch, tag or commit; the default branch unless given. */
  readonly revision?: string | undefined
  readonly subdirectory?: string | undefined
}

/** What asking repositories takes. */
export interface RepositoryContext {
  readonly store: Store
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly signal?: AbortSignal | undefined
}

const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/
const PROTOCOLS = ['https', 'http', 'ssh', 'git', 'file']

/**
 * Parses `git+https://host/path[.git][@revision][#egg=name&subdirectory=path]`.
 *
 * @throws BuildError NOT_SUPPORTED for Mercurial, Subversion and Bazaar; REQUIREMENT_INVALID
 */
export function parseRepository(location: string): RepositoryLocation {
  const [, system = '', protocol = '', rest = ''] = /^(\w+)\+(\w+):\/\/(.+)$/s.exec(location) ?? []
  if (system !== 'git') {
    throw new BuildError('NOT_SUPPORTED', `Only git repositories can be built from: ${maskUrl(location)}`, {
      hint: 'Name a source archive or a wheel of it instead.',
    })
  }
  if (!PROTOCOLS.includes(protocol)) {
    throw new BuildError('REQUIREMENT_INVALID', `Git is not spoken over \`${protocol}\`: ${maskUrl(location)}`, {
      hint: `Use one of ${PROTOCOLS.map((each) => `git+${each}`).join(', ')}.`,
    })
  }
  const [address = '', fragment = ''] = rest.split('#', 2)
  // Of the host part an @ ends the credentials; a later one starts the revision.
  const at = address.lastIndexOf('@')
  const hasRevision = at > address.indexOf('/')
  const revision = hasRevision ? address.slice(at + 1) : undefined
  const subdirectory = parseSubdirectory(new URLSearchParams(fragment))
  if (revision?.startsWith('-') || revision === '')
    throw new BuildError('REQUIREMENT_INVALID', `Not a revision: ${maskUrl(location)}`)
  const url = `${protocol}://${hasRevision ? address.slice(0, at) : address}`
  if (!URL.canParse(url)) {
    throw new BuildError('REQUIREMENT_INVALID', `Not the address of a repository: ${maskUrl(location)}`, {
      hint: 'After the host comes a slash: git+ssh://git@host/owner/repository.git.',
    })
  }
  return { url, revision, subdirectory }
}

/** The commit that a branch or tag means now. @throws BuildError REQUIREMENT_INVALID, HOST_UNSUPPORTED, NETWORK_FAILED, CERTIFICATE_INVALID */
export async function resolveCommit(location: RepositoryLocation, context: RepositoryContext): Promise<string> {
  const { url, revision = 'HEAD' } = location
  if (COMMIT.test(revision)) return revision
  const names =
    revision === 'HEAD'
      ? ['HEAD']
      : [`refs/tags/${revision}^{}`, `refs/tags/${revision}`, `refs/heads/${revision}`, revision]
  const text = await git(['ls-remote', '--', url, ...names], url, context)
  const refs = new Map(
    text.split('\n').flatMap((line) => {
      const [commit = '', name] = line.split('\t')
      return name === undefined ? [] : [[name, commit] as const]
    }),
  )
  const commit = names.map((name) => refs.get(name)).find((found) => found !== undefined)
  if (commit !== undefined && COMMIT.test(commit)) return commit
  throw new BuildError('REQUIREMENT_INVALID', `The repository has no branch or tag \`${revision}\`: ${maskUrl(url)}`, {
    hint: 'A commit is given in full: 40 hexadecimal digits.',
  })
}

/**
 * The checkout of a commit with its history and submodules, as a tar in the store; cloned when the store has none.
 *
 * History is part of it, since version numbers are often made from tags.
 *
 * @throws BuildError HOST_UNSUPPORTED without git; NETWORK_FAILED, CERTIFICATE_INVALID with git's own words
 */
export async function fetchRepository(
  location: RepositoryLocation & { readonly commit: string },
  context: RepositoryContext,
): Promise<Pick<Descriptor, 'digest' | 'size'>> {
  const { store } = context
  const cache = store.cache('repositories')
  const key = `${withoutCredentials(location.url)}@${location.commit}`
  const known = parseKnown(await cache.get(key))
  if (known !== undefined && (await store.has(known.digest)) === known.size) return known
  const folder = await mkdtemp(join(store.folder, 'tmp', `${temporaryName('git')}-`))
  const task = startTask(context.report, `clone ${maskUrl(location.url)}`)
  try {
    await clone(location, join(folder, 'tree'), context)
    const file = join(folder, 'tree.tar')
    await tool(
      'tar',
      [
        '--sort=name',
        '--format=pax',
        '--owner=0',
        '--group=0',
        '--numeric-owner',
        '-C',
        join(folder, 'tree'),
        '-cf',
        file,
        '.',
      ],
      context,
    )
    const stored = await store.put(createReadStream(file))
    await cache.set(key, Buffer.from(JSON.stringify(stored)))
    task.end()
    return stored
  } catch (error) {
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The address as it may be written down. */
export function withoutCredentials(url: string): string {
  const parsed = new URL(url)
  // The user of an ssh address is no secret, and needed.
  if (parsed.protocol !== 'ssh:') parsed.username = ''
  parsed.password = ''
  return parsed.href
}

async function clone(
  { url, commit }: RepositoryLocation & { readonly commit: string },
  tree: string,
  context: RepositoryContext,
): Promise<void> {
  await git(['clone', '--quiet', '--no-checkout', '--', url, tree], url, context)
  // A commit that no branch leads to is asked for by name.
  const has = await git(['-C', tree, 'cat-file', '-e', `${commit}^{commit}`], url, context).then(
    () => true,
    () => false,
  )
  if (!has) await git(['-C', tree, 'fetch', '--quiet', 'origin', commit], url, context)
  await git(['-C', tree, 'checkout', '--quiet', '--detach', commit], url, context)
  await git(['-C', tree, 'submodule', '--quiet', 'update', '--init', '--recursive'], url, context)
  await removeCredentials(join(tree, '.git'))
}

/**
 * Addresses may hold credentials, and the checkout is about to be seen by the build. Submodules whose address is relative have
 * them in configurations of their own.
 */
async function removeCredentials(gitFolder: string): Promise<void> {
  for (const entry of await readdir(gitFolder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name !== 'config') continue
    const path = join(entry.parentPath, entry.name)
    const text = await readFile(path, 'utf8')
    const clean = text.replaceAll(/(?<=(?<!ssh):\/\/)[^\s/]+@/g, '')
    if (clean !== text) await writeFile(path, clean)
  }
}

async function git(args: readonly string[], url: string, context: RepositoryContext): Promise<string> {
  // Files of this machine are reached only where the requirement itself names one; a submodule must not.
  const protocols = url.startsWith('file:') ? 'file' : PROTOCOLS.filter((each) => each !== 'file').join(':')
  const env = {
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: protocols,
    GIT_LFS_SKIP_SMUDGE: '1',
    LC_ALL: 'C',
    ...authorities(context.env),
  }
  return tool('git', ['-c', 'core.hooksPath=/dev/null', '-c', 'advice.detachedHead=false', ...args], context, env, url)
}

/** git asks curl's library, which does not look at the variable that everything else here does. */
function authorities(env: RepositoryContext['env']): Readonly<Record<string, string>> {
  const file = env['SSL_CERT_FILE']
  return file && !env['GIT_SSL_CAINFO'] ? { GIT_SSL_CAINFO: file } : {}
}

async function tool(
  program: string,
  args: readonly string[],
  { env, signal }: RepositoryContext,
  added: Readonly<Record<string, string>> = {},
  url = '',
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...env, ...added }, maxBuffer: 64 * 2 ** 20, signal }
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      if (signal?.aborted) return reject(signal.reason as Error)
      if (systemErrorCode(error) === 'ENOENT') {
        return reject(
          new BuildError(
            'HOST_UNSUPPORTED',
            `A repository is named, and \`${program}\` is not installed here: ${maskUrl(url)}`,
            {
              hint: `Install \`${program}\`, or name a source archive or a wheel instead of the repository.`,
              cause: error,
            },
          ),
        )
      }
      const words = stderr
        .trim()
        .split('\n')
        .slice(-5)
        .join('\n')
        .replaceAll(/\/\/[^/@\s]*@/g, '//***@')
      reject(url === '' ? new BuildError('BUILD_FAILED', `\`${program}\` failed:\n${words}`) : unreadable(url, words))
    })
  })
}

function unreadable(url: string, words: string): BuildError {
  const isUntrusted = /certificate (?:problem|verif)|SSL certificate/i.test(words)
  return new BuildError(
    isUntrusted ? 'CERTIFICATE_INVALID' : 'NETWORK_FAILED',
    `git could not read ${maskUrl(url)}:\n${words}`,
    {
      cause: new Error(words),
      hint: isUntrusted ? 'Name the file of the certificate authority in SSL_CERT_FILE or GIT_SSL_CAINFO.' : undefined,
    },
  )
}

function parseKnown(bytes: Buffer | undefined): Pick<Descriptor, 'digest' | 'size'> | undefined {
  try {
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString('utf8')) as Pick<Descriptor, 'digest' | 'size'>)
  } catch {
    // Our own entry, damaged: cloned anew.
    return undefined
  }
}
