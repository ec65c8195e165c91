/**
 * Says which files `include` and `exclude` leave.
 *
 * As in a .gitignore: a pattern without `/` is for names at any depth, one with `/` for paths from the top; `*` and `?`
 * stay within a part, `**` spans parts; what matches a folder is for all below it.
 */
export function makeFilter(include: readonly string[], exclude: readonly string[]): (path: string) => boolean {
  const included = include.map(compile)
  const excluded = exclude.map(compile)
  const matches = (path: string, patterns: readonly RegExp[]): boolean => {
    const parts = path.split('/')
    return parts.some((_, n) => {
      const prefix = parts.slice(0, n + 1).join('/')
      return patterns.some((pattern) => pattern.test(prefix))
    })
  }
  return (path) => (include.length === 0 || matches(path, included)) && !matches(path, excluded)
}

function compile(pattern: string): RegExp {
  const clean = pattern.replace(/^\.?\//, '').replace(/\/+$/, '')
  const isName = !pattern.replace(/\/+$/, '').includes('/')
  let expression = isName ? '(?:.*/)?' : ''
  for (const token of clean.match(/\*\*\/|\*\*|\*|\?|\[!?[^\]/]+\]|[^]/gu) ?? []) {
    if (token === '**/') expression += '(?:.*/)?'
    else if (token === '**') expression += '.*'
    else if (token === '*') expression += '[^/]*'
    else if (token === '?') expression += '[^/]'
    else if (token.length > 2 && token.startsWith('[')) expression += compileSet(token)
    else expression += token.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  }
  return new RegExp(`^${expression}$`, 'u')
}

/** A set such as `[0-9]` or `[!a]`; a range that runs backwards makes it a set of its characters. */
function compileSet(token: string): string {
  const isNegated = token.startsWith('[!')
  const inner = token.slice(isNegated ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&')
  const expression = `[${isNegated ? '^/' : ''}${inner}]`
  try {
    void new RegExp(expression, 'u')
    return expression
  } catch {
    return `[${isNegated ? '^/' : ''}${inner.replaceAll('-', '\\-')}]`
  }
}
