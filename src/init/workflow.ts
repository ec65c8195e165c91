/**
 * Builds and pushes on each push to the main branch; no Docker is needed on the runner.
 *
 * Written for a reviewer who trusts nothing: actions by commit, the least permissions, the checkout's credentials taken away, this
 * program by its exact version or by the hashes of the project's own lock file, no script of a package run while it is
 * installed, and the token in the one step that needs it. Values come from the environment, never by `${{ }}` into a shell.
 *
 * @param version  of the program that writes it
 */
export function makeWorkflow(version: string): string {
  return `name: push
on:
  push:
    branches: [main]
  workflow_dispatch:

# None but those that the job asks for.
permissions: {}

jobs:
  push:
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    permissions:
      contents: read
      packages: write
    steps:
      # Actions by commit, since whoever owns them can move a tag.
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
      - uses: actions/setup-node@49933ea5288caeca8642d1e84afbd3f7d6820020 # v4.4.0
        with:
          node-version: 20
      # The project's own layerwright, whose hash is in package-lock.json; else this version from the registry of packages.
      # No secret is here yet, and no package runs a script of its own.
      - name: install layerwright
        run: |
          if npm ls layerwright --package-lock-only >/dev/null 2>&1; then
            npm ci --ignore-scripts
            echo "$PWD/node_modules/.bin" >>"$GITHUB_PATH"
          else
            npm install --prefix "$RUNNER_TEMP/layerwright" --ignore-scripts --no-audit layerwright@${version}
            echo "$RUNNER_TEMP/layerwright/node_modules/.bin" >>"$GITHUB_PATH"
          fi
      - name: build and push
        run: layerwright push "ghcr.io/\${GITHUB_REPOSITORY,,}:latest"
        env:
          GITHUB_TOKEN: \${{ secrets.GITHUB_TOKEN }}
`
}
