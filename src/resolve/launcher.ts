import type { Config } from '../config/config.ts'
import type { LockedWheel } from '../python/lock.ts'
import { parseRequirement } from '../python/requirement.ts'
import { resolvePython } from '../python/resolve-python.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'
import { indexPlan } from './python-packages.ts'

export async function resolveLauncher(
  config: Config,
  target: Target,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const names = ['pydantic', 'uvicorn', 'starlette', 'httptools']
  const lock = await resolvePython(
    {
      target,
      requirements: names.map((name) => ({ requirement: parseRequirement(name) })),
      indexes: indexPlan(config, context),
    },
    { http: context.http, cache: context.cache('index'), signal: context.signal },
  )
  return lock.packages
}
