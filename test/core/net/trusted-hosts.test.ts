import { expect, test } from 'vitest'
import { TrustedHosts } from '../../../src/core/net/trusted-hosts.ts'

test('TrustedHosts knows hosts with and without port', () => {
  const trusted = new TrustedHosts()
  expect(trusted.settingsFor('index.example')).toBeUndefined()
  trusted.add(['Index.example', 'other.example:8443'])
  expect(trusted.settingsFor('index.example')).toEqual({ insecure: true })
  expect(trusted.settingsFor('index.example:8443')).toEqual({ insecure: true })
  expect(trusted.settingsFor('other.example:8443')).toEqual({ insecure: true })
  expect(trusted.settingsFor('other.example')).toBeUndefined()
  expect(trusted.settingsFor('evil-index.example')).toBeUndefined()
})
