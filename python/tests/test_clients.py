"""Other people's clients and checkers as judges: schemathesis, OpenAPI validators, Replicate, Triton, boto3."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from support import IMAGE, INTEGER, LIMIT, NUMBER, TEXT, Receiver, document, until
from test_conformance import HELLO, HELLO_INPUTS, STREAMING, STREAMING_INPUTS, STREAMING_OUTPUT

pytestmark = pytest.mark.interop


def need(name: str) -> Any:
    """Import a package, or skip by its name; fail where the suite is required."""
    if os.environ.get("LAYERWRIGHT_INTEROP") == "required":
        return __import__(name, fromlist=["_"])
    return pytest.importorskip(name)


EVERYTHING = """
    from typing import Optional
    from cog import BasePredictor, Input, Secret

    class Predictor(BasePredictor):
        def predict(
            self,
            prompt: str = Input(min_length=1, max_length=20, regex="^[a-z ]+$"),
            steps: int = Input(default=10, ge=1, le=50),
            guidance: float = Input(default=7.5, ge=0.5, le=20.0),
            style: str = Input(choices=["plain", "bold"], default="plain"),
            seed: Optional[int] = Input(default=None),
            flag: bool = False,
            items: list[str] = Input(default=[]),
            token: Secret = Input(default=None),
        ) -> str:
            return f"{prompt} {steps} {guidance} {style} {seed} {flag} {items}"
