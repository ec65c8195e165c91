import { expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { formatRequirement } from '../../src/python/requirement.ts'
import { sdkRequirement } from '../../src/resolve/sdk.ts'

test.each([
  ['runtime: layerwright', undefined],
  ['observability: {traces: {enabled: false}}', undefined],
  ['observability: {traces: {enabled: true}}', 'opentelemetry-sdk'],
  ['runtime: coglet', 'cog>=0.16.0'],
  ['runtime: coglet\nobservability: {traces: {enabled: true}}', 'cog[tracing]>=0.16.0'],
  ['runtime: coglet\nobservability: {traces: {enabled: true}}\nbuild: {sdk_version: 0.23.1}', 'cog[tracing]==0.23.1'],
])('sdkRequirement() of %s is %s', (text, expected) => {
  const sdk = sdkRequirement(parseConfig(`run: predict.py:Predictor\n${text}\n`).config)
  expect(sdk === undefined ? undefined : formatRequirement(sdk.root.requirement)).toBe(expected)
})
