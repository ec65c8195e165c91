/** Mode and owner of a folder. */
export interface FolderMode {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** What a folder has of which nothing else is known. */
export const USUAL_MODE: FolderMode = { mode: 0o755, uid: 0, gid: 0 }

/** Mode and owner of a folder when they are not {@link USUAL_MODE}. */
export function unusualMode({ mode, uid, gid }: FolderMode): FolderMode | undefined {
  return mode === 0o755 && uid === 0 && gid === 0 ? undefined : { mode, uid, gid }
}
