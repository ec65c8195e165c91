import { resolve } from 'node:path'
import { Option } from 'commander'
import { listComponents } from '../../attest/components.ts'
import { BuildError } from '../../core/errors.ts'
import { programVersion } from '../../core/version.ts'
import type { Command } from '../command.ts'

/** `layerwright sbom`: what an image of the project is made of, for scanners; moves no bytes. */
export const command: Command = {
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml', '.')
      .addOption(new Option('--format <format>', 'kind of document').choices(['spdx', 'cyclonedx']).default('spdx'))
      .option('--platform <os/arch>', 'which platform; the first one of build.platforms unless given')
      .option('--refresh', 'ask indexes and registries again, whatever is known')
      .option('--locked', 'use the lock file and ask nobody')
  },
  async run([project = '.'], options, io) {
    const [{ openWorld }, { planBuild }, { makeSpdx }, { makeCycloneDx }] = await Promise.all([
      import('../world.ts'),
      import('../../build.ts'),
      import('../../attest/spdx.ts'),
      import('../../attest/cyclonedx.ts'),
    ])
    const world = await openWorld(io)
    const mode = options['locked'] === true ? 'locked' : options['refresh'] === true ? 'refresh' : 'auto'
    const request = { project: resolve(io.cwd, project), mode, format: 'oci' } as const
    const { lock, plans, imageName: name } = await planBuild(request, world.context)
    const names = lock.platforms.map(({ platform: { os, architecture } }) => `${os}/${architecture}`)
    const wanted = options['platform'] === undefined ? names[0] : (options['platform'] as string)
    const index = names.indexOf(wanted ?? '')
    const [platformLock, plan] = [lock.platforms[index], plans[index]]
    if (wanted === undefined || platformLock === undefined || plan === undefined)
      throw new BuildError('USAGE', `The project is not built for this platform: \`${wanted ?? ''}\``, {
        hint: `It is for ${names.join(', ')}.`,
      })
    const image = { name, platform: wanted, created: plan.created, toolVersion: programVersion() }
    const make = options['format'] === 'cyclonedx' ? makeCycloneDx : makeSpdx
    io.stdout.write(`${JSON.stringify(make(image, listComponents(platformLock)), undefined, 2)}\n`)
  },
}
