import { expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { makeLabels } from '../../src/plan/labels.ts'
import type { PlatformLock } from '../../src/lock/lock.ts'

const lock = {
  choices: [],
  interpreter: { version: '3.11.2' },
  wheels: [],
  base: { kind: 'image' },
} as unknown as PlatformLock

test('makeLabels() publishes no passwords of addresses, and no values of variables', () => {
  const { config } = parseConfig(
    [
      'build:',
      '  python_packages: ["torch --extra-index-url=https://me:word-of-mine@index.example/simple"]',
      '  run:',
      '    - git clone https://word-of-mine@example.org/x.git',
      '    - command: curl https://me:word-of-mine@example.org',
      'environment: [TOKEN=word-of-mine]',
    ].join('\n'),
  )
  const labels = makeLabels({ config, lock, weights: [], openapi: undefined, revision: undefined, version: '1' })
  expect(JSON.stringify(labels)).not.toContain('word-of-mine')
  expect(labels['run.cog.config']).toContain('git clone https://***@example.org/x.git')
})
