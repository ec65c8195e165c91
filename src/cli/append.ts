/** Collects an option that may be given several times. */
export function append(value: string, list: readonly string[]): string[] {
  return [...list, value]
}
