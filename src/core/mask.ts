const CREDENTIALS = /(?<=:\/\/)[^\s/'"`]+@/g

/**
 * Text in which user and password of every address are replaced by `***`, fit for messages and for what is published.
 *
 * @example maskAddresses('pip install -i https://me:word@index.example/simple x') // 'pip install -i https://***@index.example/simple x'
 */
export function maskAddresses(text: string): string {
  return text.replaceAll(CREDENTIALS, '***@')
}

/** The same where the length counts, as above a mark: a star for each character. */
export function blotAddresses(text: string): string {
  return text.replaceAll(CREDENTIALS, (found) => `${'*'.repeat(found.length - 1)}@`)
}
