import type { LaterProblem } from '../config/issues.ts'

/** Takes a problem of a pipeline, at its path in the cog.yaml. */
export type Complain = (problem: LaterProblem) => void
