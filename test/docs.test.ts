import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { Command as Program } from 'commander'
import { expect, test } from 'vitest'
import type { CommandEntry } from '../src/cli/command.ts'
import { commands } from '../src/cli/commands/index.ts'
import { parseConfig } from '../src/config/load.ts'
import { ERROR_CODES } from '../src/core/errors.ts'
import { describeModel } from '../src/predictor/describe.ts'
import { codeBlocks } from './support/code-blocks.ts'

const root = join(import.meta.dirname, '..')
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].map((page) => join(root, page)),
  ...list(join(root, 'docs')),
]

test('every link between pages leads to a file', () => {
  const dead = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)]
      .map(([, target]) => target ?? '')
      .filter((target) => !existsSync(join(dirname(page), target)))
      .map((target) => `${relative(root, page)}: ${target}`),
  )
  expect(dead).toEqual([])
})

test('every file of this repository that a page names is there', () => {
  const named =
    /`((?:src|layers|registry|python|test|tools|bench|packages|docs|examples|fixtures)\/[\w./-]+\.(?:ts|py|mjs|json|md))`/g
  const lost = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(named)]
      .map(([, path]) => path ?? '')
      .filter((path) => !existsSync(join(root, path)))
      .map((path) => `${relative(root, page)}: ${path}`),
  )
  expect(lost).toEqual([])
})

test('every page is reached from the index', () => {
  const index = readFileSync(join(root, 'docs', 'README.md'), 'utf8')
  const lost = list(join(root, 'docs'))
    .map((page) => relative(join(root, 'docs'), page))
    .filter((page) => page !== 'README.md' && !index.includes(`(${page})`))
  expect(lost).toEqual([])
})

test('every command line in the pages names a command and options that exist', async () => {
  const wrong: string[] = []
  for (const page of pages) {
    for (const { language, text, line } of codeBlocks(readFileSync(page, 'utf8'))) {
      if (language !== 'sh') continue
      const joined = text.replaceAll(/\\\n\s*/g, ' ')
      for (const [, call] of joined.matchAll(/(?:^|&& |\| |\$\()(?:npx )?(?:layerwright|lw) ([^\n|&]+)/gm)) {
        const problem = await problemOf((call ?? '').replace(/ #.*$/, '').trim().split(/\s+/))
        if (problem !== undefined) wrong.push(`${relative(root, page)}:${line}: ${call}: ${problem}`)
      }
    }
  }
  expect(wrong).toEqual([])
})

const marked = pages.flatMap((page) =>
  codeBlocks(readFileSync(page, 'utf8')).map((block) => ({ ...block, page: relative(root, page) })),
)

test.each(marked.filter(({ marks }) => marks.includes('cog')))(
  '$page line $line is a cog.yaml without a problem or a deprecated key',
  ({ text }) => {
    const isWhole = /^(run|predict|models):/m.test(text)
    const { warnings } = parseConfig(isWhole ? text : `${text}\nrun: predict.py:Predictor\n`)
    expect(warnings.map(({ code, message }) => `${code}: ${message}`)).toEqual([])
  },
)

const shown = marked.flatMap((block) =>
  block.marks
    .filter((mark) => mark.startsWith('file='))
    .map((mark) => ({ ...block, path: mark.slice('file='.length) })),
)

test.each(shown)('$page line $line is $path', ({ path, text }) => {
  const file = readFileSync(join(root, path), 'utf8')
  expect(file.replace(/^# yaml-language-server.*\n/, '').trimEnd()).toBe(text)
})

test.each(marked.filter(({ marks }) => marks.includes('predictor')))(
  '$page line $line is a predictor that can be described',
  async ({ text }) => {
    const folder = mkdtempSync(join(tmpdir(), 'docs-'))
    try {
      writeFileSync(join(folder, 'predict.py'), text)
      const { warnings } = await describeModel({ projectFolder: folder, run: 'predict.py:Predictor' })
      expect(warnings).toEqual([])
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)

test('the page of exit statuses names no code that does not exist', () => {
  const text = readFileSync(join(root, 'docs', 'reference', 'exit-status.md'), 'utf8')
  const named = [...text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map(([, code]) => code ?? '')
  expect(named.filter((code) => !(code in ERROR_CODES) && code !== 'EX_TEMPFAIL')).toEqual([])
})

test('the page of environment variables names every one of our own', () => {
  const page = readFileSync(join(root, 'docs', 'reference', 'environment.md'), 'utf8')
  const sources = ['src', 'registry', 'layers', 'python/launcher', 'python/launch.py'].flatMap((top) =>
    list(join(root, top), /\.(ts|py)$/),
  )
  const named = sources.flatMap((file) => readFileSync(file, 'utf8').match(/\bLAYERWRIGHT_[A-Z_]*[A-Z]\b/g) ?? [])
  expect(named.length).toBeGreaterThan(50)
  // Those with a name in them are written as a pattern.
  const isNamed = (name: string): boolean => page.includes(`\`${name}\``) || name === 'LAYERWRIGHT_INDEX'
  expect([...new Set(named)].filter((name) => !isNamed(name))).toEqual([])
})

/** What is wrong with a command line; undefined when nothing is. */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  if (words[0]?.startsWith('-')) return undefined
  let entries: readonly CommandEntry[] = commands
  for (const [at, word] of words.entries()) {
    const entry = entries.find(({ name, aliases }) => name === word || aliases?.includes(word) === true)
    if (entry === undefined) return `no command ${word}`
    const { command } = await entry.load()
    const { subcommands, runsItself } = command
    const isNested = subcommands?.some(({ name }) => name === words[at + 1]) === true || runsItself !== true
    if (subcommands !== undefined && isNested) {
      entries = subcommands
      continue
    }
    const program = new Program()
    command.define(program)
    const known = new Set([
      '--progress',
      '--quiet',
      '-q',
      '--help',
      '-h',
      ...program.options.flatMap(({ long, short }) => [long, short]),
    ])
    const rest = words.slice(at + 1)
    const options = rest
      .slice(0, rest.includes('--') ? rest.indexOf('--') : rest.length)
      .filter((text) => /^--?[a-zA-Z]/.test(text))
    return options
      .map((option) => option.split('=')[0] ?? '')
      .filter((option) => !known.has(option))
      .map((option) => `no option ${option}`)[0]
  }
  return undefined
}

function list(path: string, names: RegExp = /\.md$/): string[] {
  if (!statSync(path).isDirectory()) return names.test(path) ? [path] : []
  return readdirSync(path).flatMap((name) => list(join(path, name), names))
}
