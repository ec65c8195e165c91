import type { EnvironmentRequest, Reason } from './environment.ts'
import type { Conflict } from './error.ts'
import { DEFAULT_MIN_DRIVER } from './drivers.ts'
import {
  knownTensorflow,
  knownTorch,
  TORCH_FAMILY,
  type Known,
  type TensorflowRow,
  type TorchRow,
} from './frameworks.ts'

/** What is asked, with what the tables know of it. */
export interface Question {
  readonly request: EnvironmentRequest
  readonly torch: Known<TorchRow> | undefined
  readonly tensorflow: Known<TensorflowRow> | undefined
  /** The index that the project itself names for the torch family. */
  readonly ownIndex: string | undefined
  /** The build that the torch family is pinned to, such as `cu118`. */
  readonly local: string | undefined
  /** The oldest driver to run on. */
  readonly driver: string
  readonly isDriverStated: boolean
}

/** Looks a request up in the tables. */
export function makeQuestion(request: EnvironmentRequest): Question {
  const family = request.frameworks.filter(({ name }) => TORCH_FAMILY.includes(name))
  return {
    request,
    torch: knownTorch(request.frameworks),
    tensorflow: knownTensorflow(request.frameworks),
    ownIndex: family.find(({ ownIndex }) => ownIndex !== undefined)?.ownIndex,
    local: family.find(({ local }) => local !== undefined)?.local,
    driver: request.minDriver ?? DEFAULT_MIN_DRIVER,
    isDriverStated: request.minDriver !== undefined,
  }
}

/** What is written down while choosing. */
export interface Notes {
  readonly conflicts: Conflict[]
  readonly reasons: Reason[]
  readonly warnings: string[]
}
