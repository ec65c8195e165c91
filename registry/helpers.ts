import { BuildError } from '../src/core/errors.ts'
import { reportOnce, silent, type Report } from '../src/core/progress.ts'
import { getFromHelper, type HelperEntry, type HelperOptions } from './credential-helper.ts'

/** What {@link Helpers} work with. */
export interface HelpersOptions extends HelperOptions {
  readonly report?: Report | undefined
}

/** The credential helpers of one operation: a program is asked once about a server, however many repositories want to know. */
export class Helpers {
  readonly #options: HelpersOptions
  readonly #answers = new Map<string, Promise<HelperEntry | undefined>>()

  constructor(options: HelpersOptions) {
    this.#options = options
  }

  /**
   * Asks a helper about a server by each of its names. One that does not work must not stop a pull that needs no login: it is
   * told, once, and not asked again by another name.
   *
   * @param namedBy the setting and the file that name the helper
   */
  async ask(name: string, servers: readonly string[], namedBy: string): Promise<HelperEntry | undefined> {
    const { report = silent } = this.#options
    try {
      for (const server of servers) {
        const found = await this.#answer(name, server)
        if (found !== undefined) return found
      }
    } catch (error) {
      if (!(error instanceof BuildError)) throw error
      const text = `${error.message}. It is named by ${namedBy}, and passed over. ${error.hint ?? ''}`
      reportOnce(report, { type: 'note', level: 'warning', text: text.trim(), code: error.code })
    }
    return undefined
  }

  #answer(name: string, server: string): Promise<HelperEntry | undefined> {
    const key = `${name} ${server}`
    let answer = this.#answers.get(key)
    if (answer === undefined) {
      answer = getFromHelper(name, server, this.#options)
      this.#answers.set(key, answer)
    }
    return answer
  }
}
