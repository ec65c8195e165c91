// Writes the reference pages that are made from code: cog.yaml and the diagnostics. Run it after a build.
import { writeFileSync } from 'node:fs'
import { renderConfigReference } from '../dist/src/config/reference.js'
import { renderDiagnosticReference } from '../dist/src/core/diagnostic-codes.js'

writeFileSync('docs/reference/cog-yaml.md', renderConfigReference())
writeFileSync('docs/reference/diagnostics.md', renderDiagnosticReference())
