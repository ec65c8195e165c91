// Writes the reference pages that are made from code: the commands, cog.yaml and its JSON Schema, the diagnostics, Cog's commands. Run it after a build.
import { writeFileSync } from 'node:fs'
import { renderCogCommands } from '../dist/src/cli/cog-flags.js'
import { renderCommandReference } from '../dist/src/cli/command-reference.js'
import { renderConfigReference } from '../dist/src/config/reference.js'
import { cogYamlJsonSchema } from '../dist/src/config/schema.js'
import { renderDiagnosticReference } from '../dist/src/core/diagnostic-codes.js'

writeFileSync('docs/reference/commands.md', await renderCommandReference())
writeFileSync('docs/reference/cog-yaml.md', renderConfigReference())
writeFileSync('docs/reference/cog.schema.json', `${JSON.stringify(cogYamlJsonSchema(), undefined, 2)}\n`)
writeFileSync('docs/reference/diagnostics.md', renderDiagnosticReference())
writeFileSync('docs/reference/cog-commands.md', renderCogCommands())
