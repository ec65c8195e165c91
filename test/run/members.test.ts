import { describe, expect, it, test } from 'vitest'
import { describeMembers, membersOf, requireMember } from '../../src/run/predict/members.ts'

const config = (label: string) => ({ Labels: { 'run.layerwright.models': label } })
const members = { default: 'main', models: ['detect', 'classify'], pipelines: ['main'] }

describe('membersOf()', () => {
  it('reads the label', () => {
    expect(membersOf(config(JSON.stringify(members)))).toEqual(members)
  })

  it.each([
    '',
    'null',
    '[]',
    '3',
    '{}',
    '{"default":"a"}',
    '{"default":1,"models":[],"pipelines":[]}',
    '{"default":"a","models":[1],"pipelines":[]}',
  ])('gives nothing for %j', (label) => expect(membersOf(config(label))).toBeUndefined())

  it('gives nothing for an image of one model', () => {
    expect(membersOf({ Labels: {} })).toBeUndefined()
    expect(membersOf(undefined)).toBeUndefined()
  })
})

describe('requireMember()', () => {
  it.each(['detect', 'main'])('takes %s', (name) => expect(() => requireMember(name, members)).not.toThrow())

  it('names those that there are, and the nearest', () => {
    expect(() => requireMember('detekt', members)).toThrow(
      expect.objectContaining({ hint: 'There are: detect, classify, main. Did you mean `detect`?' }),
    )
    expect(() => requireMember('zzzzz', members)).toThrow(
      expect.objectContaining({ hint: 'There are: detect, classify, main.' }),
    )
  })

  it('says of an image of one model that it has no names', () => {
    expect(() => requireMember('main', undefined)).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        hint: 'It has one model, which has no name; leave out --model.',
      }),
    )
  })
})

test('describeMembers() names the default first', () => {
  expect(describeMembers(members)).toBe('main at /predictions; models detect, classify; pipelines main')
  expect(describeMembers({ default: 'a', models: ['a'], pipelines: [] })).toBe('a at /predictions; models a')
})
