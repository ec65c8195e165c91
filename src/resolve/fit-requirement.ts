import { TORCH_FAMILY, type EnvironmentChoice } from '../compat/index.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import { parseSpecifier, type SpecifierSet } from '../python/specifier.ts'
import { formatPublic } from '../python/version.ts'

/**
 * A requirement as the chosen environment has it: with the extras that bring CUDA, and without the build that torch was
 * pinned to, since the build that was chosen decides (`torch==2.7.0+cu118` with CUDA 12.8 is 2.7.0 for 12.8, as with Cog).
 */
export function fitRequirement(root: RootRequirement, choice: EnvironmentChoice): RootRequirement {
  const { requirement } = root
  const extras = choice.extras[requirement.name]
  const isBuildChosen = choice.torchBuild !== undefined && TORCH_FAMILY.includes(requirement.name)
  if (extras === undefined && !isBuildChosen) return root
  return {
    ...root,
    requirement: {
      ...requirement,
      extras: [...requirement.extras, ...(extras ?? [])],
      specifiers: isBuildChosen ? withoutBuild(requirement.specifiers) : requirement.specifiers,
    },
  }
}

/** The same specifiers with `==2.7.0+cu118` as `==2.7.0`, which every build of 2.7.0 satisfies. */
export function withoutBuild(specifiers: SpecifierSet): SpecifierSet {
  return specifiers.map((specifier) => {
    const isPin = specifier.operator === '==' && !specifier.isPrefix && specifier.text.includes('+')
    return isPin && specifier.version !== undefined ? parseSpecifier(`==${formatPublic(specifier.version)}`) : specifier
  })
}
