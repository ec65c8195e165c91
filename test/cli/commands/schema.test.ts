import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCommandLine } from '../../../src/cli/main.ts'
import { packageRoot } from '../../../src/core/package-root.ts'
import { recordIo } from '../../support/output.ts'

const projects = join(packageRoot(), 'fixtures/projects')

async function schema(...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  const io = recordIo({ cwd: projects })
  const status = await runCommandLine(['schema', ...args], io)
  return { status, out: io.stdout.text(), err: io.stderr.text() }
}

test('schema prints what may stand in a cog.yaml', async () => {
  const { status, out } = await schema()
  expect(status).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ properties: { models: { type: 'object' }, pipelines: { type: 'object' } } })
})

test('schema --openapi prints the document of all models of a project', async () => {
  const { out } = await schema('pipelines', '--openapi')
  expect(JSON.parse(out)).toMatchObject({
    paths: { '/predictions': {}, '/models/tell/predictions': {}, '/models': {} },
    components: {
      schemas: { Input: { required: ['text'] }, 'tell.Input': { required: ['words'] }, TrainingInput: {} },
    },
  })
})

test('schema --model prints the document of one of them', async () => {
  const { out } = await schema('pipelines', '--model', 'told')
  expect(JSON.parse(out)).toMatchObject({
    servers: [{ url: '/models/told' }],
    components: { schemas: { Input: { required: ['first', 'second'] }, Output: { 'x-cog-array-type': 'iterator' } } },
  })
})

test.each([
  [['pipelines', '--model', 'tel'], 'There are: find, name, tell, main, told. Did you mean `tell`?'],
  [['pipelines', '--model', 'constructor'], 'There are: find, name, tell, main, told.'],
  [['hello', '--model', 'main'], 'It has one model, which has no name; leave out --model.'],
])('schema %j says which names there are', async (args, hint) => {
  const { status, err } = await schema(...args)
  expect(status).toBe(2)
  expect(err).toContain(`hint: ${hint}`)
})
