import type { SourceContext } from '../../src/build/source/context.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import { Store } from '../../src/store/store.ts'

/** What building sources needs, with a store of its own and nothing that runs. */
export async function offlineSourceContext(folder: string): Promise<SourceContext> {
  return {
    store: await Store.open(folder),
    http: makeHttp({ env: {}, retry: false }),
    env: {},
    report: silent,
    now: () => Date.now(),
    projectFolder: folder,
    network: 'none',
    epochSeconds: 0,
    baseLayers: () => [],
    headers: async () => ({}),
  }
}
