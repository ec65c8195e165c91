import { Option, type Command as Program } from 'commander'
import { append } from '../append.ts'
import type { Command } from '../command.ts'
import { COMPRESSIONS } from '../output.ts'
import { defineAnswers, defineProject } from '../project-options.ts'
import { runBuild, type BuildOptions } from '../run-build.ts'

/** `layerwright build` */
export const command: Command = {
  define(program) {
    defineBuildOptions(program)
    program.option('--push', 'push the image under each name to its registry')
  },
  async run(args, options, io) {
    await runBuild(args[0] ?? '.', options as unknown as BuildOptions, io)
  },
}

/** Adds what `build` and `push` have in common. */
export function defineBuildOptions(program: Program, { isProjectOption = false } = {}): void {
  defineAnswers(defineProject(program, isProjectOption ? 'option' : 'argument'))
  program
    .option('-t, --tag <name>', 'name of the image; repeatable', append, [])
    .option(
      '-o, --output <location>',
      'where the image goes: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker://REF; repeatable',
      append,
      [],
    )
    .option('--platform <os/arch>', 'platform in place of build.platforms; repeatable', append, [])
    .addOption(new Option('--format <format>', 'media types of the image').choices(['oci', 'docker']).default('oci'))
    .addOption(
      new Option('--compression <how>', 'of the layers that are made; `-o LOCATION,compression=HOW` for one place')
        .choices(COMPRESSIONS)
        .default('gzip'),
    )
    .option('--lazy', 'index the image, so that lazy snapshotters (SOCI) start it before it is pulled')
    .option('--load', 'hand the image to the docker, podman or nerdctl that is there')
    .option('--verify', 'make the layers that the lock file knows all the same, and compare them with it')
    .option('--iidfile <file>', "write the image's digest to a file")
    .option('--metadata-file <file>', 'write digest, names and platforms to a JSON file')
    .option(
      '--secret <id=name,src=file>',
      'file, or with `env=VARIABLE` a variable, that `run` steps with a secret mount see as a file; repeatable',
      append,
      [],
    )
    .addOption(
      new Option('--network <mode>', 'what `run` steps and builds of packages can reach')
        .choices(['host', 'none'])
        .default('host'),
    )
    .option('--no-step-caches', 'begin with empty caches in `run` steps (`--mount=type=cache`), and keep none')
    .option('--cache-from <repository>', 'take layers from this repository of a registry; repeatable', append, [])
    .option('--cache-to <repository>', 'give layers to this repository of a registry; repeatable', append, [])
    .option('--cache-verify', 'make every layer anew and compare it with what the caches say')
    .option('--cache-sign-key <file>', 'sign what is given to caches (Ed25519, PEM)')
    .option('--cache-trust-key <file>', 'believe only what this key signed (PEM); repeatable', append, [])
    .option('--attest', 'put a list of components (SPDX) and provenance (SLSA) beside the image in its registry')
    .option('--attest-key <file>', 'sign the provenance (private ECDSA P-256 or Ed25519 key, PEM); means --attest')
    .option('--no-store', 'write nothing to the disk: layers are sent on while they are made, and nothing is kept')
    .option('--timings', 'say at the end where the time went')
    .option('--json', 'print the result as JSON')
}