"""


def built_document(source: str, folder: pathlib.Path) -> dict[str, Any]:
    """The document that the build makes of a model."""
    root = pathlib.Path(__file__).resolve().parents[2]
    program = root / "bin" / "layerwright.mjs"
    if not (root / "dist" / "src" / "cli" / "main.js").exists():
        if os.environ.get("LAYERWRIGHT_INTEROP") == "required":
            pytest.fail("the program is not built")
        pytest.skip("the program is not built")
    folder.mkdir()
    (folder / "predict.py").write_text(textwrap.dedent(source))
    (folder / "cog.yaml").write_text('build:\n  python_version: "3.12"\npredict: predict.py:Predictor\n')
    done = subprocess.run(["node", str(program), "schema", "--openapi", str(folder)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def schemathesis(description: str, url: str, folder: pathlib.Path, *options: str) -> str:
    """Run every check; fixed seed."""
    need("schemathesis")
    # By this interpreter: the script's own first line names the folder that the environment was made in.
    command = [sys.executable, str(pathlib.Path(sys.executable).with_name("schemathesis")), "run", description, "--url", url]
    command += ["--checks", "all", "--seed", "1", "--max-examples", os.environ.get("LAYERWRIGHT_SCHEMATHESIS_N", "100")]
    command += ["--no-color", "--phases", "examples,coverage,fuzzing", "--request-timeout", str(LIMIT), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=2000)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def test_schemathesis_finds_nothing_in_our_own_document(make_project: Any, start: Any, tmp_path: Any) -> None:
    server = start(make_project(EVERYTHING, built_document(EVERYTHING, tmp_path / "model"))).wait()
    # /shutdown does what it says.
    schemathesis(f"{server.url}/openapi.json", server.url, tmp_path, "--exclude-path", "/shutdown")
    assert server.process.poll() is None


def open_inference_protocol(model: str) -> dict[str, Any]:
    """The REST part of the Open Inference Protocol as OpenAPI, its paths bound to one model."""

    def thing(required: list[str], **properties: Any) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": required}

    sizes = {"type": "array", "items": INTEGER}
    data = {"type": "array", "items": {"anyOf": [{"type": "array", "items": {}}, NUMBER, TEXT, {"type": "boolean"}]}}
    error = thing(["error"], error=TEXT)
    facts = thing(["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape=sizes)
    tensor = thing(["name", "shape", "datatype", "data"], name=TEXT, shape=sizes, datatype=TEXT, parameters={"type": "object"}, data=data)
    wanted = thing(["name"], name=TEXT, parameters={"type": "object"})
    request = thing(["inputs"], id=TEXT, parameters={"type": "object"}, inputs={"type": "array", "items": tensor}, outputs={"type": "array", "items": wanted})
    answer = thing(["model_name", "outputs"], model_name=TEXT, model_version=TEXT, id=TEXT, outputs={"type": "array", "items": tensor})
    server = thing(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions={"type": "array", "items": TEXT})
    metadata = thing(["name", "platform"], name=TEXT, versions={"type": "array", "items": TEXT}, platform=TEXT, inputs={"type": "array", "items": facts}, outputs={"type": "array", "items": facts})

    def answers(schema: dict[str, Any], *failures: str) -> dict[str, Any]:
        known = {"200": schema, **{status: error for status in failures}}
        return {status: {"description": "-", "content": {"application/json": {"schema": one}}} for status, one in known.items()}

    base = f"/v2/models/{model}/versions/1"
    gets = {"/v2/health/live": {}, "/v2/health/ready": {}, "/v2": server, base: metadata, f"{base}/ready": thing(["ready"], ready={"type": "boolean"})}
    paths: dict[str, Any] = {path: {"get": {"responses": answers(schema)}} for path, schema in gets.items()}
    body = {"required": True, "content": {"application/json": {"schema": request}}}
    paths[f"{base}/infer"] = {"post": {"requestBody": body, "responses": answers(answer, "400")}}
    return {"openapi": "3.0.0", "info": {"title": "Open Inference Protocol", "version": "2.0"}, "paths": paths}


def test_schemathesis_finds_nothing_in_the_open_inference_protocol(make_project: Any, start: Any, tmp_path: Any) -> None:
    server = start(make_project(HELLO, document(HELLO_INPUTS))).wait()
    # The protocol's own document does not know the model's tensors; the server's does.
    ours, protocol = server.get("/v2/openapi.json").json(), open_inference_protocol("model")
    infer = protocol["paths"]["/v2/models/model/versions/1/infer"]["post"]
    request = infer["requestBody"]["content"]["application/json"]["schema"]
    infer["requestBody"]["content"]["application/json"]["schema"] = {
        "allOf": [request, {"$ref": "#/components/schemas/inference_request"}]
    }
    infer["responses"]["200"]["content"]["application/octet-stream"] = {}  # an extension of the protocol
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({**protocol, "openapi": ours["openapi"], "components": ours["components"]}))
    schemathesis(str(path), server.url, tmp_path)
    assert server.process.poll() is None


TENSORS = """
    from typing import Any, Optional, Union
    from cog import BasePredictor, Input, Path, Secret

    class Predictor(BasePredictor):
        def predict(
            self,
            prompt: str = Input(min_length=1, max_length=20, regex="^[a-z ]+$"),
            values: list[float] = Input(default=[0.5]),
            steps: int = Input(default=10, ge=1, le=50),
            style: str = Input(choices=["plain", "bold"], default="plain"),
            seed: Optional[int] = Input(default=None),
            flag: bool = False,
            words: list[str] = Input(default=[]),
            image: Path = Input(default=None),
            extra: dict = Input(default={}),
            either: Union[int, str] = Input(default=1),
            token: Secret = Input(default=None),
        ) -> list[int]:
            return [steps] * len(values)
