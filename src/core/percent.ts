/**
 * Text with its percent codes decoded; what is no code of UTF-8 text stays as it is, as curl and Python have it.
 *
 * For addresses that somebody else wrote, where `decodeURIComponent` throws: a password may well hold `50%off`.
 */
export function decodePercent(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (codes) => {
    const decoded = Buffer.from(codes.replaceAll('%', ''), 'hex').toString('utf8')
    return decoded.includes('\uFFFD') ? codes : decoded
  })
}

/** The file name at the end of an address's path, decoded; empty where the path ends in a slash. @throws TypeError when it is no address */
export function fileNameOf(url: URL | string): string {
  const { pathname } = new URL(url)
  return decodePercent(pathname.slice(pathname.lastIndexOf('/') + 1))
}
