import type { GpuCodeOfPackage } from '../../../layers/gpu-code.ts'
import type { PlannedBuild } from '../../build.ts'
import { maskAddresses } from '../../core/mask.ts'
import { isPlannedStep, type Plan } from '../../plan/plan.ts'
import { describeMembers, membersOf } from '../../run/predict/members.ts'
import type { Command } from '../command.ts'
import { formatBytes, oneLine } from '../progress/format.ts'
import { defineAnswers, defineProject, planProject } from '../project-options.ts'

/** `layerwright plan`: what would be built, and why; moves no bytes. */
export const command: Command = {
  define(program) {
    defineAnswers(defineProject(program)).option('--json', 'print the plan as JSON')
  },
  async run([project], options, io) {
    const { planned, world } = await planProject(project, options, io)
    const { knownGpuCode } = await import('../../build/known-gpu-code.ts')
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
  const members = membersOf(plan.runtime)
  if (members !== undefined) lines.push('', `Serves ${describeMembers(members)}`)
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