"""


def test_schemathesis_finds_nothing_in_the_protocol_s_document_of_the_model(make_project: Any, start: Any, tmp_path: Any) -> None:
    server = start(make_project(TENSORS, built_document(TENSORS, tmp_path / "model"))).wait()
    need("openapi_spec_validator").validate(server.get("/v2/openapi.json").json())
    schemathesis(f"{server.url}/v2/openapi.json", server.url, tmp_path)
    assert server.process.poll() is None
    accepted = re.search(r'predictions_total\{status="succeeded"\} (\d+)', server.get("/metrics").body.decode())
    assert accepted is not None and int(accepted[1]) > 50  # it was no test of refusals alone


def test_the_served_document_is_the_built_one_and_valid(make_project: Any, start: Any, tmp_path: Any) -> None:
    validate = need("openapi_spec_validator").validate
    built = built_document(EVERYTHING, tmp_path / "model")
    served = start(make_project(EVERYTHING, built)).wait().get("/openapi.json").json()
    validate(served)
    assert served == built


def projects() -> list[pathlib.Path]:
    """Every example and fixture that describes a model."""
    root = pathlib.Path(__file__).resolve().parents[2]
    found = [path.parent for folder in ("examples", "fixtures/projects") for path in sorted((root / folder).glob("*/cog.yaml"))]
    assert len(found) > 40
    return found


@pytest.mark.skipif(IMAGE is not None, reason="what is served does not depend on where; it takes a minute")
def test_every_example_and_fixture_serves_the_document_that_its_build_wrote(make_project: Any, start: Any) -> None:
    validate = need("openapi_spec_validator").validate
    program = pathlib.Path(__file__).resolve().parents[2] / "bin" / "layerwright.mjs"
    served = []
    for number, folder in enumerate(projects()):
        done = subprocess.run(["node", str(program), "schema", "--openapi", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            continue  # the fixtures of errors; their goldens are tested by the builder
        built = json.loads(done.stdout)
        validate(built)
        # The document is served whether or not the model's own packages are here.
        server = start(make_project("raise SystemExit('not here')", built, f"project{number}"))
        assert server.wait("SETUP_FAILED").get("/openapi.json").json() == built, folder.name
        server.kill()
        served.append(folder.name)
    assert len(served) > 25 and {"hello", "blur", "tabular", "gpu-torch"} <= set(served)


def test_replicate_s_client(make_project: Any, start: Any) -> None:
    replicate = need("replicate")
    source = STREAMING
    server = start(make_project(source, document(STREAMING_INPUTS, STREAMING_OUTPUT, streaming=True))).wait()
    client = replicate.Client(api_token="none", base_url=server.url)
    model = client.models.get("me/model")
    version = model.latest_version
    assert version.openapi_schema["paths"]
    prediction = client.predictions.create(version=version.id, input={"text": "a b"})
    prediction.wait()
    assert prediction.status == "succeeded" and prediction.output == ["a ", "b "] and "saw a" in prediction.logs
    assert list(client.run(f"me/model:{version.id}", input={"text": "x y"})) == ["x ", "y "]
    slow = client.predictions.create(version=version.id, input={"text": "a b c d", "delay": 5})
    slow.cancel()
    until(lambda: (slow.reload(), slow.status == "canceled")[1])
    streamed = client.predictions.create(version=version.id, input={"text": "p q"}, stream=True)
    assert "".join(str(event) for event in streamed.stream()) == "p q "
    assert prediction.id in [one.id for one in client.predictions.list().results]


def test_triton_s_client_with_binary_tensors(make_project: Any, start: Any) -> None:
    http_client = need("tritonclient.http")
    import numpy

    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, values: list[float], name: str = "n", scale: int = 2) -> list[float]:
                return [value * scale for value in values]
    """
    inputs = {"values": {"type": "array", "items": NUMBER}, "name": {**TEXT, "default": "n"}, "scale": {**INTEGER, "default": 2}}
    server = start(make_project(source, document(inputs, {"type": "array", "items": NUMBER}))).wait()
    client = http_client.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("model")
    assert client.get_model_metadata("model")["inputs"][0]["name"] == "values"
    assert client.get_server_metadata()["name"] == "layerwright"
    array = numpy.array([1.5, 2.5, -3.0])
    for binary in (True, False):
        tensor = http_client.InferInput("values", [3], "FP64")
        tensor.set_data_from_numpy(array, binary_data=binary)
        name = http_client.InferInput("name", [1], "BYTES")
        name.set_data_from_numpy(numpy.array(["ü"], dtype=object), binary_data=binary)
        wanted = http_client.InferRequestedOutput("output", binary_data=binary)
        result = client.infer("model", [tensor, name], outputs=[wanted], request_id="r1")
        assert result.as_numpy("output").tolist() == [3.0, 5.0, -6.0]
        assert result.get_response()["id"] == "r1"
    half = http_client.InferInput("values", [2], "FP16")
    half.set_data_from_numpy(numpy.array([0.5, 1], dtype=numpy.float16))
    assert client.infer("model", [half]).as_numpy("output").tolist() == [1.0, 2.0]
    with pytest.raises(need("tritonclient.utils").InferenceServerException, match="no model"):
        client.infer("other", [half])


