import { appendFile, mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { writeAptConfig } from './apt-config.ts'
import { mustRun } from './command.ts'

/*
 * A base image of a Debian that is not released, for an interpreter that no released one has. apt resolves and verifies
 * the packages, in folders of its own; they are unpacked, not configured.
 */

const RELEASE = 'forky'

/**
 * Makes the base.
 *
 * @param packages  names; what they depend on comes along
 * @returns a reference to it, `oci:FOLDER:TAG`
 */
export async function makeTestingBase(folder: string, packages: readonly string[]): Promise<string> {
  const config = await writeAptConfig(folder, RELEASE)
  const apt = (...args: readonly string[]) => mustRun('apt-get', args, { env: { APT_CONFIG: config } })
  await apt('update')
  await apt('install', '--yes', '--download-only', 'base-files', 'bash', 'coreutils', 'dash', ...packages)

  const root = path.join(folder, 'root')
  await mkdir(path.join(root, 'var/lib/dpkg'), { recursive: true })
  const archives = path.join(folder, 'cache/archives')
  const files = (await readdir(archives)).filter((name) => name.endsWith('.deb'))
  // The links of the merged /usr come with base-files.
  for (const name of files.toSorted(
    (a, b) => Number(b.startsWith('base-files_')) - Number(a.startsWith('base-files_')),
  )) {
    const file = path.join(archives, name)
    await mustRun('dpkg-deb', ['--extract', file, root])
    const { stdout } = await mustRun('dpkg-deb', ['--field', file])
    const stanza = stdout.replace(/^Package: .*$/m, '$&\nStatus: install ok installed')
    await appendFile(path.join(root, 'var/lib/dpkg/status'), `${stanza}\n`)
  }

  const layout = path.join(folder, 'layout')
  await mustRun('umoci', ['init', '--layout', layout])
  await mustRun('umoci', ['new', '--image', `${layout}:v1`])
  await mustRun('umoci', ['insert', '--image', `${layout}:v1`, root, '/'])
  return `oci:${layout}:v1`
}
