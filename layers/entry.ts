import type { Open } from '../src/core/bytes.ts'

/** What all tar entries of a layer have. */
interface EntryBase {
  /** Relative to the image's root, no leading slash, `/` between parts, no `.` or `..`, no trailing slash. */
  readonly path: string
  /** Permission bits with setuid, setgid and sticky, such as 0o755. */
  readonly mode: number
  /** Seconds since the epoch; the layer's own fixed time unless given. */
  readonly mtimeSeconds?: number | undefined
  /** 0 unless given. */
  readonly uid?: number | undefined
  /** 0 unless given. */
  readonly gid?: number | undefined
}

/** A regular file; `open` gives exactly `sizeBytes` bytes. */
export interface FileEntry extends EntryBase {
  readonly kind: 'file'
  readonly sizeBytes: number
  readonly open: Open
}

/** A directory. */
export interface DirectoryEntry extends EntryBase {
  readonly kind: 'directory'
}

/** A symbolic link; `target` is written as it is. */
export interface SymlinkEntry extends EntryBase {
  readonly kind: 'symlink'
  readonly target: string
}

/** A hard link to the path of an earlier file of the same layer. */
export interface HardlinkEntry extends EntryBase {
  readonly kind: 'hardlink'
  readonly target: string
}

/** Marks a path of lower layers as deleted (image-spec layer.md, "Whiteouts"). */
export interface WhiteoutEntry {
  readonly kind: 'whiteout'
  /** The deleted path; or, with `opaque`, the directory whose lower contents are hidden. */
  readonly path: string
  readonly opaque: boolean
}

/** One entry of a layer, by kind. */
export type Entry = FileEntry | DirectoryEntry | SymlinkEntry | HardlinkEntry | WhiteoutEntry
