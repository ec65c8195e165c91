// `npx layerwright` inside the checkout looks in node_modules/.bin, where npm links dependencies' commands only.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = join('node_modules', '.bin')
mkdirSync(folder, { recursive: true })
for (const name of ['layerwright', 'lw']) {
  const link = join(folder, name)
  rmSync(link, { force: true })
  if (process.platform === 'win32') {
    writeFileSync(`${link}.cmd`, '@node "%~dp0\\..\\..\\bin\\layerwright.mjs" %*\r\n')
  } else {
    symlinkSync(join('..', '..', 'bin', 'layerwright.mjs'), link)
  }
}
