import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { BuildError } from '../core/errors.ts'

/** Where a question is asked; a terminal. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
}

/**
 * Asks the person at the terminal for one line.
 *
 * @param isHidden  what is typed is not shown
 * @throws BuildError INTERRUPTED when the person ends it with Ctrl-C or Ctrl-D
 */
export function ask(question: string, { input, output }: Terminal, isHidden = false): Promise<string> {
  output.write(question)
  // readline shows what is typed by writing it; for a password it writes nowhere.
  const shown = isHidden ? new Writable({ write: (_chunk, _encoding, done) => done() }) : output
  const lines = createInterface({ input, output: shown, terminal: true, historySize: 0 })
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => {
      resolve(line)
      lines.close()
    })
    // After an answer this has no effect.
    lines.once('close', () => {
      if (isHidden) output.write('\n')
      reject(new BuildError('INTERRUPTED', 'Interrupted'))
    })
    lines.once('SIGINT', () => lines.close())
  })
}
