/** @see https://reproducible-builds.org/specs/source-date-epoch/ */
export function sourceDate(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const text = env['SOURCE_DATE_EPOCH']
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined
}
