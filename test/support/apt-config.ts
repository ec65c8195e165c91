import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'

/**
 * Settings under which apt knows one release of Debian and nothing of this machine: packages and sources are resolved and
 * verified in a folder of their own.
 *
 * @returns the file for `APT_CONFIG`
 */
export async function writeAptConfig(folder: string, release: string): Promise<string> {
  for (const name of ['state/lists/partial', 'cache/archives/partial']) {
    await mkdir(path.join(folder, name), { recursive: true })
  }
  await writeFile(path.join(folder, 'status'), '')
  const archive = `[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian ${release} main\n`
  await writeFile(path.join(folder, 'sources.list'), `deb ${archive}deb-src ${archive}`)
  const config = path.join(folder, 'apt.conf')
  const settings = {
    'Dir::State': path.join(folder, 'state'),
    'Dir::State::status': path.join(folder, 'status'),
    'Dir::Cache': path.join(folder, 'cache'),
    'Dir::Etc::SourceList': path.join(folder, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Parts': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Install-Recommends': 'false',
    // The folders belong to whoever runs the test.
    'APT::Sandbox::User': '',
    // Signatures count; a mirror that stands still is no harm here.
    'Acquire::Check-Valid-Until': 'false',
  }
  await writeFile(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key} "${value}";\n`)
      .join(''),
  )
  return config
}
