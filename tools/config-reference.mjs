// Writes docs/reference/cog-yaml.md from the schema. Run after a change of src/config/schema.ts and a build.
import { writeFileSync } from 'node:fs'
import { renderConfigReference } from '../dist/src/config/reference.js'

writeFileSync('docs/reference/cog-yaml.md', renderConfigReference())
