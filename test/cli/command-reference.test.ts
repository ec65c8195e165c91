import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { renderCommandReference } from '../../src/cli/command-reference.ts'
import { commands } from '../../src/cli/commands/index.ts'
import { packageRoot } from '../../src/core/package-root.ts'

describe('docs/reference/commands.md', () => {
  it('is what the commands say; `node tools/reference.mjs` writes it anew', async () => {
    expect(readFileSync(join(packageRoot(), 'docs/reference/commands.md'), 'utf8')).toBe(await renderCommandReference())
  })

  it('has every command, commands of commands, arguments, choices and defaults', async () => {
    const page = await renderCommandReference()
    for (const { name } of commands) expect(page).toContain(`layerwright ${name}`)
    expect(page).toContain('### `layerwright weights pull [name...]`')
    expect(page).toContain('### `layerwright doctor registry <host>`')
    expect(page).toContain('(`spdx`, `cyclonedx`; default `spdx`)')
    expect(page).not.toContain('--use-cuda-base-image')
  })
})
