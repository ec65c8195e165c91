import { parseDependencies, type Clause } from './dependency.ts'

/** Fields of an index that the solver and the lock need, in the order of a line of the slim index. */
export const RECORD_FIELDS = [
  'package',
  'version',
  'architecture',
  'filename',
  'size',
  'sha256',
  'installed-size',
  'priority',
  'essential',
  'multi-arch',
  'source',
  'pre-depends',
  'depends',
  'provides',
  'conflicts',
  'breaks',
  'replaces',
] as const

/** A field that the slim index keeps. */
export type RecordField = (typeof RECORD_FIELDS)[number]

/** One version of one package, as an index or a status file tells it. */
export class PackageRecord {
  readonly #line: string
  #fields: readonly string[] | undefined
  #clauses: Map<RecordField, readonly Clause[]> | undefined
  readonly name: string
  /** Address of the archive that has it; '' when it is installed already. */
  readonly archive: string
  /** Position of the index it came from, for a stable choice between equal versions. */
  readonly rank: number

  /**
   * An index has 60 000 lines of which a build looks at some hundred, so a line is split when it is first asked.
   *
   * @param line  values in the order of {@link RECORD_FIELDS}, '' where absent, apart by tabs
   */
  constructor(line: string, archive: string, rank: number) {
    this.#line = line
    this.name = line.slice(0, line.indexOf('\t'))
    this.archive = archive
    this.rank = rank
  }

  field(name: RecordField): string {
    this.#fields ??= this.#line.split('\t')
    return this.#fields[RECORD_FIELDS.indexOf(name)] ?? ''
  }

  get version(): string {
    return this.field('version')
  }

  get architecture(): string {
    return this.field('architecture')
  }

  get isEssential(): boolean {
    return this.field('essential') === 'yes'
  }

  /** Name and version of the source package that it was built from. */
  get source(): string {
    const match = /^(\S+)(?: \((.+)\))?$/.exec(this.field('source'))
    return `${match?.[1] ?? this.name} ${match?.[2] ?? this.version}`
  }

  get multiArch(): string {
    return this.field('multi-arch')
  }

  /** The clauses of a relationship field. @throws RangeError when the field breaks the grammar */
  clauses(field: 'pre-depends' | 'depends' | 'provides' | 'conflicts' | 'breaks' | 'replaces'): readonly Clause[] {
    this.#clauses ??= new Map()
    const known = this.#clauses.get(field)
    if (known !== undefined) return known
    const parsed = parseDependencies(this.field(field))
    this.#clauses.set(field, parsed)
    return parsed
  }

  /** `name (version)`, for messages. */
  toString(): string {
    return `${this.name} (${this.version})`
  }
}
