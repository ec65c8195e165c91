import { createServer, type Server } from 'node:http'
import { gzipSync } from 'node:zlib'
import { createCleartextMessage, generateKey, readPrivateKey, sign } from 'openpgp'
import { controlText, makeDeb, sha256, type DebDescription } from './debian-package.ts'

/** A key pair of a test archive. */
export interface ArchiveKey {
  readonly privateKey: string
  readonly publicKey: Buffer
}

/** Makes a key pair. */
export async function makeArchiveKey(): Promise<ArchiveKey> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name: 'Test archive' }],
    format: 'armored',
    date: new Date(Date.now() - 30 * 24 * 3600_000),
  })
  return { privateKey, publicKey: Buffer.from(publicKey) }
}

/** What a test archive serves, and how it misbehaves. */
export interface ArchiveOptions {
  readonly suite?: string | undefined
  readonly date?: Date | undefined
  readonly validUntil?: Date | undefined
  /** Changes the Packages file after it was listed. */
  readonly tamperIndex?: boolean | undefined
  /** Changes the Release file after it was signed. */
  readonly tamperRelease?: boolean | undefined
  readonly hasByHash?: boolean | undefined
}

/** A signed Debian archive on loopback. */
export interface TestArchive {
  readonly url: string
  /** Paths that were asked for. */
  readonly requests: string[]
  publish(packages: readonly DebDescription[], options?: ArchiveOptions): Promise<void>
  close(): Promise<void>
}

/** Starts an empty archive whose releases the key signs. */
export async function startArchive(key: ArchiveKey): Promise<TestArchive> {
  const files = new Map<string, Buffer>()
  const requests: string[] = []
  const server: Server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const content = files.get(path)
    response.statusCode = content === undefined ? 404 : 200
    response.end(content)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    publish: async (packages, options = {}) => {
      files.clear()
      for (const [path, content] of await archiveFiles(packages, options, key)) files.set(path, content)
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

async function archiveFiles(
  packages: readonly DebDescription[],
  options: ArchiveOptions,
  key: ArchiveKey,
): Promise<Map<string, Buffer>> {
  const { suite = 'stable', date = new Date(Date.now() - 60_000), hasByHash = true } = options
  const files = new Map<string, Buffer>()
  const stanzas = packages.map((description) => {
    const deb = makeDeb(description)
    const filename = `pool/${description.package}_${description.version ?? '1'}.deb`
    files.set(`/${filename}`, deb)
    return `${controlText(description)}Filename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`
  })
  const index = gzipSync(stanzas.join('\n'))
  const indexPath = 'main/binary-amd64/Packages.gz'
  const served =
    options.tamperIndex === true ? gzipSync(stanzas.join('\n').replaceAll('Version: 1', 'Version: 6')) : index
  files.set(`/dists/${suite}/${indexPath}`, served)
  files.set(`/dists/${suite}/main/binary-amd64/by-hash/SHA256/${sha256(index)}`, served)
  const lines = [
    'Origin: Test',
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    `Date: ${date.toUTCString().replace('GMT', 'UTC')}`,
    ...(options.validUntil === undefined
      ? []
      : [`Valid-Until: ${options.validUntil.toUTCString().replace('GMT', 'UTC')}`]),
    ...(hasByHash ? ['Acquire-By-Hash: yes'] : []),
    'SHA256:',
    ` ${sha256(index)} ${index.length} ${indexPath}`,
  ]
  const message = await createCleartextMessage({ text: `${lines.join('\n')}\n` })
  const signed = await sign({
    message,
    signingKeys: await readPrivateKey({ armoredKey: key.privateKey }),
    date: new Date(Math.min(Date.now(), date.getTime() + 1000)),
  })
  files.set(
    `/dists/${suite}/InRelease`,
    Buffer.from(options.tamperRelease === true ? signed.replace('Origin: Test', 'Origin: Evil') : signed),
  )
  return files
}
