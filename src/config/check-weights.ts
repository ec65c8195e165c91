import { normalize } from 'node:path'
import { nearest } from '../core/suggest.ts'
import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'
import { parseWeightUri, WeightUriError } from './weight-uri.ts'

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
    try {
      parseWeightUri(source.uri)
    } catch (error) {
      if (!(error instanceof WeightUriError)) throw error
      const scheme = /^([a-z]+):\/\//i.exec(source.uri)?.[1]
      const suggestion = scheme === undefined ? undefined : nearest(scheme, ['hf', 'file', 'https'])
      report('error', 'invalid-value', [...at, 'uri'], error.message, { hint: error.hint, suggestion })
    }
    for (const key of ['include', 'exclude'] as const) {
      for (const [position, pattern] of (source[key] ?? []).entries()) {
        if (!/^!|\\|^\s*$/.test(pattern)) continue
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
