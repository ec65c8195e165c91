import { posix } from 'node:path'
import { javaKeyStore } from './java-key-store.ts'
import pixbuf from './tables/gdk-pixbuf-loaders.json' with { type: 'json' }
import graphviz from './tables/graphviz-plugins.json' with { type: 'json' }
import type { System } from './system.ts'

/** What scripts of single well-known packages write. */
export function knownPackages(system: System): void {
  for (const [name, effect] of Object.entries(KNOWN)) if (system.package(name) !== undefined) effect(system)
}

/** Packages that {@link knownPackages} stands in for. */
export const KNOWN: Readonly<Record<string, (system: System) => void>> = {
  'git-lfs': (system) => {
    const before = system.readText('etc/gitconfig') ?? ''
    if (!before.includes('[filter "lfs"]')) system.write('etc/gitconfig', before + GIT_LFS)
  },
  'fontconfig-config': (system) => {
    // The answers that debconf has when nobody is asked: slight hinting, no bitmap fonts.
    for (const name of ['10-hinting-slight.conf', '70-no-bitmaps.conf']) {
      const target = `usr/share/fontconfig/conf.avail/${name}`
      if (system.has(target)) system.link(`etc/fonts/conf.d/${name}`, `/${target}`)
    }
  },
  libgvc6: (system) => {
    const plugin = [...system.paths()].find(({ path }) => path.endsWith('/graphviz/libgvplugin_core.so.6'))
    if (plugin === undefined) return
    const folder = plugin.path.slice(0, plugin.path.lastIndexOf('/'))
    system.write(
      `${folder}/config6a`,
      graphvizPlugins((library) => system.has(`${folder}/${library}`)),
    )
  },
  'libgdk-pixbuf-2.0-0': (system) => {
    const folder = /^usr\/lib\/[^/]+\/gdk-pixbuf-2\.0\/2\.10\.0\/loaders\/[^/]+\.so$/
    const loaders = [...system.paths()].map(({ path }) => path).filter((path) => folder.test(path))
    const [first] = loaders.sort()
    if (first !== undefined) system.write(posix.join(first, '../../loaders.cache'), pixbufLoaders(loaders))
  },
  'ca-certificates-java': (system) => {
    const paths = [...system.find(/^usr\/share\/ca-certificates\/.*\.crt$/)].sort()
    const certificates = paths.flatMap((path) => {
      const pem = system.read(path)
      const alias = `debian:${path.slice(path.lastIndexOf('/') + 1).replace(/\.crt$/, '.pem')}`.toLowerCase()
      return pem === undefined ? [] : [{ alias, pem }]
    })
    if (certificates.length === 0) return
    system.write('etc/ssl/certs/java/cacerts', javaKeyStore(certificates))
    if (!system.has('var/lib/ca-certificates-java')) system.folder('var/lib/ca-certificates-java')
  },
  'java-common': makeJavaPreferences,
}

const GIT_LFS = `[filter "lfs"]
\tclean = git-lfs clean -- %f
\tsmudge = git-lfs smudge -- %f
\tprocess = git-lfs filter-process
\trequired = true
`

function pixbufLoaders(paths: readonly string[]): string {
  const known = paths.map((path) => {
    const lines = pixbuf.loaders.find(({ library }) => library === posix.basename(path))?.lines
    return lines === undefined ? '' : [`"/${path}"`, ...lines, '', ''].join('\n')
  })
  return [...pixbuf.head, ''].join('\n') + known.join('') + '\n'
}

function makeJavaPreferences(system: System): void {
  for (const folder of ['etc/.java', 'etc/.java/.systemPrefs']) if (!system.has(folder)) system.folder(folder)
  for (const file of ['.system.lock', '.systemRootModFile']) {
    const path = `etc/.java/.systemPrefs/${file}`
    if (!system.has(path)) system.write(path, '')
  }
}

function graphvizPlugins(isThere: (library: string) => boolean): string {
  const plugins = graphviz.plugins.filter(({ library }) => isThere(library))
  return [graphviz.head, ...plugins.map(({ lines }) => lines)].map((lines) => lines.join('\n')).join('')
}
