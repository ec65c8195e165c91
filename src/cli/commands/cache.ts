import type { Command as Program } from 'commander'
import { EXIT } from '../../core/errors.ts'
import { listBlobs, listCaches, listTemporary, type StoredFile } from '../../store/contents.ts'
import { storeLocation } from '../../store/location.ts'
import { pruneEngines } from '../../run/prune-engines.ts'
import { pruneRootfs } from '../../run/prune-rootfs.ts'
import { pruneStore } from '../../store/prune.ts'
import { listStepCaches } from '../../store/step-caches.ts'
import { Store } from '../../store/store.ts'
import { verifyStore } from '../../store/verify-store.ts'
import type { Command, CommandEntry, Io } from '../command.ts'
import { formatBytes, formatDuration } from '../progress/format.ts'
import { parseBytes, parseDuration } from '../quantity.ts'

const DAY_MS = 24 * 60 * 60 * 1000

/** `layerwright cache ls`: every blob of the local store. */
const ls: Command = {
  define: (program) => void withJson(program),
  async run(_args, options, io) {
    const blobs = await listBlobs(await openStore(io))
    const newestFirst = blobs.sort((a, b) => b.usedMs - a.usedMs)
    if (options['json'] === true) {
      const rows = newestFirst.map(({ digest, sizeBytes, usedMs, role, images }) => ({
        digest,
        sizeBytes,
        usedMs,
        role,
        images,
      }))
      return io.stdout.write(`${JSON.stringify(rows)}\n`)
    }
    const now = Date.now()
    for (const { digest, sizeBytes, usedMs, role, images } of newestFirst) {
      const used = `${formatAge(Math.max(0, now - usedMs))} ago`
      const columns = [
        digest.slice(0, 19),
        formatBytes(sizeBytes).padStart(8),
        used.padStart(12),
        role.padEnd(8),
        images.join(' '),
      ]
      io.stdout.write(`${columns.join('  ').trimEnd()}\n`)
    }
  },
}

/** `layerwright cache du`: what takes the space. */
const du: Command = {
  define: (program) => void withJson(program),
  async run(_args, options, io) {
    const store = await openStore(io)
    const [blobs, caches, steps, temporary] = await Promise.all([
      listBlobs(store),
      listCaches(store),
      listStepCaches(store.folder),
      listTemporary(store),
    ])
    const rows = [
      ...(['image', 'layer', 'download'] as const).map((role) =>
        total(
          `${role}s`,
          blobs.filter((blob) => blob.role === role),
        ),
      ),
      ...[...caches].map(([space, files]) => total(`answers: ${space}`, files)),
      total('caches of run steps', steps),
      total('unfinished', temporary),
    ]
    const all = { what: 'total', files: sum(rows, 'files'), bytes: sum(rows, 'bytes') }
    if (options['json'] === true)
      return io.stdout.write(`${JSON.stringify({ folder: store.folder, parts: rows, total: all })}\n`)
    for (const { what, files, bytes } of [...rows, all])
      io.stdout.write(`${what.padEnd(22)} ${String(files).padStart(7)} files ${formatBytes(bytes).padStart(9)}\n`)
    io.stdout.write(`${store.folder}\n`)
  },
}

/** `layerwright cache prune`: makes the local store smaller. */
const prune: Command = {
  define(program) {
    withJson(program)
      .option('--max-size <size>', 'only until the store is this small, such as 20GB; least recently used first')
      .option('--older-than <time>', 'only what was not used for this long, such as 30d')
      .option('--dry-run', 'say what would be removed and remove nothing')
  },
  async run(_args, options, io) {
    const { maxSize, olderThan, dryRun, json } = options as PruneFlags
    const store = await openStore(io)
    const result = await pruneStore(store, {
      maxBytes: maxSize === undefined ? undefined : parseBytes(maxSize),
      olderThanMs: olderThan === undefined ? undefined : parseDuration(olderThan),
      isDryRun: dryRun === true,
    })
    // Unpacked layers are worth less than what they are made from: with a bound of size they all go.
    const unpacked = pruneRootfs(store.folder, {
      olderThanMs: olderThan === undefined ? undefined : parseDuration(olderThan),
      isDryRun: dryRun === true,
    })
    const handed = await pruneEngines(store.folder, io.env, {
      olderThanMs: olderThan === undefined ? undefined : parseDuration(olderThan),
      isDryRun: dryRun === true,
    })
    if (json === true) return io.stdout.write(`${JSON.stringify({ ...result, unpacked, handed })}\n`)
    const verb = dryRun === true ? 'Would remove' : 'Removed'
    const { removedFiles, removedBytes, keptBytes } = result
    io.stdout.write(`${verb} ${removedFiles} files, ${formatBytes(removedBytes)}; ${formatBytes(keptBytes)} stay\n`)
    if (unpacked.removedFiles > 0)
      io.stdout.write(`${verb} ${unpacked.removedFiles} unpacked files, ${formatBytes(unpacked.removedBytes)}\n`)
    for (const { engine, name, sizeBytes } of handed)
      io.stdout.write(`${verb} ${name}, ${formatBytes(sizeBytes)}, from ${engine}\n`)
  },
}

/** `layerwright cache verify`: reads every blob and removes the damaged ones. */
const verify: Command = {
  define: (program) => void withJson(program),
  async run(_args, options, io) {
    const result = await verifyStore(await openStore(io), { report: io.report, signal: io.signal })
    const { checkedBlobs, checkedBytes, damaged, removedRecords } = result
    if (options['json'] === true) io.stdout.write(`${JSON.stringify(result)}\n`)
    else {
      for (const { digest, images } of damaged)
        io.stdout.write(`damaged, removed: ${digest}${images.length === 0 ? '' : ` (of ${images.join(', ')})`}\n`)
      const records = removedRecords === 0 ? '' : `; ${removedRecords} wrong records removed`
      io.stdout.write(`${checkedBlobs} blobs, ${formatBytes(checkedBytes)}: ${damaged.length} damaged${records}\n`)
    }
    return damaged.length === 0 ? EXIT.ok : EXIT.integrity
  },
}

/** `layerwright cache`: the local store. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    entry('ls', 'list what the local store holds', ls),
    entry('du', 'show what takes the space', du),
    entry('prune', 'remove what no running build and no local image uses', prune),
    entry('verify', 'check every blob and remove the damaged ones', verify),
  ],
}

/** Days from two days on; a store is looked at in weeks. */
function formatAge(ms: number): string {
  return ms < 2 * DAY_MS ? formatDuration(ms) : `${Math.floor(ms / DAY_MS)} days`
}

interface PruneFlags {
  readonly maxSize?: string
  readonly olderThan?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

interface Total {
  readonly what: string
  readonly files: number
  readonly bytes: number
}

function entry(name: string, summary: string, command: Command): CommandEntry {
  return { name, summary, group: 'Look', load: async () => ({ command }) }
}

function withJson(program: Program): Program {
  return program.option('--json', 'print the result as JSON')
}

async function openStore(io: Io): Promise<Store> {
  return Store.open(await storeLocation({ env: io.env }))
}

function total(what: string, files: readonly StoredFile[]): Total {
  return { what, files: files.length, bytes: files.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0) }
}

function sum(rows: readonly Total[], member: 'files' | 'bytes'): number {
  return rows.reduce((result, row) => result + row[member], 0)
}
