import { accounts } from './accounts.ts'
import { alternatives } from './alternatives.ts'
import { baseFiles } from './base-files.ts'
import { certificates } from './certificates.ts'
import { dpkgDatabase } from './dpkg-database.ts'
import { knownPackages } from './known-packages.ts'
import { loaderCache } from './loader-cache.ts'
import { pam } from './pam.ts'
import { python } from './python.ts'
import type { Effect } from './system.ts'

/** What stands in for maintainer scripts, in the order in which later ones build on earlier ones. */
export const EFFECTS: readonly Effect[] = [
  baseFiles,
  accounts,
  pam,
  python,
  alternatives,
  certificates,
  knownPackages,
  loaderCache,
  dpkgDatabase,
]
