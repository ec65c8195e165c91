import { collect, copied } from '../../src/core/bytes.ts'
import { readArMembers } from '../../src/debian/ar.ts'
import { compressionOf, decompress } from '../../src/debian/compression.ts'
import { openDeb } from '../../src/debian/deb.ts'
import { signedRelease, type ArchiveKey } from './debian-archive.ts'
import { makeAr, sha256 } from './debian-package.ts'
import { randomAccess } from './random-access.ts'
import { loadZstd } from './zstd.ts'

const MAX_BYTES = 1 << 30

/** A package as Ubuntu's archive has them: both members in zstd, nothing else changed. */
export async function inZstd(deb: Buffer): Promise<Buffer> {
  const file = randomAccess(deb)
  const zstd = await loadZstd()
  const members = []
  for (const { name, offset, sizeBytes } of await readArMembers(file)) {
    const { stem, compression } = compressionOf(name) ?? { stem: name, compression: '' }
    if (!stem.endsWith('.tar')) {
      members.push({ name, content: await file.read(offset, sizeBytes) })
      continue
    }
    const tar = await collect(copied(decompress(file.stream(offset, sizeBytes), compression, MAX_BYTES)), MAX_BYTES)
    members.push({ name: `${stem}.zst`, content: zstd.compress(tar, 3) })
  }
  return makeAr(members)
}

/** What an archive in Ubuntu's form serves, by path. */
export async function ubuntuArchive(
  codename: string,
  packages: ReadonlyMap<string, Buffer>,
  key: ArchiveKey,
): Promise<Map<string, Buffer>> {
  const zstd = await loadZstd()
  const files = new Map<string, Buffer>()
  const stanzas: string[] = []
  for (const [name, deb] of packages) {
    const { controlText } = await openDeb(randomAccess(deb), name)
    const filename = `pool/${name}.deb`
    files.set(`/${filename}`, deb)
    stanzas.push(`${controlText.trimEnd()}\nFilename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`)
  }
  const date = new Date(Date.now() - 60_000)
  for (const pocket of ['', '-updates', '-security']) {
    const folder = `/dists/${codename}${pocket}`
    const lines: string[] = []
    for (const component of ['main', 'restricted', 'universe', 'multiverse']) {
      const text = pocket === '' ? stanzas.filter((_, n) => COMPONENT_OF[n % 4] === component).join('\n') : ''
      const index = Buffer.from(zstd.compress(Buffer.from(text), 3))
      const path = `${component}/binary-amd64/Packages.zst`
      files.set(`${folder}/${path}`, index)
      files.set(`${folder}/${component}/binary-amd64/by-hash/SHA256/${sha256(index)}`, index)
      lines.push(` ${sha256(index)} ${index.length} ${path}`)
    }
    const release = [
      'Origin: Ubuntu',
      'Label: Ubuntu',
      `Suite: ${codename}${pocket}`,
      `Codename: ${codename}`,
      'Architectures: amd64',
      'Components: main restricted universe multiverse',
      `Date: ${date.toUTCString().replace('GMT', 'UTC')}`,
      'Acquire-By-Hash: yes',
      'SHA256:',
      ...lines,
    ]
    for (const [name, content] of await signedRelease(`${release.join('\n')}\n`, date, {}, key)) {
      files.set(`${folder}/${name}`, content)
    }
  }
  return files
}

/** Packages are spread over the components, since a dependency of one may lie in another. */
const COMPONENT_OF = ['main', 'main', 'universe', 'main']
