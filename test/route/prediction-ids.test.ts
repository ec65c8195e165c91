import { expect, test } from 'vitest'
import { KnownIds, readIdRequest } from '../../src/route/prediction-ids.ts'

test.each([
  ['GET', '/predictions/a', false, { id: 'predictions/a', canAskAround: true }],
  ['GET', '/v1/predictions/a?x=1', false, { id: 'predictions/a', canAskAround: true }],
  ['HEAD', '/trainings/a', false, { id: 'trainings/a', canAskAround: true }],
  ['GET', '/predictions/a/stream', false, { id: 'predictions/a', canAskAround: true }],
  ['PUT', '/predictions/a', true, { id: 'predictions/a', canAskAround: false }],
  ['POST', '/predictions/a/cancel', false, { id: 'predictions/a', canAskAround: true }],
  ['POST', '/predictions/a/cancel', true, { id: 'predictions/a', canAskAround: false }],
  ['POST', '/predictions', true, undefined],
  ['GET', '/predictions', false, undefined],
  ['GET', '/models/predictions/a', false, undefined],
  ['PUT', `/predictions/${'a'.repeat(257)}`, true, undefined],
])('readIdRequest() of %s %s', (method, path, hasBody, expected) => {
  expect(readIdRequest(method, path, hasBody)).toEqual(expected)
})

test('KnownIds forgets the one that was seen first, and one that is seen again is seen last', () => {
  const known = new KnownIds(2)
  known.set('a', 'v1')
  known.set('b', 'v2')
  known.set('a', 'v1')
  known.set('c', 'v3')
  expect(['a', 'b', 'c'].map((id) => known.get(id))).toEqual(['v1', undefined, 'v3'])
})
