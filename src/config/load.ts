import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { isScalar, LineCounter, parseDocument, visit, type Document, type YAMLError } from 'yaml'
import type { Diagnostic } from '../core/diagnostic.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { checkFiles } from './check-files.ts'
import { checkMeaning } from './checks.ts'
import type { Config } from './config.ts'
import { checkFormerKeys } from './former-keys.ts'
import { ConfigError } from './issue.ts'
import { IssueList, type LaterProblem, type ReportIssue } from './issues.ts'
import { makeConfig } from './make-config.ts'
import { cogYamlSchema, type CogYaml } from './schema.ts'
import { checkShape, toPlain, valueSpan } from './shape.ts'
import { findUnsupported } from './supported.ts'
import { locate, readTree, type Complain, type PathPart, type Span, type Tree } from './tree.ts'

/** A configuration with where it came from. */
export interface LoadedConfig {
  readonly config: Config
  /** Absolute path of the cog.yaml. */
  readonly file: string
  /** Absolute path of the folder that holds it: the project. */
  readonly projectFolder: string
  /** Where a configuration was looked for in vain, by absolute path. */
  readonly missed: readonly string[]
  /** Deprecated keys and keys without effect. */
  readonly warnings: readonly Diagnostic[]
}

const FILE_NAME = 'cog.yaml'
const MAX_PARENTS = 100
const MAX_BYTES = 256 * 1024

/**
 * Loads and checks a cog.yaml.
 *
 * Nothing but the project's own files is looked at. Every problem is found in one pass.
 *
 * @param path  a folder, from which the file is looked for upwards, or the file itself, which may lie in a folder above
 * @param options.fileName  the name to look for instead of `cog.yaml`
 * @throws ConfigError CONFIG_INVALID with all problems
 * @throws BuildError CONFIG_MISSING, FILE_UNREADABLE
 */
export async function loadConfig(
  path: string,
  options: { readonly fileName?: string | undefined } = {},
): Promise<LoadedConfig> {
  const { file, bytes, missed } = await findFile(resolve(path), options.fileName ?? FILE_NAME)
  const projectFolder = dirname(file)
  const name = displayName(file)
  if (bytes.length > MAX_BYTES) {
    throw new BuildError('CONFIG_INVALID', `The file has more than ${MAX_BYTES} bytes: ${name}`)
  }
  const { yaml, issues } = readConfig(decode(bytes, name), name)
  if (yaml !== undefined) await checkFiles(yaml.data, projectFolder, yaml.report)
  const found = issues.list()
  if (issues.hasErrors || yaml === undefined) throw new ConfigError(found)
  return { config: makeConfig(yaml.data), file, projectFolder, missed, warnings: found }
}

/**
 * Checks the text of a cog.yaml without looking at the disk.
 *
 * @param name  the file name for messages
 * @throws ConfigError CONFIG_INVALID
 */
export function parseConfig(
  text: string,
  name: string = FILE_NAME,
): { readonly config: Config; readonly warnings: readonly Diagnostic[] } {
  const { yaml, issues } = readConfig(text, name)
  if (issues.hasErrors || yaml === undefined) throw new ConfigError(issues.list())
  return { config: makeConfig(yaml.data), warnings: issues.list() }
}

/**
 * Gives problems of a configuration, which is known to be valid by itself, their places in its file.
 *
 * @param path  as for {@link loadConfig}
 */
export async function locateProblems(path: string, problems: readonly LaterProblem[]): Promise<readonly Diagnostic[]> {
  const { file, bytes } = await findFile(resolve(path), FILE_NAME)
  const name = displayName(file)
  const { issues, report } = openReport(decode(bytes, name), name)
  for (const { code, path: place, message, hint, suggestion } of problems)
    report('error', code, place, message, { hint, suggestion })
  return issues.list()
}

interface ReadConfig {
  /** What is sound of the file, for further checks; undefined when nothing is. */
  readonly yaml: { readonly data: CogYaml; readonly report: ReportIssue } | undefined
  readonly issues: IssueList
}

function readConfig(text: string, name: string): ReadConfig {
  const { issues, tree, report } = openReport(text, name)
  if (tree === undefined) return { yaml: undefined, issues }
  const data = checkTree(tree, issues)
  if (data === undefined) return { yaml: undefined, issues }
  checkFormerKeys(tree, report)
  checkMeaning(data, report)
  for (const { path, what, hint } of findUnsupported(data)) {
    report('error', 'not-supported', path, `${what} is not supported yet`, { hint, atKey: true })
  }
  return { yaml: { data, report }, issues }
}

/** Parses the text; what is reported at a path gets its place in it. The tree is undefined where the text is not YAML. */
function openReport(
  text: string,
  name: string,
): { readonly issues: IssueList; readonly tree: Tree | undefined; readonly report: ReportIssue } {
  const lines = new LineCounter()
  // Duplicate keys, merge keys and aliases are handled by readTree, in linear time.
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    prettyErrors: false,
    uniqueKeys: false,
    stringKeys: false,
  })
  const issues = new IssueList(name, text, lines)
  for (const error of withoutEchoes(document.errors, lines)) addYamlError(issues, error, document)
  const complain: Complain = (code, message, span, hint) => issues.add('error', code, message, span, { hint })
  const read = issues.hasErrors ? undefined : (readTree(document, complain) ?? EMPTY)
  const report: ReportIssue = (severity, code, path, message, details = {}) => {
    const tree = read ?? EMPTY
    const span: Span = details.atKey ? (locate(tree, path).keySpan ?? valueSpan(path, tree)) : valueSpan(path, tree)
    issues.add(severity, code, message, span, { path, hint: details.hint, suggestion: details.suggestion })
  }
  return { issues, tree: read, report }
}

