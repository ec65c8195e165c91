import { resolve } from 'node:path'
import type { GpuCodeOfPackage } from '../../../layers/gpu-code.ts'
import type { PlannedBuild } from '../../build.ts'
import { maskAddresses } from '../../core/mask.ts'
import { isPlannedStep, type Plan } from '../../plan/plan.ts'
import type { Command } from '../command.ts'
import { formatBytes, oneLine } from '../progress/format.ts'

/** `layerwright plan`: what would be built, and why; moves no bytes. */
export const command: Command = {
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml', '.')
      .option('-f, --file <name>', 'name of the configuration file instead of cog.yaml', '')
      .option('--refresh', 'ask indexes and registries again, whatever is known')
      .option('--locked', 'use the lock file and ask nobody')
      .option('--no-build', 'take wheels only; a package without one is an error')
      .option('--json', 'print the plan as JSON')
  },
  async run([project = '.'], options, io) {
    const [{ openWorld }, { planBuild }, { knownGpuCode }] = await Promise.all([
      import('../world.ts'),
      import('../../build.ts'),
      import('../../build/known-gpu-code.ts'),
    ])
    const world = await openWorld(io)
    const planned = await planBuild(
      {
        project: resolve(io.cwd, project, String(options['file'])),
        mode: options['locked'] === true ? 'locked' : options['refresh'] === true ? 'refresh' : 'auto',
        format: 'oci',
        buildsSources: options['build'] !== false,
      },
      world.context,
    )
    const gpuCode = await knownGpuCode(planned.plans, world.context)
    io.stdout.write(
      options['json'] === true ? `${JSON.stringify(planned.plans, maskCommand, 2)}\n` : renderPlans(planned, gpuCode),
    )
  },
}

/** What is shown of a step's command, as everywhere. */
function maskCommand(key: string, value: unknown): unknown {
  return key === 'command' && typeof value === 'string' ? maskAddresses(value) : value
}

/** The plans as a page for people: choices with their reasons, then layers from the top down. */
function renderPlans(
  { imageName, plans }: PlannedBuild,
  gpuCode: readonly (readonly GpuCodeOfPackage[])[] = [],
): string {
  return plans.map((plan, place) => renderPlan(imageName, plan, gpuCode[place] ?? [])).join('\n')
}

function renderPlan(imageName: string, plan: Plan, gpuCode: readonly GpuCodeOfPackage[]): string {
  const lines = [`${imageName} for ${plan.platform.os}/${plan.platform.architecture}`, '', 'Choices']
  const width = Math.max(...plan.choices.map(({ key }) => key.length))
  for (const { key, value, reason, rejected } of plan.choices) {
    lines.push(`  ${key.padEnd(width)}  ${value}`, `  ${' '.repeat(width)}  ${reason}`)
    if (rejected !== undefined) lines.push(`  ${' '.repeat(width)}  not ${rejected}`)
  }
  lines.push('', 'Layers, lowest first')
  if (plan.base !== undefined) lines.push(`  base         ${plan.base.location} (${plan.base.layers.length} layers)`)
  for (const layer of plan.layers) {
    lines.push(`  ${layer.role.padEnd(11)}  ${oneLine(layer.title)}${isPlannedStep(layer) ? '' : sizeOf(layer.spec)}`)
  }
  if (gpuCode.length > 0) lines.push('', 'GPU code of packages that were laid before')
  for (const { package: name, architectures } of gpuCode) lines.push(`  ${name}: ${architectures.join(', ')}`)
  for (const note of plan.notes) lines.push('', `note: ${note}`)
  return `${lines.join('\n')}\n`
}

/** What is fetched for a layer, where the lock knows. */
function sizeOf(spec: object): string {
  const files = Object.values(spec).flatMap((value: unknown) => (Array.isArray(value) ? value : [value]))
  const sizes = files.flatMap((file: unknown) =>
    typeof file === 'object' && file !== null && 'sizeBytes' in file && typeof file.sizeBytes === 'number'
      ? [file.sizeBytes]
      : [],
  )
  return sizes.length === 0 ? '' : `, ${formatBytes(sizes.reduce((sum, size) => sum + size, 0))}`
}
