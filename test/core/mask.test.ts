import { expect, test } from 'vitest'
import { maskAddresses } from '../../src/core/mask.ts'

test.each([
  ['pip install -i https://me:word@index.example/simple x', 'pip install -i https://***@index.example/simple x'],
  ['git clone "https://token@example.org/a@b" && x', 'git clone "https://***@example.org/a@b" && x'],
  ['a @ git+ssh://git@example.org/a.git@main', 'a @ git+ssh://***@example.org/a.git@main'],
  ['https://me:p@ss@example.org http://b:c@d', 'https://***@example.org http://***@d'],
  ['curl https://example.org/@scope/x?mail=a@b', 'curl https://example.org/@scope/x?mail=a@b'],
  ["echo 'https://' me@example.org", "echo 'https://' me@example.org"],
])('maskAddresses(%j)', (text, masked) => {
  expect(maskAddresses(text)).toBe(masked)
})

test('maskAddresses() takes time in proportion to a hostile text', () => {
  const text = '://'.repeat(100_000) + ':'.repeat(300_000)
  expect(maskAddresses(text)).toBe(text)
})
