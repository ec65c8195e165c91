import path from 'node:path'
import { test } from 'vitest'
import { makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { expectPassInImages } from '../support/runtime-suite.ts'

// The runtime's suite inside images: built by this program on a composed base, unpacked by umoci, started by runc with the
// image's own entry point, as a uid that is in no passwd file, on a read-only root, without capabilities. Newer interpreters
// have files of their own, so that they run side by side. These images are compiled after they are unpacked, for their starts to be
// quick; those of runtime-platforms.test.ts are as they were built.

/**
 * What an image can change: entry point, user, root file system, signals, libraries, and Cog's server beside; of each other
 * area a sample. The rest answers alike wherever it is started and is runtime.test.ts's; some of it (the launcher's parts,
 * the lock) starts no server, so that here it would run on the same interpreter once more. Pipelines are whole in the images
 * of newer interpreters.
 */
const IN_IMAGES = [
  'python/tests/test_conformance.py',
  'python/tests/test_deviations.py',
  'python/tests/test_launcher.py',
  'python/tests/test_operator.py',
  // A process for each model; files between them, on the image's disk.
  'python/tests/test_pipelines.py::test_the_process_that_dies_fails_its_own_predictions_and_is_started_again',
  'python/tests/test_pipelines.py::test_files_go_from_step_to_step_on_disk_and_are_gone_at_the_end',
  'python/tests/test_pipelines.py::test_sigterm_lets_a_pipeline_go_on_through_its_steps',
  'python/tests/test_queue.py::test_a_job_runs_and_leaves_the_stream',
  'python/tests/test_queue.py::test_a_killed_worker_s_job_starts_again_on_an_idle_queue',
  'python/tests/test_queue.py::test_a_poison_job_is_a_dead_letter_and_the_queue_goes_on',
  'python/tests/test_queue.py::test_running_and_waiting_jobs_are_canceled',
  'python/tests/test_queue.py::test_sigterm_finishes_the_running_job_and_takes_no_other',
  'python/tests/test_queue.py::test_sigterm_beyond_the_grace_gives_the_job_back_at_once',
  'python/tests/test_queue.py::test_a_worker_without_http_opens_no_port',
  'python/tests/test_queue_models.py::test_jobs_of_a_pipeline_and_of_its_model_run_at_once',
  // TLS is the image's OpenSSL; the certificates and the socket are another user's files.
  'python/tests/test_queue_servers.py::test_tls_with_a_private_ca_and_a_user',
  'python/tests/test_queue_servers.py::test_tls_with_a_client_certificate',
  'python/tests/test_queue_servers.py::test_a_unix_socket',
  'python/tests/test_tracing.py::test_the_spans_of_a_request_are_named_as_cog_s_and_belong_together',
  'python/tests/test_tracing.py::test_webhooks_and_uploads_carry_spans_of_their_own',
  'python/tests/test_clients.py::test_the_served_document_is_the_built_one_and_valid',
  'python/tests/test_clients.py::test_replicate_s_client',
  'python/tests/test_clients.py::test_triton_s_client_with_binary_tensors',
  'python/tests/test_clients.py::test_boto3_invokes_the_endpoint',
  'python/tests/test_clients.py::test_standardwebhooks_verifies_the_signature',
  // The launcher's own packages lie where the image has them.
  'python/tests/test_clients.py::test_a_project_that_pins_other_versions_is_untouched',
]

test("the runtime passes inside an image, as any uid, and Cog's beside it", { timeout: 3_600_000 }, (context) =>
  expectPassInImages(context, IN_IMAGES, async (folder) => ({
    LAYERWRIGHT_TEST_IMAGE: await makeRuntimeBundle(path.join(folder, 'runtime'), {
      build: ['python_version: "3.11"'],
      isCompiled: true,
    }),
    LAYERWRIGHT_TEST_COG_IMAGE: await makeRuntimeBundle(path.join(folder, 'coglet'), {
      build: ['python_version: "3.11"', 'sdk_version: "0.23.1"'],
      runtime: 'coglet',
      isCompiled: true,
    }),
  })),
)
