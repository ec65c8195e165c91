import { BuildError } from '../../core/errors.ts'
import type { OldRelease } from '../../versions/prune.ts'
import { append } from '../append.ts'
import type { Command } from '../command.ts'
import { openRepository, renderTable, SHORT_DIGEST } from '../versions.ts'

/** `layerwright versions prune`: removes what is kept of old releases, in the registry. */
export const command: Command = {
  define(program) {
    program
      .argument('<repository>', 'such as ghcr.io/owner/model; with :TAG only the history of that tag')
      .option('--keep <count>', 'releases of each tag that can be gone back to, the present one among them', '10')
      .option(
        '--protect <version>',
        'a tag or digest that is in use; its releases stay, and newer ones; repeatable',
        append,
        [],
      )
      .option('--dry-run', 'show what would be removed and remove nothing')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print a JSON array of what was removed')
  },
  async run([name = ''], options, io) {
    const { keep: keepText, protect, dryRun, insecure, json } = options as unknown as Flags
    const { findOldReleases, LEAST_KEPT, removeReleases } = await import('../../versions/prune.ts')
    const keep = Number(keepText)
    if (!/^\d+$/.test(keepText) || keep < LEAST_KEPT)
      throw new BuildError('USAGE', `--keep must be ${LEAST_KEPT} or more: \`${keepText}\``, {
        hint: 'What a tag means and what it meant before are never removed.',
      })
    const actions = dryRun === true ? 'pull' : 'push'
    const { client, reference, registries } = await openRepository(name, actions, insecure === true, io)
    if (reference.digest !== undefined)
      throw new BuildError('USAGE', `Name a repository, or a tag of it, without a digest: \`${name}\``)
    const { tag } = reference
    const old = await findOldReleases(client, { keep, tag, protect }, Math.floor(Date.now() / 1000))
    const removed: OldRelease[] = []
    const remover = registries.client(reference, { actions: 'delete' })
    try {
      if (dryRun !== true) await removeReleases(client, remover, old, (release) => removed.push(release))
    } finally {
      const shown = dryRun === true ? old : removed
      io.stdout.write(json === true ? `${JSON.stringify(shown, undefined, 2)}\n` : renderReleases(shown))
    }
    const text = dryRun === true ? `${count(old)} would be removed` : `${count(removed)} removed`
    io.report({ type: 'note', level: 'info', text })
  },
}

interface Flags {
  readonly keep: string
  readonly protect: readonly string[]
  readonly dryRun?: boolean
  readonly insecure?: boolean
  readonly json?: boolean
}

function count({ length }: readonly unknown[]): string {
  return length === 0 ? 'Nothing' : length === 1 ? '1 release' : `${length} releases`
}

function renderReleases(releases: readonly OldRelease[]): string {
  if (releases.length === 0) return ''
  const rows = releases.map(({ tag, number, at, record, digest, alsoNamed }) => [
    `${tag} ${number} ${at}`,
    digest.slice(0, SHORT_DIGEST),
    alsoNamed.join(' '),
    record,
  ])
  return renderTable(['RELEASE', 'DIGEST', 'ALSO NAMED', 'REMOVED TAG'], rows)
}
