import { BuildError, type ErrorCode } from '../core/errors.ts'

/** Something the user can change; `kind` is stable, for programs. */
export type ResolveHint =
  | {
      readonly kind: 'wheel-tags'
      readonly name: string
      readonly version: string
      readonly mismatch: 'python' | 'abi' | 'platform'
      readonly available: readonly string[]
    }
  | {
      readonly kind: 'source-only'
      readonly name: string
      readonly versions: readonly string[]
      /** Source distributions of the newest of these versions, for whoever can build them. */
      readonly sources: readonly string[]
      /** A hash is required, and none of them has a stated one. */
      readonly isUnproven?: boolean
    }
  | {
      readonly kind: 'requires-python'
      readonly name: string
      readonly version: string
      readonly requiresPython: string
      readonly target: string
    }
  | {
      readonly kind: 'exclude-newer'
      readonly name: string
      readonly versions: readonly string[]
      readonly excludeNewer: string
    }
  | { readonly kind: 'yanked'; readonly name: string; readonly versions: readonly string[]; readonly reason: string }
  | {
      readonly kind: 'unasked-index'
      readonly name: string
      readonly asked: string
      readonly unasked: readonly string[]
    }
  | { readonly kind: 'index-denied'; readonly name: string; readonly index: string }
  | { readonly kind: 'links-missing'; readonly name: string; readonly place: string }
  | { readonly kind: 'offline'; readonly name: string }
  | { readonly kind: 'similar-name'; readonly name: string; readonly meant: string }
  | {
      readonly kind: 'hashes'
      readonly name: string
      readonly version: string
      readonly isStated: boolean
      /** What the index says of the files that would fit: `sha256:... a-1.0-py3-none-any.whl`. */
      readonly listed: readonly string[]
    }

/** Nothing satisfies the requirements. `sentences` is the derivation; `hints` what might help. */
export class ResolveError extends BuildError {
  override readonly name = 'ResolveError'
  readonly sentences: readonly string[]
  readonly hints: readonly ResolveHint[]

  constructor(code: ErrorCode, sentences: readonly string[], hints: readonly ResolveHint[]) {
    super(code, ['No set of packages satisfies the requirements', ...sentences].join('\n  '), {
      hint: hints.length === 0 ? undefined : hints.map(formatHint).join('\n'),
      data: { sentences, hints },
    })
    this.sentences = sentences
    this.hints = hints
  }
}

/** A hint as a sentence or two. */
function formatHint(hint: ResolveHint): string {
  switch (hint.kind) {
    case 'wheel-tags':
      return `\`${hint.name}\` ${hint.version} has wheels, but none for this ${WORDS[hint.mismatch]}; there are: ${list(hint.available)}.`
    case 'source-only':
      if (hint.isUnproven === true)
        return `\`${hint.name}\` ${list(hint.versions)} would have to be built from source, and none of its files has a stated hash. State one, or none at all: a folder or repository has none.`
      return `\`${hint.name}\` ${list(hint.versions)} has only source files. Choose a version or an index with wheels, or build a wheel first and name its file.`
    case 'requires-python':
      return `\`${hint.name}\` ${hint.version} requires Python ${hint.requiresPython}; the target has ${hint.target}.`
    case 'exclude-newer':
      return `\`${hint.name}\` ${list(hint.versions)} was uploaded after ${hint.excludeNewer}, which --exclude-newer sets as the limit.`
    case 'yanked':
      return `\`${hint.name}\` ${list(hint.versions)} was yanked${hint.reason === '' ? '' : ` (${hint.reason})`}. It is used only when pinned with ==.`
    case 'unasked-index':
      return `\`${hint.name}\` was found at ${hint.asked}, so ${list(hint.unasked)} was not asked. If you trust all of them equally, set the index strategy \`unsafe-best-match\`.`
    case 'index-denied':
      return `${hint.index} refused access while asked for \`${hint.name}\`. Check the credentials.`
    case 'similar-name':
      return `Did you mean \`${hint.meant}\` instead of \`${hint.name}\`?`
    case 'links-missing':
      return `There is nothing at ${hint.place}, where links to files were to be found (--find-links).`
    case 'offline':
      return `\`${hint.name}\` is not in the cache, and the network is off.`
    case 'hashes':
      return hint.isStated
        ? `No file of \`${hint.name}\` ${hint.version} that fits the target has one of the stated hashes. The index has: ${list(hint.listed)}.`
        : `Some requirements state a hash, so every package needs one, and \`${hint.name}\` has none. Add --hash to all lines (\`uv pip compile --generate-hashes\` does), or to none.`
  }
}

const WORDS = { python: 'Python version', abi: 'Python ABI', platform: 'platform' } as const
const SHOWN = 8

function list(values: readonly string[]): string {
  const more = values.length - SHOWN
  return values.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
