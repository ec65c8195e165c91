import type { Digest } from 'oci-spec-types'
import { canonicalDigest } from '../src/core/json.ts'
import { MadeFiles, type ListedFile, type ListedFiles } from './listed-files.ts'
import { HASH_BYTES, KIND, STAMP_LENGTH } from './project-index.ts'
import { partProject, PARTS, type FolderSize } from './project-parts.ts'
import { pathOf, type ProjectScan, type ScannedFolder } from './project-scan.ts'

/** What a project folder holds, as layers see it. Sorted by path. */
export interface Project {
  readonly code: ListedFiles
  /** The same, a layer each; undefined where one layer holds it all. */
  readonly codeParts?: readonly ListedFiles[] | undefined
  readonly weights: readonly ListedFile[]
  /** Files that look like secrets and will be in the image. */
  readonly suspects: readonly string[]
}

/** Lists a project of which all is known. Files of at least a size are weights. */
export function listProject(scan: ProjectScan, weightBytes: number): Project {
  const isWeight = (file: ListedFile): boolean => 'sizeBytes' in file && file.sizeBytes >= weightBytes
  const listCode = function* (isWanted?: (folder: string) => boolean): Generator<ListedFile> {
    for (const file of listFiles(scan, isWanted)) if (!isWeight(file)) yield file
  }
  const weights: ListedFile[] = []
  const suspects: string[] = []
  let codeCount = 0
  for (const file of listFiles(scan)) {
    if (isWeight(file)) weights.push(file)
    else codeCount++
    if (SUSPECT.test(file.path)) suspects.push(file.path)
  }
  const codeParts = listParts(sizesOf(scan, weightBytes), listCode)
  return { code: new MadeFiles(codeCount, listCode), codeParts, weights, suspects }
}

/** Code of each folder, without the folders in it: of entries of all kinds, and of files the bytes. */
function sizesOf({ folders }: ProjectScan, weightBytes: number): ReadonlyMap<string, FolderSize> {
  return new Map(
    folders.map((folder) => {
      let [files, bytes] = [isEmptyFolder(folder) ? 1 : 0, 0]
      for (let n = 0; n < folder.names.length; n++) {
        const sizeBytes = folder.kinds[n] === KIND.file ? (folder.stamps[n * STAMP_LENGTH] ?? 0) : 0
        if (folder.kinds[n] === KIND.link || (folder.kinds[n] === KIND.file && sizeBytes < weightBytes)) {
          files++
          bytes += sizeBytes
        }
      }
      return [folder.path, { files, bytes }]
    }),
  )
}

function listParts(
  sizes: ReadonlyMap<string, FolderSize>,
  list: (isWanted: (folder: string) => boolean) => Iterable<ListedFile>,
): readonly ListedFiles[] | undefined {
  const partOf = partProject(sizes)
  if (partOf === undefined) return undefined
  const counts = Array.from({ length: PARTS }, () => 0)
  for (const [folder, { files }] of sizes) counts[partOf(folder)] = (counts[partOf(folder)] ?? 0) + files
  return counts.flatMap((count, part) =>
    count === 0 ? [] : [new MadeFiles(count, () => list((folder) => partOf(folder) === part))],
  )
}

/** The digest of all that it says. */
export function contentOf({ code, weights }: Project): Digest {
  return canonicalDigest([code, weights])
}

/** Names under which secrets usually lie. */
const SUSPECT =
  /(?:^|\/)(?:\.env(?:\.[^/]*)?|\.netrc|_netrc|\.npmrc|\.pypirc|\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)|[^/]*\.pem|credentials\.json|\.aws\/credentials|\.docker\/config\.json|\.kube\/config)$/

/**
 * Lists in the order of paths: names are sorted, and what lies in a folder comes directly after it.
 *
 * @param isWanted  whether what lies in a folder is listed; what lies in folders below it is asked for by itself
 */
function* listFiles(
  { folders, links }: ProjectScan,
  isWanted: (folder: string) => boolean = () => true,
): Generator<ListedFile> {
  const byPath = new Map(folders.map((folder) => [folder.path, folder]))
  // A stack and no recursion, as for looking.
  const open: OpenFolder[] = []
  const enter = (path: string): void => {
    const folder = byPath.get(path)
    if (folder === undefined) return
    const isListed = isWanted(path)
    open.push({ folder, isListed, hex: isListed ? hexOf(folder.hashes) : '', next: 0 })
  }
  enter('')
  for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
    const { folder, isListed, hex } = last
    const n = last.next++
    if (n === 0 && isListed && isEmptyFolder(folder)) yield { path: folder.path, directory: true }
    const [name, kind] = [folder.names[n], folder.kinds[n]]
    if (name === undefined) open.pop()
    else if (kind === KIND.folder || kind === KIND.passed) enter(pathOf(folder.path, name))
    else if (!isListed) continue
    else if (kind === KIND.link)
      yield { path: pathOf(folder.path, name), link: links.get(pathOf(folder.path, name)) ?? '' }
    else if (kind === KIND.file) yield listFile(folder, n, name, hex)
  }
}

interface OpenFolder {
  readonly folder: ScannedFolder
  readonly isListed: boolean
  readonly hex: string
  next: number
}

function isEmptyFolder({ path, isKept, kinds }: ScannedFolder): boolean {
  return isKept && path !== '' && kinds.every((kind) => kind === KIND.ignored || kind === KIND.passed)
}

function listFile({ path, stamps }: ScannedFolder, n: number, name: string, hex: string): ListedFile {
  const [sizeBytes = 0, mode = 0] = [stamps[n * STAMP_LENGTH], stamps[n * STAMP_LENGTH + 5]]
  const sha256 = hex.slice(n * 2 * HASH_BYTES, (n + 1) * 2 * HASH_BYTES)
  return { path: pathOf(path, name), sizeBytes, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, sha256 }
}

/** One text for all of a folder, of which each file's is a part. */
function hexOf({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('hex')
}
