import { parseDeb822, type Stanza } from './deb822.ts'
import { PackageRecord, RECORD_FIELDS } from './package-record.ts'

/** A package of a base: what the solver reads, and the stanza it came from. */
export interface InstalledPackage {
  readonly record: PackageRecord
  readonly stanza: Stanza
}

/**
 * Reads dpkg's database: `status`, or one file of `status.d` (which distroless images have).
 *
 * Packages that are removed, half-installed or only configured to be kept are left out.
 *
 * @throws RangeError when the text is no control data
 */
export function parseStatus(text: string): InstalledPackage[] {
  return parseDeb822(text)
    .filter((stanza) => stanza.has('package') && stanza.has('version') && isInstalled(stanza))
    .map((stanza) => ({ record: recordOf(stanza), stanza }))
}

function isInstalled(stanza: Stanza): boolean {
  const status = stanza.get('status')
  return status === undefined || status.endsWith(' installed') || /\btriggers-(pending|awaited)$/.test(status)
}

function recordOf(stanza: Stanza): PackageRecord {
  const line = RECORD_FIELDS.map((field) => (stanza.get(field) ?? '').replace(/\s+/g, ' ').trim())
  return new PackageRecord(line.join('\t'), '', 0)
}

/** A stanza for the status file: the package's own control text with what dpkg adds on installing. */
export function formatStatusStanza(controlText: string, conffiles: readonly Conffile[]): string {
  const [first = '', ...rest] = controlText.trimEnd().split('\n')
  const lines = [first, 'Status: install ok installed', ...rest]
  if (conffiles.length > 0) {
    lines.push('Conffiles:', ...conffiles.map(({ path, md5 }) => ` /${path} ${md5}`))
  }
  return `${lines.join('\n')}\n`
}

/** A configuration file with the digest dpkg compares it to on an upgrade. */
export interface Conffile {
  /** Without leading slash. */
  readonly path: string
  readonly md5: string
}
