import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ListedFiles } from '../../layers/listed-files.ts'
import { lookAtProject } from '../../layers/project.ts'
import type { Project } from '../../layers/project-list.ts'
import { partProject, PARTS, type FolderSize } from '../../layers/project-parts.ts'

const MIB = 2 ** 20
const sizes = (folders: Readonly<Record<string, number>>, bytes = 0): ReadonlyMap<string, FolderSize> =>
  new Map(Object.entries(folders).map(([path, files]) => [path, { files, bytes }]))
/** Hundreds of folders of a size below one. */
const many = (parent: string, files: number, count = 200): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`${parent}/${n}`, files]))

describe('partProject()', () => {
  it('leaves what most projects have in one layer', () => {
    expect(partProject(sizes({}))).toBeUndefined()
    expect(partProject(sizes({ '': 1, ...many('a', 49) }))).toBeUndefined()
    expect(partProject(sizes({ '': 20 }, 12 * MIB))).toBeUndefined()
  })

  it('parts what has many files, or many bytes', () => {
    expect(partProject(sizes(many('a', 51)))).toBeDefined()
    expect(partProject(sizes({ a: 1, b: 1 }, 200 * MIB))).toBeDefined()
  })

  it('keeps together what lies in a folder that is not large, whatever is below it', () => {
    const part = partProject(sizes({ ...many('data', 100), 'data/7/x': 3, 'data/7/x/y': 4, lib: 5, 'lib/a/b': 6 }))
    expect(part?.('data/7/x/y')).toBe(part?.('data/7'))
    expect(part?.('data/7/x')).toBe(part?.('data/7'))
    expect(part?.('lib/a/b')).toBe(part?.('lib'))
    const used = new Set(Object.keys(many('data', 1)).map((folder) => part?.(folder)))
    expect(used.size).toBe(PARTS)
  })

  it('parts a large folder in a large folder by its own folders', () => {
    const part = partProject(sizes(many('a/b/c', 100)))
    expect(new Set(Object.keys(many('a/b/c', 1)).map((folder) => part?.(folder))).size).toBe(PARTS)
  })

  it('sends a folder to the same part, whatever else there is', () => {
    const folders = many('data', 100)
    const [before, after] = [
      partProject(sizes(folders)),
      partProject(sizes({ ...folders, other: 1500, 'data/new': 7 })),
    ]
    for (const folder of Object.keys(folders)) expect(after?.(folder)).toBe(before?.(folder))
  })

  it('cannot part one folder of many files', () => {
    const part = partProject(sizes({ flat: 50_000 }))
    expect(part?.('flat')).toBe(part?.('flat'))
  })
})

describe('lookAtProject()', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'project-parts-'))
    for (let n = 0; n < 101; n++) {
      const place = join(folder, 'data', String(n), 'inner')
      await mkdir(place, { recursive: true })
      await Promise.all(Array.from({ length: 100 }, (_, m) => writeFile(join(place, `${m}.txt`), `${m}`)))
    }
    await mkdir(join(folder, 'data', '5', 'empty'))
    await symlink('inner/1.txt', join(folder, 'data', '5', 'link'))
    await writeFile(join(folder, 'run.py'), '')
  }, 120_000)
  afterAll(() => rm(folder, { recursive: true }))

  const look = async (): Promise<Project> => (await lookAtProject(folder)).project()
  const texts = (files: ListedFiles | undefined): string[] => [...(files ?? [])].map((file) => JSON.stringify(file))

  it('lists every file of a large project in one part, in order, and as many as it says', async () => {
    const { code, codeParts = [] } = await look()
    expect(codeParts.length).toBeGreaterThan(8)
    expect(codeParts.flatMap(texts).sort()).toEqual(texts(code).sort())
    for (const part of codeParts) {
      expect(texts(part)).toHaveLength(part.length)
      const places = new Set(texts(part))
      expect(texts(part)).toEqual(texts(code).filter((text) => places.has(text)))
    }
  }, 60_000)

  it('a changed file changes the part of its folder alone', async () => {
    const before = (await look()).codeParts?.map(texts) ?? []
    await writeFile(join(folder, 'data', '50', 'inner', '7.txt'), 'changed')
    const after = (await look()).codeParts?.map(texts) ?? []
    const changed = before.filter((part, n) => JSON.stringify(part) !== JSON.stringify(after[n]))
    expect(changed).toHaveLength(1)
    expect(changed[0]?.join('\n')).toContain('data/50/inner/7.txt')
  }, 60_000)
})
