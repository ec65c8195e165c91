import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { encodeTarHeader, TAR_END, tarPadding } from '../../layers/tar-header.ts'

/** One member of a package's content; names as the tar has them, so that a test may lie. */
export interface DebMember {
  readonly name: string
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink' | undefined
  readonly content?: string | Uint8Array | undefined
  readonly target?: string | undefined
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
}

/** A package to build: control fields beyond the usual ones, control files, content. */
export interface DebDescription {
  readonly package: string
  readonly version?: string | undefined
  readonly architecture?: string | undefined
  readonly fields?: Readonly<Record<string, string>> | undefined
  readonly controlFiles?: Readonly<Record<string, string>> | undefined
  readonly members?: readonly DebMember[] | undefined
}

/** Writes a tar with members as they are described. */
export function makeTar(members: readonly DebMember[]): Buffer {
  const parts = members.flatMap(({ name, type = 'file', content = '', target, mode, uid, gid }) => {
    const bytes = type === 'file' ? Buffer.from(content) : Buffer.alloc(0)
    const header = encodeTarHeader({
      type,
      path: name.replace(/\/$/, ''),
      mode: mode ?? (type === 'directory' ? 0o755 : 0o644),
      mtimeSeconds: 1_000_000_000,
      uid,
      gid,
      target,
      sizeBytes: bytes.length,
    })
    return [header, bytes, TAR_END.subarray(0, tarPadding(bytes.length))]
  })
  return Buffer.concat([...parts, TAR_END])
}

/** Writes an ar archive. */
export function makeAr(members: readonly { readonly name: string; readonly content: Uint8Array }[]): Buffer {
  const parts = members.flatMap(({ name, content }) => [
    Buffer.from(
      `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
    ),
    content,
    Buffer.from(content.length % 2 === 1 ? '\n' : ''),
  ])
  return Buffer.concat([Buffer.from('!<arch>\n'), ...parts])
}

/** The control stanza of a description. */
export function controlText(deb: DebDescription): string {
  const fields = {
    Package: deb.package,
    Version: deb.version ?? '1',
    Architecture: deb.architecture ?? 'amd64',
    Maintainer: 'Nobody <nobody@example.org>',
    ...deb.fields,
    Description: 'a test package',
  }
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')
}

/** Builds a .deb with gzip members. */
export function makeDeb(deb: DebDescription): Buffer {
  const files = { control: controlText(deb), ...deb.controlFiles }
  const control = makeTar(Object.entries(files).map(([name, content]) => ({ name: `./${name}`, content })))
  return makeAr([
    { name: 'debian-binary', content: Buffer.from('2.0\n') },
    { name: 'control.tar.gz', content: gzipSync(control) },
    { name: 'data.tar.gz', content: gzipSync(makeTar(deb.members ?? [])) },
  ])
}

/** Lower-case hex of the SHA-256. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}
