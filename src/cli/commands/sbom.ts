import { Option } from 'commander'
import { listComponents } from '../../attest/components.ts'
import { BuildError } from '../../core/errors.ts'
import { programVersion } from '../../core/version.ts'
import type { Command } from '../command.ts'
import { defineAnswers, defineProject, planProject } from '../project-options.ts'

/** `layerwright sbom`: what an image of the project is made of, for scanners; moves no bytes. */
export const command: Command = {
  define(program) {
    defineAnswers(defineProject(program))
      .addOption(new Option('--format <format>', 'kind of document').choices(['spdx', 'cyclonedx']).default('spdx'))
      .option('--platform <os/arch>', 'which platform; the first one of build.platforms unless given')
  },
  async run([project], options, io) {
    const [{ planned }, { makeSpdx }, { makeCycloneDx }] = await Promise.all([
      planProject(project, options, io),
      import('../../attest/spdx.ts'),
      import('../../attest/cyclonedx.ts'),
    ])
    const { lock, plans, imageName: name } = planned
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
