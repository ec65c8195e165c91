import { expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import { modeOf, projectPath } from '../../src/cli/project-options.ts'
import { recordIo } from '../support/output.ts'

test.each([
  [undefined, undefined, '/here'],
  ['.', undefined, '/here'],
  ['model', undefined, '/here/model'],
  ['model', 'gpu.yaml', '/here/model/gpu.yaml'],
  ['model/gpu.yaml', undefined, '/here/model/gpu.yaml'],
  [undefined, '/else/cog.yaml', '/else/cog.yaml'],
])('projectPath() of %s with --file %s is %s', (project, file, path) => {
  expect(projectPath(project, file === undefined ? {} : { file }, '/here')).toBe(path)
})

test('modeOf() asks nobody with --locked, whatever else is said', () => {
  expect([modeOf({}), modeOf({ refresh: true }), modeOf({ locked: true, refresh: true })]).toEqual([
    'auto',
    'refresh',
    'locked',
  ])
})

test.each(['build', 'push', 'plan', 'why', 'sbom'])(
  '%s says the same of project and answers as the others',
  async (name) => {
    const io = recordIo()
    expect(await runCommandLine([name, '--help'], io)).toBe(0)
    for (const flag of ['-f, --file', '--refresh', '--locked', '--no-build', '--insecure'])
      expect(io.stdout.text()).toContain(flag)
  },
)

test('exec takes no network that does not exist for the whole one', async () => {
  const io = recordIo()
  expect(await runCommandLine(['exec', '--network', 'nothing', 'true'], io)).toBe(2)
  expect(io.stderr.text()).toContain('Allowed choices are host, none')
})
