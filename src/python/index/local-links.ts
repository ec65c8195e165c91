import { readdir, readFile, stat } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { filePathOf } from '../../core/file-url.ts'
import { systemErrorCode } from '../../core/errors.ts'
import { parseHtmlPage } from './html-page.ts'
import { pageOf, type IndexFile, type IndexPage } from './page.ts'

/**
 * Lists a local place of wheels: a folder, a page of links, or one file (pip's `--find-links`).
 *
 * @returns undefined for a place that does not exist; pip goes on without it
 */
export async function listLocalLinks(url: string): Promise<IndexPage | undefined> {
  const path = filePathOf(url)
  try {
    if ((await stat(path)).isDirectory()) {
      const names = (await readdir(path)).sort()
      return pageOf(
        url,
        names.map((name) => toFile(join(path, name), name)),
      )
    }
    if (/\.html?$/i.test(path)) return parseHtmlPage(await readFile(path, 'utf8'), url)
    return pageOf(url, [toFile(path, path.slice(path.lastIndexOf('/') + 1))])
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function toFile(path: string, filename: string): IndexFile {
  return { filename, url: pathToFileURL(path).href, hashes: {} }
}
