import { openBytes } from '../../src/core/bytes.ts'
import { aptConfiguration } from '../../src/debian/effects/apt-configuration.ts'
import { EFFECTS } from '../../src/debian/effects/index.ts'
import { System, type Output } from '../../src/debian/effects/system.ts'
import { SYSTEM_LINKS } from '../../src/debian/paths.ts'
import { unhonouredScripts } from '../../src/debian/scripts.ts'
import { unpackBaseFiles } from '../../src/debian/base-files.ts'
import { USUAL_MODE, type FolderMode } from '../../src/debian/folder-mode.ts'
import type { LeaveOut } from '../../src/debian/leave-out.ts'
import type { LayerContext } from '../context.ts'
import type { Entry } from '../entry.ts'
import { layerOfTar, writeTar } from '../files.ts'
import { comparePaths, parentsOf } from '../paths.ts'
import { debFacts, type DebSource } from './debs.ts'
import type { LayerKind } from './kind.ts'

/** What dpkg and the maintainer scripts would have written for packages whose files lie in layers below. */
export interface DebianRegistrationLayerSpec {
  readonly kind: 'debian-registration'
  readonly architecture: string
  readonly debs: readonly DebSource[]
  /** Set for a file system that is composed from nothing: its release, and what was left out of it. */
  readonly bootstrap?: { readonly suite: string; readonly leaveOut: LeaveOut } | undefined
  /** What the base has that this layer builds on; see `packBaseFiles`. */
  readonly base?: string | undefined
  /** Links to folders that the base has beside the usual ones, path -> destination. */
  readonly baseLinks?: Readonly<Record<string, string>> | undefined
  /** Folders of the base whose mode or owner is not the usual one, by path. */
  readonly keptFolders?: Readonly<Record<string, FolderMode>> | undefined
}

/**
 * Registers packages: dpkg's database, the loader's cache, alternatives, certificates, accounts.
 *
 * Make it after the layers that lay the packages down: it uses what was learned there instead of reading them again.
 */
export const debianRegistrationKind: LayerKind<DebianRegistrationLayerSpec> = {
  kind: 'debian-registration',
  make: (spec, context) => layerOfTar(writeTar(registrationEntries(spec, context)), context.compression),
}

/**
 * The entries of a registration layer, sorted; folders above them are there with the mode that they have below, so that the
 * layer can be unpacked by itself and stacked on others.
 */
export async function* registrationEntries(
  spec: DebianRegistrationLayerSpec,
  context: LayerContext,
): AsyncGenerator<Entry> {
  const links = new Map(Object.entries({ ...SYSTEM_LINKS, ...spec.baseLinks }))
  const facts = []
  for (const deb of spec.debs) facts.push(await debFacts(deb, context))
  const system = new System(facts, spec.architecture, unpackBaseFiles(spec.base), links, spec.bootstrap?.leaveOut)
  for (const effect of EFFECTS) effect(system)
  if (spec.bootstrap !== undefined) aptConfiguration(system, spec.bootstrap.suite, spec.bootstrap.leaveOut)
  for (const { package: name, controlFiles } of facts) {
    for (const { script, reason } of unhonouredScripts(name, controlFiles, spec.architecture)) {
      context.report({
        type: 'note',
        level: 'warning',
        code: 'SCRIPT_NOT_RUN',
        text: `The ${script} of ${name} was not run: ${reason}`,
      })
    }
  }
  for (const text of uncompiledSettings(system)) {
    context.report({ type: 'note', level: 'warning', code: 'SCRIPT_NOT_RUN', text })
  }
  const outputs = new Map(system.outputs())
  for (const path of parentsOf(outputs.keys())) {
    if (outputs.has(path)) continue
    const mode = spec.keptFolders?.[path] ?? system.folderMode(path) ?? USUAL_MODE
    outputs.set(path, { kind: 'directory', ...mode })
  }
  for (const [path, output] of [...outputs].sort(([a], [b]) => comparePaths(a, b))) yield entryOf(path, output)
}

/** Schemas that programs of desktops bring for their settings, and end without when they are not compiled. */
function* uncompiledSettings(system: System): Generator<string> {
  const schemas = [...system.paths()].filter(({ path }) =>
    /^usr\/share\/glib-2\.0\/schemas\/.*\.gschema\.xml$/.test(path),
  )
  if (schemas.length === 0) return
  const command = '/usr/lib/*/glib-2.0/glib-compile-schemas /usr/share/glib-2.0/schemas'
  yield `The schemas of settings (${schemas.length}) are not compiled; programs that use them need \`${command}\` in build.run`
}

function entryOf(path: string, output: Output): Entry {
  switch (output.kind) {
    case 'file': {
      const { content, mode, uid, gid } = output
      return { kind: 'file', path, mode, uid, gid, sizeBytes: content.length, open: openBytes(content) }
    }
    case 'symlink':
      return { kind: 'symlink', path, mode: 0o777, target: output.target }
    case 'directory':
      return { kind: 'directory', path, mode: output.mode, uid: output.uid, gid: output.gid }
    case 'whiteout':
      return { kind: 'whiteout', path, opaque: false }
  }
}