def test_boto3_invokes_the_endpoint(make_project: Any, start: Any) -> None:
    boto3 = need("boto3")
    server = start(make_project(HELLO, document(HELLO_INPUTS))).wait()

    class Shim(http.server.BaseHTTPRequestHandler):
        """What SageMaker does between its caller and the container."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept = {key: value for key, value in self.headers.items() if key.lower().startswith(("content-type", "accept", "x-amzn-sagemaker"))}
            answer = server.request("POST", "/invocations", body, kept)
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                if key.startswith(("content-type", "x-amzn")):
                    self.send_header(key, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    shim = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shim)
    threading.Thread(target=shim.serve_forever, daemon=True).start()
    client = boto3.client(
        "sagemaker-runtime", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{shim.server_port}",
        aws_access_key_id="none", aws_secret_access_key="none",
    )  # fmt: skip
    answer = client.invoke_endpoint(
        EndpointName="e", Body=json.dumps({"name": "bo"}), ContentType="application/json", CustomAttributes="a=1"
    )
    assert json.loads(answer["Body"].read())["output"] == "hello bo" and answer["CustomAttributes"] == "a=1"
    shim.shutdown()


def test_standardwebhooks_verifies_the_signature(make_project: Any, start: Any) -> None:
    webhooks = need("standardwebhooks.webhooks")
    secret, hook = "whsec_" + base64.b64encode(b"0123456789abcdef").decode(), Receiver()
    server = start(make_project(HELLO, document(HELLO_INPUTS)), LAYERWRIGHT_WEBHOOK_SECRET=secret).wait()
    server.request("POST", "/predictions", {"input": {"name": "a"}, "webhook": hook.url, "webhook_events_filter": ["completed"]})
    until(lambda: hook.bodies)
    verified = webhooks.Webhook(secret).verify(hook.raw[0], hook.headers[0])
    assert verified["status"] == "succeeded"
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(secret).verify(hook.raw[0].replace(b"hello", b"jello"), hook.headers[0])
    hook.server.shutdown()


CLASHING = """
    import pydantic, redis, uvicorn
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, n: int = 1) -> list[str]:
            import sys
            assert not any("launcher" == name for name in sys.modules)
            return [pydantic.VERSION, redis.__version__, uvicorn.__version__]
"""


def test_a_project_that_pins_other_versions_is_untouched(make_project: Any, start: Any, tmp_path: Any) -> None:
    site = tmp_path / "user"
    # redis 3 needs distutils, which CPython 3.12 no longer has.
    redis = "3.5.3" if sys.version_info < (3, 12) else "4.1.4"
    pins = ["pydantic==1.10.24", f"redis=={redis}", "uvicorn==0.13.4"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site), *pins]
    subprocess.run(command, check=True, timeout=300)
    project = make_project(CLASHING, document({"n": {**INTEGER, "default": 1}}, {"type": "array", "items": TEXT}))
    server = start(project, PYTHONPATH=str(site)).wait()
    assert server.predict().json()["output"] == ["1.10.24", redis, "0.13.4"]
