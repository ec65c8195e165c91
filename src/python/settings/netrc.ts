/** User and password for a host. */
export interface Login {
  readonly user: string
  readonly password: string
}

/**
 * Finds a host's login in the text of a netrc file; `default` answers for every host that is not named.
 *
 * @see netrc(5)
 */
export function findNetrcLogin(text: string, host: string): Login | undefined {
  // A macro runs to the next empty line and is no data.
  const words = text
    .replace(/^[ \t]*macdef\b[^]*?(?:\n[ \t]*\n|(?![^]))/gm, '\n')
    .replace(/^[ \t]*#.*$/gm, '')
    .match(/"(?:[^"\\]|\\.)*"|\S+/g)
  let current: { isMatch: boolean; user: string; password?: string } | undefined
  const close = (): Login | undefined => {
    if (current?.password === undefined) return undefined
    return current.isMatch ? { user: current.user, password: current.password } : undefined
  }
  for (let i = 0; i < (words?.length ?? 0); i++) {
    const word = words?.[i]
    if (word === 'machine' || word === 'default') {
      const found = close()
      if (found !== undefined) return found
      const isDefault = word === 'default'
      current = { isMatch: isDefault || unquote(words?.[++i]) === host, user: '' }
    } else if (current !== undefined && (word === 'login' || word === 'user')) {
      current.user = unquote(words?.[++i])
    } else if (current !== undefined && word === 'password') {
      current.password = unquote(words?.[++i])
    } else if (word === 'account') {
      i++
    }
  }
  return close()
}

function unquote(word: string | undefined): string {
  const text = word ?? ''
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
}
