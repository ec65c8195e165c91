import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { ask } from '../../src/cli/ask.ts'

function terminal(): { readonly input: PassThrough; readonly output: PassThrough; readonly shown: () => string } {
  const [input, output] = [new PassThrough(), new PassThrough()]
  let text = ''
  output.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return { input, output, shown: () => text }
}

describe('ask()', () => {
  it('gives the line that is typed, and shows it', async () => {
    const { shown, ...place } = terminal()
    const answer = ask('Username: ', place)
    place.input.write('me\r')
    expect(await answer).toBe('me')
    expect(shown()).toContain('Username: ')
    expect(shown()).toContain('m')
  })

  it('does not show a password', async () => {
    const { shown, ...place } = terminal()
    const answer = ask('Password: ', place, true)
    place.input.write('s3cr3t\r')
    expect(await answer).toBe('s3cr3t')
    expect(shown()).toBe('Password: \n')
  })

  it.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('ends by %s', async (_name, key) => {
    const { shown: _, ...place } = terminal()
    const answer = ask('Password: ', place, true)
    place.input.write(key)
    await expect(answer).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })

  it('asks twice on one terminal', async () => {
    const { shown: _, ...place } = terminal()
    const first = ask('a ', place)
    place.input.write('one\r')
    expect(await first).toBe('one')
    const second = ask('b ', place, true)
    place.input.write('two\r')
    expect(await second).toBe('two')
  })
})
