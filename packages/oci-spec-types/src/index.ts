// No schema library here: a program that only names things starts faster. Schemas are in `oci-spec-types/schemas`.
export * from './annotations.ts'
export * from './digest.ts'
export * from './media-types.ts'
export * from './runtime.ts'
export type * from './types.ts'
