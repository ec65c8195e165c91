import type { LayerSpec } from './index.ts'
import { describeFiles } from './weight-files.ts'

/** What made a layer, in a few words, for its history line. */
export function describeLayer(spec: LayerSpec): string {
  switch (spec.kind) {
    case 'wheels':
      return spec.wheels.map(({ filename }) => filename.split('-').slice(0, 2).join(' ')).join(', ')
    case 'debs':
      return `system packages: ${spec.debs.map((deb) => deb.package).join(' ')}`
    case 'debian-registration':
      return `registration of ${spec.debs.length} system packages`
    case 'environment':
      return `virtual environment /${spec.prefix} (Python ${spec.pythonVersion})`
    case 'files':
      return `${spec.files.length} project files in ${spec.target}`
    case 'weights':
      return spec.files.map(({ path }) => path).join(', ')
    case 'weight-set':
      return describeFiles(spec.files.map(({ path }) => path))
    case 'archive':
    case 'tree':
    case 'inline':
      return spec.label
  }
}
