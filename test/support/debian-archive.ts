import { execFileSync } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { gzipSync } from 'node:zlib'
import { createCleartextMessage, createMessage, generateKey, readPrivateKey, sign } from 'openpgp'
import { loadZstd } from './zstd.ts'
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
  /** `main` unless given. */
  readonly components?: readonly string[] | undefined
  readonly suite?: string | undefined
  readonly date?: Date | undefined
  readonly validUntil?: Date | undefined
  /** Changes the Packages file after it was listed. */
  readonly tamperIndex?: boolean | undefined
  /** Changes the Release file after it was signed. */
  readonly tamperRelease?: boolean | undefined
  /** Text before and after the signed part of InRelease. */
  readonly unsignedText?: string | undefined
  readonly hasByHash?: boolean | undefined
  /** Lays the archive out without `dists/` and components, in this folder (`''` for the root). */
  readonly flatFolder?: string | undefined
  /** Signs `Release` by `Release.gpg` and has no `InRelease`. */
  readonly isDetached?: boolean | undefined
  /** Gives nothing but `InRelease`-like text without a signature. */
  readonly isUnsigned?: boolean | undefined
  /** How the index is compressed; gzip unless given. */
  readonly indexEnding?: '.gz' | '.xz' | '.zst' | '' | undefined
}

/** A signed Debian archive on loopback. */
export interface TestArchive {
  readonly url: string
  /** Paths that were asked for. */
  readonly requests: string[]
  publish(packages: readonly DebDescription[], options?: ArchiveOptions): Promise<void>
  /** Publishes the same packages in every component of several suites. */
  publishSuites(
    suites: readonly string[],
    components: readonly string[],
    packages: readonly DebDescription[],
  ): Promise<void>
  /** Serves files by path, such as those of an archive that was made elsewhere. */
  publishFiles(content: ReadonlyMap<string, Buffer>): void
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
    publishSuites: async (suites, components, packages) => {
      files.clear()
      for (const suite of suites) {
        for (const [path, content] of await archiveFiles(packages, { suite, components }, key)) files.set(path, content)
      }
    },
    publishFiles: (content) => {
      files.clear()
      for (const [path, bytes] of content) files.set(path, bytes)
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

async function archiveFiles(
  packages: readonly DebDescription[],
  options: ArchiveOptions,
  key: ArchiveKey,
): Promise<Map<string, Buffer>> {
  const { suite = 'stable', hasByHash = true, flatFolder, indexEnding = '.gz' } = options
  const isFlat = flatFolder !== undefined
  const files = new Map<string, Buffer>()
  const pool = isFlat ? `./${flatFolder === '' ? '' : `${flatFolder}/`}` : 'pool/'
  const stanzas = packages.map((description) => {
    const deb = makeDeb(description)
    const filename = `${pool}${description.package}_${description.version ?? '1'}.deb`
    files.set(`/${filename.replace(/^\.\//, '')}`, deb)
    return `${controlText(description)}Filename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`
  })
  const compress = COMPRESS[indexEnding]
  const index = await compress(stanzas.join('\n'))
  const folder = isFlat ? (flatFolder === '' ? '' : `/${flatFolder}`) : `/dists/${suite}`
  const indexPaths = (options.components ?? ['main']).map(
    (component) => `${isFlat ? '' : `${component}/binary-amd64/`}Packages${indexEnding}`,
  )
  const served =
    options.tamperIndex === true ? await compress(stanzas.join('\n').replaceAll('Version: 1', 'Version: 6')) : index
  for (const path of indexPaths) {
    files.set(`${folder}/${path}`, served)
    files.set(`${folder}/${path.replace(/[^/]+$/, '')}by-hash/SHA256/${sha256(index)}`, served)
  }
  const { date = new Date(Date.now() - 60_000), validUntil } = options
  const lines = [
    'Origin: Test',
    ...(isFlat ? [] : [`Suite: ${suite}`, `Codename: ${suite}`]),
    `Date: ${date.toUTCString().replace('GMT', 'UTC')}`,
    ...(validUntil === undefined ? [] : [`Valid-Until: ${validUntil.toUTCString().replace('GMT', 'UTC')}`]),
    ...(hasByHash ? ['Acquire-By-Hash: yes'] : []),
    'SHA256:',
    ...indexPaths.map((path) => ` ${sha256(index)} ${index.length} ${isFlat ? './' : ''}${path}`),
  ]
  for (const [name, content] of await signedRelease(`${lines.join('\n')}\n`, date, options, key)) {
    files.set(`${folder}/${name}`, content)
  }
  return files
}

const COMPRESS = {
  '.gz': (text: string) => gzipSync(text),
  // The xz tool is part of every Debian and of the runners.
  '.xz': (text: string) => execFileSync('xz', ['-c'], { input: text }),
  '.zst': async (text: string) => Buffer.from((await loadZstd()).compress(Buffer.from(text), 3)),
  '': (text: string) => Buffer.from(text),
}

/** A Release file, signed, by the names under which it is served. */
export async function signedRelease(
  text: string,
  date: Date,
  options: ArchiveOptions,
  key: ArchiveKey,
): Promise<[string, Buffer][]> {
  if (options.isUnsigned === true) return [['InRelease', Buffer.from(text)]]
  const signing = {
    signingKeys: await readPrivateKey({ armoredKey: key.privateKey }),
    date: new Date(Math.min(Date.now(), date.getTime() + 1000)),
  }
  const altered = (signed: string): Buffer =>
    Buffer.from(options.tamperRelease === true ? signed.replace('Origin: Test', 'Origin: Evil') : signed)
  if (options.isDetached !== true) {
    const { unsignedText = '' } = options
    const signed = await sign({ message: await createCleartextMessage({ text }), ...signing })
    return [['InRelease', altered(`${unsignedText}${signed}${unsignedText}`)]]
  }
  const message = await createMessage({ binary: Buffer.from(text) })
  const signature = await sign({ message, detached: true, ...signing })
  return [
    ['Release', altered(text)],
    ['Release.gpg', Buffer.from(signature)],
  ]
}
