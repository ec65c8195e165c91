import type { Version } from '../../versions/list-versions.ts'
import type { Command } from '../command.ts'
import { formatBytes } from '../progress/format.ts'
import { openRepository, renderTable, SHORT_DIGEST } from '../versions.ts'

const SHORT_REVISION = 12

/** `layerwright versions`: the images of a repository, last released first. */
export const command: Command = {
  subcommands: [
    {
      name: 'prune',
      group: 'Move',
      summary: 'remove what is kept of old releases',
      load: () => import('./versions-prune.ts'),
    },
  ],
  runsItself: true,
  define(program) {
    program
      .argument('<repository>', 'such as ghcr.io/owner/model')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print a JSON array')
  },
  async run([name = ''], options, io) {
    const { client, registries } = await openRepository(name, 'pull', options['insecure'] === true, io)
    const { listVersions } = await import('../../versions/list-versions.ts')
    const versions = await listVersions(client, registries)
    io.stdout.write(options['json'] === true ? `${JSON.stringify(versions, undefined, 2)}\n` : renderVersions(versions))
  },
}

function renderVersions(versions: readonly Version[]): string {
  const head = ['DIGEST', 'TAGS', 'RELEASES', 'REVISION', 'SIZE', 'PLATFORMS']
  const rows = versions.map((version) => [
    version.digest.slice(0, SHORT_DIGEST),
    version.tags.join(' '),
    version.releases
      .map(({ tag, number, at, isCurrent }) => `${tag} ${number}${isCurrent ? '*' : ''} ${at}`)
      .join(', '),
    (version.revision ?? '').slice(0, SHORT_REVISION),
    formatBytes(version.sizeBytes),
    version.platforms.join(' '),
  ])
  return renderTable(head, rows)
}