const EMPTY: Tree = { kind: 'map', entries: new Map(), span: [0, 0] }

/** Checks the shape; gives back what is left of the file once the parts with problems are cut out. */
function checkTree(tree: Tree, issues: IssueList): CogYaml | undefined {
  const plain = tree.kind === 'scalar' && tree.value === null ? {} : toPlain(tree)
  const problems = checkShape(plain, tree)
  for (const { code, message, path, span, hint, suggestion } of problems) {
    issues.add('error', code, message, span, { path, hint, suggestion })
  }
  for (const { path } of problems) {
    // Models and pipelines name each other: what is missing of them would be missed everywhere.
    const paths = path[0] === 'models' || path[0] === 'pipelines' ? [['models'], ['pipelines']] : [path]
    for (const one of paths) prune(plain, one)
  }
  const result = cogYamlSchema.safeParse(plain)
  return result.success ? result.data : undefined
}

/** Removes the key that a problem lies under; a list goes as a whole, since its indexes would shift. */
function prune(plain: unknown, path: readonly PathPart[]): void {
  let holder = plain
  const cut = path.findIndex((part) => typeof part === 'number')
  const keys = cut === -1 ? path : path.slice(0, cut)
  for (const part of keys.slice(0, -1)) {
    if (!isObject(holder)) return
    holder = holder[String(part)]
  }
  const last = keys.at(-1)
  if (isObject(holder) && last !== undefined) delete holder[String(last)]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const YAML_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'YAML is indented with spaces, never with tabs.',
  BAD_INDENT: 'Keys of one mapping start in the same column.',
  BLOCK_AS_IMPLICIT_KEY:
    'If the next line is a key of its own, start it in the same column as the others; a value that holds `: ` must stand in quotes.',
  MISSING_CHAR: 'A quote or bracket that was opened is not closed, or a `:`, a `,` or the `- ` of a list is missing.',
  MULTIPLE_DOCS: 'A cog.yaml is one document; remove the `---` and what follows it.',
  MULTILINE_IMPLICIT_KEY: 'A key ends on the line that it starts on, with `:` after it.',
}

/** What the reader of YAML says in terms of its own functions. */
const YAML_MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'A second document starts here',
}

/** A line that is no key is also one that starts in no column; the first of the two says what is missing. */
function withoutEchoes(errors: readonly YAMLError[], lines: LineCounter): readonly YAMLError[] {
  const lineOf = (error: YAMLError): number => lines.linePos(error.pos[0]).line
  const named = new Set(errors.filter(({ code }) => code !== 'BAD_INDENT').map(lineOf))
  return errors.filter((error) => error.code !== 'BAD_INDENT' || !named.has(lineOf(error)))
}

function addYamlError(issues: IssueList, error: YAMLError, document: Document.Parsed): void {
  const opened = /^Missing closing ["']quote/.test(error.message) ? unclosedQuote(document) : undefined
  if (opened !== undefined) {
    issues.add('error', 'yaml-syntax', 'This is not YAML: a quote is opened here and never closed', opened)
    return
  }
  const message = YAML_MESSAGES[error.code] ?? error.message.replace(/ at line \d+, column \d+:?[\s\S]*$/, '')
  issues.add('error', 'yaml-syntax', `This is not YAML: ${message}`, [error.pos[0], error.pos[1]], {
    hint: YAML_HINTS[error.code],
  })
}

/** Where the last quoted text begins: the reader of YAML names the end of the file, where it missed the other quote. */
function unclosedQuote(document: Document.Parsed): Span | undefined {
  let start: number | undefined
  visit(document, (_, node) => {
    if (isScalar(node) && node.type?.startsWith('QUOTE') === true) start = node.range?.[0] ?? start
  })
  return start === undefined ? undefined : [start, start + 1]
}

async function findFile(
  start: string,
  fileName: string,
): Promise<{ file: string; bytes: Buffer; missed: readonly string[] }> {
  const direct = await readIfThere(start)
  if (direct !== undefined) return { file: start, bytes: direct, missed: [] }
  // What is not there is no folder to start from: it is the name of a file that may lie above.
  const isFolder = (await stat(start).catch(() => undefined))?.isDirectory() === true
  const name = isFolder ? fileName : basename(start)
  const missed: string[] = []
  let folder = isFolder ? start : dirname(start)
  for (let step = 0; step <= MAX_PARENTS; step++) {
    const file = join(folder, name)
    const bytes = await readIfThere(file)
    if (bytes !== undefined) return { file, bytes, missed }
    missed.push(file)
    const parent = dirname(folder)
    if (parent === folder) break
    folder = parent
  }
  throw new BuildError('CONFIG_MISSING', `No ${name} in ${isFolder ? start : dirname(start)} or above it`, {
    hint: 'Run `layerwright init` to make one, or name the project folder.',
  })
}

/** The bytes of a file; undefined when there is none, or when it is a folder. */
async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return undefined
    throw new BuildError('FILE_UNREADABLE', `Cannot read ${file}: ${code ?? String(error)}`, { cause: error })
  }
}

function decode(bytes: Buffer, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new BuildError('CONFIG_INVALID', `The file is not UTF-8 text: ${name}`, { cause: error })
  }
}

/** Relative to where the user stands, when that is shorter. */
function displayName(file: string): string {
  const short = relative(process.cwd(), file)
  return short === '' || short.startsWith(`..${sep}`) ? file : short || basename(file)
}
