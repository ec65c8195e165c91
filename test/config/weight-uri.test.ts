import { expect, test } from 'vitest'
import { parseWeightUri, WeightUriError } from '../../src/config/weight-uri.ts'

const hash = 'a'.repeat(64)

test.each([
  ['hf://openai/clip', { kind: 'hub', type: 'models', repository: 'openai/clip', revision: 'main' }],
  ['hf://openai/clip@v1.2', { kind: 'hub', type: 'models', repository: 'openai/clip', revision: 'v1.2' }],
  ['hf://gpt2@refs/pr/1', { kind: 'hub', type: 'models', repository: 'gpt2', revision: 'refs/pr/1' }],
  ['hf://datasets/a/b', { kind: 'hub', type: 'datasets', repository: 'a/b', revision: 'main' }],
  ['https://host.example/a/model.bin', { kind: 'web', url: 'https://host.example/a/model.bin' }],
  [`https://h.example/m%20x.bin#sha256=${hash}`, { kind: 'web', url: 'https://h.example/m%20x.bin', sha256: hash }],
  ['https://h.example/m.bin?version=3', { kind: 'web', url: 'https://h.example/m.bin?version=3' }],
  ['file:///srv/my%20weights', { kind: 'local', path: '/srv/my weights' }],
  ['file://./weights', { kind: 'local', path: './weights' }],
  ['weights/model', { kind: 'local', path: 'weights/model' }],
] as const)('parseWeightUri(%j)', (uri, expected) => {
  expect(parseWeightUri(uri)).toEqual(expected)
})

test.each([
  ['s3://bucket/x', 'do not come by `s3://`'],
  ['http://host.example/x', 'do not come by `http://`'],
  ['hf://a/b/c', 'two parts'],
  ['hf://a/..', 'not the name'],
  ['hf://a/b@', 'not a revision'],
  ['hf://a/b@../x', 'not a revision'],
  ['https://', 'not an address'],
  ['https://host.example/', 'names none'],
  ['https://me:secret@host.example/x', 'no credentials'],
  ['https://host.example/x?X-Amz-Signature=abc', 'holds a secret'],
  ['https://host.example/x?sig=abc', 'holds a secret'],
  ['https://host.example/x#sha256=abc', '64 hexadecimal digits'],
  ['https://host.example/%zz', 'percent'],
  ['file://', 'names no file'],
])('parseWeightUri(%j) is refused: %s', (uri, message) => {
  expect(() => parseWeightUri(uri)).toThrow(WeightUriError)
  expect(() => parseWeightUri(uri)).toThrow(message)
})
