import { gunzipSync, gzipSync } from 'node:zlib'
import type { Digest } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'

/**
 * Files of an existing base that the registration of further packages builds on.
 *
 * dpkg's database, the loader's cache and its configuration, accounts, alternatives, the choice of certificates.
 */
export const BASE_FILES: readonly RegExp[] = [
  /^var\/lib\/dpkg\/(status|diversions|statoverride|arch)$/,
  /^var\/lib\/dpkg\/status\.d\/[^/]+$/,
  /^var\/lib\/dpkg\/alternatives\/[^/]+$/,
  /^var\/lib\/dpkg\/triggers\/[^/]+$/,
  /^etc\/(passwd|group|shadow|gshadow|ld\.so\.cache|ld\.so\.conf|shells|nsswitch\.conf|timezone|profile|motd|inputrc)$/,
  /^etc\/ld\.so\.conf\.d\/[^/]+$/,
  /^etc\/ca-certificates\.conf$/,
  /^etc\/pam\.d\/common-auth$/,
]

/** File lists of the base's packages; those of upgraded packages are needed to remove what is gone. */
export const BASE_LISTS = /^var\/lib\/dpkg\/info\/[^/]+\.list$/

/** Keyrings of the distributions themselves; a vendor's key in a base vouches for the vendor's archive only. */
export const BASE_KEYRING =
  /^(?:usr\/share\/keyrings|etc\/apt\/trusted\.gpg\.d)\/(?:debian|ubuntu)-[^/]*\.(?:gpg|pgp|asc)$/

const MAX_UNPACKED_BYTES = 256 << 20

/** Packs a base's files into text for a layer spec: equal files give equal text, as long as zlib is the same. */
export function packBaseFiles(files: ReadonlyMap<string, Buffer>): string {
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = sorted.flatMap(([path, content]) => [Buffer.from(`${path}\n${content.length}\n`), content])
  const packed = gzipSync(Buffer.concat(parts), { level: 9 })
  // The tenth byte names the host's system.
  packed[9] = 255
  return packed.toString('base64')
}

/** The files that {@link packBaseFiles} packed; none when there is no base. @throws RangeError when it is damaged */
export function unpackBaseFiles(packed: string | undefined): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  if (packed === undefined) return files
  const bytes = inflated(packed)
  for (let at = 0; at < bytes.length;) {
    const pathEnd = bytes.indexOf(10, at)
    const sizeEnd = bytes.indexOf(10, pathEnd + 1)
    const size = Number(bytes.toString('latin1', pathEnd + 1, sizeEnd))
    if (pathEnd === -1 || sizeEnd === -1 || !Number.isSafeInteger(size)) throw new RangeError('Damaged files of a base')
    files.set(bytes.toString('utf8', at, pathEnd), bytes.subarray(sizeEnd + 1, sizeEnd + 1 + size))
    at = sizeEnd + 1 + size
  }
  return files
}

/** Names the files that {@link packBaseFiles} packed, whatever packed them. */
export function baseFilesDigest(packed: string): Digest {
  return digestOf(inflated(packed))
}

function inflated(packed: string): Buffer {
  return gunzipSync(Buffer.from(packed, 'base64'), { maxOutputLength: MAX_UNPACKED_BYTES })
}
