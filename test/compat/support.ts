import type { FrameworkRequirement } from '../../src/compat/frameworks.ts'
import { parseRequirement } from '../../src/python/requirement.ts'
import { matchesSpecifiers } from '../../src/python/specifier.ts'
import { parseVersion } from '../../src/python/version.ts'

/** A requirement line as the lookup takes it. */
export function asks(line: string, ownIndex?: string): FrameworkRequirement {
  const [, bare = line, local] = /^([^+]*)\+(\w+)$/.exec(line) ?? []
  const requirement = parseRequirement(bare)
  const set = requirement.specifiers
  const pinned = /==\s*([\w.]+)\s*$/.exec(bare)?.[1]
  return {
    name: requirement.name,
    pinned,
    local,
    extras: requirement.extras,
    ownIndex,
    accepts: (version) => matchesSpecifiers(set, parseVersion(version), version),
  }
}
