/**
 * The packages that an entry of `system_packages` names: one, or several with spaces between them, as Cog hands its
 * entries to `apt-get install`.
 */
export function packagesOf(entry: string): readonly string[] {
  return entry.trim().split(/\s+/)
}
