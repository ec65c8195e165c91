import { normalize } from 'node:path'
import { nearest } from '../core/suggest.ts'
import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/** Weights have names and folders of their own, and sources that are known. */
export function checkWeights(yaml: CogYaml, report: ReportIssue): void {
  const names = new Set<string>()
  const targets: string[] = []
  for (const [index, weight] of (yaml.weights ?? []).entries()) {
    const path = ['weights', index]
    if (names.has(weight.name))
      report('error', 'duplicate-weights', [...path, 'name'], `Two entries are named \`${weight.name}\``)
    names.add(weight.name)
    const target = normalize(weight.target).replace(/\/+$/, '')
    if (target === '')
      report('error', 'invalid-value', [...path, 'target'], 'Weights cannot take the place of the root folder')
    const other = targets.find(
      (other) => other === target || other.startsWith(`${target}/`) || target.startsWith(`${other}/`),
    )
    if (other !== undefined)
      report(
        'error',
        'duplicate-weights',
        [...path, 'target'],
        `This folder is the same as, within, or around another entry's: \`${other}\``,
      )
    targets.push(target)
    checkWeightSources(weight, path, report)
  }
}

function checkWeightSources(
  weight: NonNullable<CogYaml['weights']>[number],
  path: readonly PathPart[],
  report: ReportIssue,
): void {
  const many = Array.isArray(weight.source)
  for (const [index, source] of (Array.isArray(weight.source) ? weight.source : [weight.source]).entries()) {
    const at = [...path, 'source', ...(many ? [index] : [])]
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(source.uri)?.[1]
    if (scheme !== undefined && !['hf', 'file', 'https'].includes(scheme)) {
      report('error', 'invalid-value', [...at, 'uri'], `Weights do not come by \`${scheme}://\``, {
        hint: 'Use hf://, https://, file:// or a path.',
        suggestion: nearest(scheme, ['hf', 'file', 'https']),
      })
    }
    for (const key of ['include', 'exclude'] as const) {
      for (const [position, pattern] of (source[key] ?? []).entries()) {
        if (!/^!|\\/.test(pattern)) continue
        report(
          'error',
          'invalid-value',
          [...at, key, position],
          `A pattern has no \`!\` at its start and no backslash: \`${pattern}\``,
        )
      }
    }
  }
}
