import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** Where a project's sources stand in version control. */
export interface Revision {
  /** Full commit hash. */
  readonly commit: string
  /** Tag or branch, as far as it is known. */
  readonly ref?: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** Variables of CI systems that name commit and ref; more exact than a shallow, detached checkout. */
const CI_VARIABLES = [
  ['GITHUB_SHA', 'GITHUB_REF_NAME'],
  ['CI_COMMIT_SHA', 'CI_COMMIT_REF_NAME'],
  ['BITBUCKET_COMMIT', 'BITBUCKET_BRANCH'],
] as const

/**
 * Reads the commit of a project from the CI's variables or from the files of git; needs no git program.
 *
 * @returns undefined outside a checkout, in one without a commit, and in one whose files cannot be read
 * @see git's gitrepository-layout(5)
 */
export async function readRevision(folder: string, env: Environment): Promise<Revision | undefined> {
  for (const [commitName, refName] of CI_VARIABLES) {
    const commit = env[commitName]
    if (commit !== undefined && isCommit(commit)) return withRef(commit, env[refName])
  }
  const gitFolder = await findGitFolder(resolve(folder))
  if (gitFolder === undefined) return undefined
  const head = await readTrimmed(join(gitFolder, 'HEAD'))
  if (head === undefined) return undefined
  if (isCommit(head)) return { commit: head }
  const ref = /^ref: (refs\/\S+)$/.exec(head)?.[1]
  if (ref === undefined || ref.includes('..')) return undefined
  const commit = await readRef(gitFolder, ref)
  return commit === undefined ? undefined : withRef(commit, ref.replace(/^refs\/(heads|tags)\//, ''))
}

async function findGitFolder(start: string): Promise<string | undefined> {
  for (let folder = start; ; folder = dirname(folder)) {
    const candidate = join(folder, '.git')
    const found = await stat(candidate).catch(() => undefined)
    if (found?.isDirectory() === true) return candidate
    if (found?.isFile() === true) {
      // A worktree or submodule: the file names the real place.
      const target = /^gitdir: (.+)$/.exec((await readTrimmed(candidate)) ?? '')?.[1]
      return target === undefined ? undefined : resolve(folder, target)
    }
    if (dirname(folder) === folder) return undefined
  }
}

async function readRef(gitFolder: string, ref: string): Promise<string | undefined> {
  const common = await readTrimmed(join(gitFolder, 'commondir'))
  const folders = common === undefined ? [gitFolder] : [gitFolder, resolve(gitFolder, common)]
  for (const folder of folders) {
    const loose = await readTrimmed(join(folder, ref))
    if (loose !== undefined && isCommit(loose)) return loose
    const packed = await readTrimmed(join(folder, 'packed-refs'))
    const line = packed?.split('\n').find((text) => text.endsWith(` ${ref}`))
    const commit = line?.split(' ')[0]
    if (commit !== undefined && isCommit(commit)) return commit
  }
  return undefined
}

function withRef(commit: string, ref: string | undefined): Revision {
  return ref === undefined || ref === '' ? { commit } : { commit, ref }
}

function isCommit(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

async function readTrimmed(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch {
    // Absent or unreadable: a label less, no reason to stop a build.
    return undefined
  }
}
