import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { isAlias, isMap, isScalar, isSeq, type Alias, type Document, type Node, type Pair, type YAMLMap } from 'yaml'

/** Start and end of a piece of text, in UTF-16 code units from the start of the file; the end is exclusive. */
export type Span = readonly [start: number, end: number]

/** A YAML value that knows where it stands. Aliases and merge keys are already resolved. */
export type Tree =
  | { readonly kind: 'scalar'; readonly value: Scalar; readonly source: string; readonly span: Span }
  | { readonly kind: 'list'; readonly items: readonly Tree[]; readonly span: Span }
  | { readonly kind: 'map'; readonly entries: ReadonlyMap<string, TreeEntry>; readonly span: Span }

type Scalar = string | number | bigint | boolean | null

/** One key of a map with its value. */
export interface TreeEntry {
  readonly keySpan: Span
  readonly value: Tree
}

/** Takes a problem found while reading. */
export type Complain = (code: DiagnosticCode, message: string, span: Span, hint?: string) => void

// An alias bomb doubles with each line; a real cog.yaml has some hundred values.
const MAX_VALUES = 20_000
const MAX_DEPTH = 50

const PLAIN_TAGS = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => `tag:yaml.org,2002:${tag}`),
)

/**
 * Reads a parsed YAML document into a {@link Tree}.
 *
 * Refuses what a configuration has no use for: own tags, keys that are not text, duplicate keys, endless aliases.
 *
 * @returns undefined for an empty document
 */
export function readTree(document: Document.Parsed, complain: Complain): Tree | undefined {
  const reader = new TreeReader(complain)
  return document.contents === null ? undefined : reader.read(document.contents, 0)
}

class TreeReader {
  readonly #complain: Complain
  readonly #anchors = new Map<string, Node>()
  readonly #open = new Set<Node>()
  #values = 0
  #exhausted = false

  constructor(complain: Complain) {
    this.#complain = complain
  }

  read(node: Node, depth: number): Tree {
    const span = spanOf(node)
    if (++this.#values > MAX_VALUES || depth > MAX_DEPTH) return this.#giveUp(span)
    if (isAlias(node)) return this.#readAlias(node, span, depth)
    this.#checkTag(node, span)
    // The last anchor of a name above an alias counts; what an alias repeats is not above anything.
    if (this.#open.size === 0 && node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    if (isSeq(node)) {
      return { kind: 'list', items: node.items.map((item) => this.#member(item, span, depth)), span }
    }
    if (isMap(node)) return { kind: 'map', entries: this.#readMap(node, depth), span }
    if (isScalar(node)) {
      const text = String(node.value)
      return { kind: 'scalar', value: isPlain(node.value) ? node.value : text, source: node.source ?? text, span }
    }
    return empty(span)
  }

  /** The value of an alias, placed where the alias stands. */
  #readAlias(alias: Alias, span: Span, depth: number): Tree {
    const target = this.#anchors.get(alias.source)
    if (target === undefined) {
      this.#complain('yaml-alias', 'No anchor of this name stands above this alias', span)
      return empty(span)
    }
    if (this.#open.has(target)) {
      this.#complain('yaml-alias', 'This alias lies within its own anchor', span)
      return empty(span)
    }
    this.#open.add(target)
    const tree = this.read(target, depth + 1)
    this.#open.delete(target)
    return { ...tree, span }
  }

  #readMap(node: YAMLMap, depth: number): ReadonlyMap<string, TreeEntry> {
    const entries = new Map<string, TreeEntry>()
    const merged: TreeEntry[] = []
    for (const pair of node.items) {
      const key = this.#readKey(pair)
      if (key === undefined) continue
      const value = this.#member(pair.value, key.span, depth)
      if (key.text === '<<') merged.push({ keySpan: key.span, value })
      else if (entries.has(key.text))
        this.#complain('duplicate-key', `This key is given twice: \`${key.text}\``, key.span, 'Keep one of the two.')
      else entries.set(key.text, { keySpan: key.span, value })
    }
    for (const { keySpan, value } of merged) this.#merge(entries, keySpan, value)
    return entries
  }

  /** `<<: *anchor` or `<<: [*a, *b]`: the map's own keys win, then the earlier ones. */
  #merge(entries: Map<string, TreeEntry>, span: Span, value: Tree): void {
    const sources = value.kind === 'list' ? value.items : [value]
    for (const source of sources) {
      if (source.kind !== 'map') {
        this.#complain('yaml-merge', 'A merge key (`<<`) takes a mapping or a list of mappings', span)
        continue
      }
      for (const [name, entry] of source.entries) {
        if (!entries.has(name)) entries.set(name, { keySpan: span, value: entry.value })
      }
    }
  }

  #readKey(pair: Pair): { readonly text: string; readonly span: Span } | undefined {
    const { key } = pair
    if (isScalar(key)) {
      const span = spanOf(key)
      this.#checkTag(key, span)
      return { text: typeof key.value === 'string' ? key.value : (key.source ?? String(key.value)), span }
    }
    const span: Span = isNode(key) ? spanOf(key) : [0, 0]
    this.#complain('yaml-key', 'A key must be plain text', span)
    return undefined
  }

  #member(value: unknown, around: Span, depth: number): Tree {
    return isNode(value) ? this.read(value, depth + 1) : empty([around[1], around[1]])
  }

  #checkTag(node: { readonly tag?: string | undefined }, span: Span): void {
    if (node.tag === undefined || PLAIN_TAGS.has(node.tag)) return
    this.#complain(
      'yaml-tag',
      `Tags have no meaning here: \`${node.tag}\``,
      span,
      'Write the plain value. Values from the environment are not read at build time.',
    )
  }

  #giveUp(span: Span): Tree {
    if (!this.#exhausted) {
      this.#exhausted = true
      this.#complain(
        'yaml-size',
        `This file has more than ${MAX_VALUES} values, or is nested deeper than ${MAX_DEPTH} levels, with its aliases expanded`,
        span,
      )
    }
    return empty(span)
  }
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value)
}

function isPlain(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}

function empty(span: Span): Tree {
  return { kind: 'scalar', value: null, source: '', span }
}

function spanOf(node: Node): Span {
  const range = node.range
  return range === undefined || range === null ? [0, 0] : [range[0], range[1]]
}

/** A key or an index into a list. */
export type PathPart = string | number

/** The tree at a path; the nearest one above it where the path ends early. */
export function locate(tree: Tree, path: readonly PropertyKey[]): { readonly tree: Tree; readonly keySpan?: Span } {
  let found: { tree: Tree; keySpan?: Span } = { tree }
  for (const part of path) {
    const { tree } = found
    if (tree.kind === 'list' && typeof part === 'number') {
      const item = tree.items[part]
      if (item === undefined) return found
      found = { tree: item }
    } else if (tree.kind === 'map') {
      const entry = tree.entries.get(String(part))
      if (entry === undefined) return found
      found = { tree: entry.value, keySpan: entry.keySpan }
    } else return found
  }
  return found
}

/** Writes a path as `build.run[1].command`. */
export function formatPath(path: readonly PropertyKey[]): string {
  let text = ''
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`
  return text
}
