"""What the launcher does beyond Cog."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
from typing import Any

import pytest
from support import FILE, IMAGE, IMAGE_UID, INTEGER, LAUNCHER_PYTHON, LIMIT, MODEL_PYTHON, NUMBER, ROOT, SITE, TEXT, Receiver, Server, document, free_port, has_ended, until
from test_conformance import HELD, HELD_INPUTS, HELLO, HELLO_INPUTS, STREAMING, STREAMING_INPUTS, STREAMING_OUTPUT, data_url


@pytest.fixture
def hello(make_project: Any, start: Any) -> Any:
    def run(*arguments: str, **env: str) -> Server:
        return start(make_project(HELLO, document(HELLO_INPUTS)), "launcher", arguments, **env).wait()

    return run


@pytest.fixture
def held(make_project: Any, start: Any) -> Any:
    def run(**env: str) -> Server:
        return start(make_project(HELD, document(HELD_INPUTS)), **env).wait()

    return run


def in_threads(count: int, work: Any) -> list[Any]:
    results: list[Any] = [None] * count

    def one(index: int) -> None:
        results[index] = work(index)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_sigterm_takes_nothing_new_while_the_running_prediction_ends(held: Any) -> None:
    server = held()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.predict()))
    thread.start()
    server.hear("one-began")
    server.process.terminate()
    until(lambda: server.get("/readyz").status == 503)
    assert server.get("/readyz").json() == {"status": "DRAINING"}
    refused = server.predict(name="two")
    assert refused.status == 503 and "shutting down" in refused.json()["detail"]
    assert server.get("/livez").status == 200
    assert server.get("/v2/health/ready").status != 200 and server.get("/ping").status != 200
    server.tell("one-may-end")
    thread.join()
    assert answers[0].status == 200
    assert server.process.wait(LIMIT) == 0


def test_a_sequential_client_is_never_refused(hello: Any) -> None:
    server = hello()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    statuses = []
    for _ in range(1000):
        connection.request("POST", "/predictions", '{"input": {"name": "a"}}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    assert statuses == [200] * 1000


def test_the_queue_at_the_door_is_in_order_and_bounded(held: Any) -> None:
    server = held(LAYERWRIGHT_MAX_QUEUE="3")
    accepted = [server.request("POST", "/predictions", {"id": f"n{n}", "input": {}}, {"Prefer": "respond-async"}).status for n in range(4)]
    refused = server.predict()
    assert accepted == [202] * 4
    assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
    server.tell("one-may-end")
    times = [server.wait_for(f"n{n}")["completed_at"] for n in range(4)]
    assert times == sorted(times)
    assert server.predict().status == 200


def test_many_clients_at_once_all_get_answers(hello: Any) -> None:
    server = hello()
    answers = in_threads(24, lambda n: server.predict(name=str(n)).json()["output"])
    assert answers == [f"hello {n}" for n in range(24)]


def exchange(server: Server, data: bytes, answers: int) -> list[tuple[bytes, bytes]]:
    """Send bytes over one connection; the heads and bodies of the answers, until there are as many or the end."""
    found: list[tuple[bytes, bytes]] = []
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as sock:
        sock.sendall(data)
        reader = sock.makefile("rb")
        while len(found) < answers:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = reader.readline()
                if not line:
                    return found
                head += line
            if b"100 Continue" in head:
                continue
            length = re.search(rb"content-length: (\d+)", head)
            found.append((head, reader.read(int(length[1]) if length else 0)))
        if answers == 1 and b"connection: close" in found[0][0]:
            assert reader.read() == b""
    return found


def plain_request(body: bytes, *headers: str, version: str = "1.1", path: str = "/predictions") -> bytes:
    """A POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/{version}", "Host: a", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


GOOD, BAD = b'{"input": {"name": "a"}}', b'{"input": {"name": 5}}'


@pytest.mark.parametrize("is_short", [True, False])
def test_both_ways_of_a_prediction_answer_alike(hello: Any, is_short: bool) -> None:
    # The access log is one of the things that the short way does not do.
    server = hello(LAYERWRIGHT_ACCESS_LOG="0" if is_short else "1")
    chunked = plain_request(b"18\r\n" + GOOD + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
    chunked = re.sub(rb"Content-Length: \d+\r\n", b"", chunked)
    cases = {
        "good": plain_request(GOOD),
        "bad": plain_request(BAD),
        "syntax": plain_request(b"{"),
        "empty": plain_request(b""),
        "close": plain_request(GOOD, "Connection: close"),
        "old": plain_request(GOOD, version="1.0"),
        "expect": plain_request(GOOD, "Expect: 100-continue"),
        "large": plain_request(b'{"input": {"name": "' + b"a" * 100_000 + b'"}}'),
        "chunked": chunked,
        "kind": plain_request(GOOD).replace(b"application/json", b"text/plain"),
        "charset": plain_request(GOOD).replace(b"application/json", b"Application/JSON; charset=utf-8"),
        "query": plain_request(GOOD, path="/predictions?a=b"),
    }
    seen = {}
    for name, data in cases.items():
        ((head, body),) = exchange(server, data, 1)
        answer = json.loads(body)
        status, *lines = head.decode().split("\r\n")
        names = sorted(line.partition(":")[0] for line in lines if line)
        seen[name] = status, names, sorted(answer), str(answer.get("output"))[:20], answer.get("detail")
    kept = ["content-length", "content-type", "date"]
    keys = ["completed_at", "created_at", "id", "logs", "metrics", "output", "started_at", "status"]
    good = ("HTTP/1.1 200 OK", kept, keys, "hello a", None)
    ended = ("HTTP/1.1 200 OK", ["connection", *kept], keys, "hello a", None)
    assert {name: seen[name] for name in ("good", "expect", "chunked", "charset", "query")} == dict.fromkeys(
        ("good", "expect", "chunked", "charset", "query"), good
    )
    assert seen["close"] == seen["old"] == ended
    assert seen["large"][:3] == good[:3]
    assert [seen[name][0].split()[1] for name in ("bad", "syntax", "empty", "kind")] == ["422", "400", "400", "415"]
    assert seen["bad"][1] == kept and seen["bad"][4][0]["loc"] == ["body", "input", "name"]


def test_pipelined_requests_are_answered_in_order(hello: Any) -> None:
    server = hello()
    requests = [plain_request(b'{"input": {"name": "%d"}}' % n, *(["Prefer: wait=20"] if n % 3 == 2 else [])) for n in range(9)]
    mixed = b"".join(requests[:4]) + b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" + b"".join(requests[4:])
    bodies = [json.loads(body) for _, body in exchange(server, mixed, 10)]
    assert [body.get("output", body["status"]) for body in bodies] == [
        *(f"hello {n}" for n in range(4)), "live", *(f"hello {n}" for n in range(4, 9))
    ]


@pytest.mark.parametrize(("prefer", "status"), [("wait=60", 200), ("wait=0.2", 202), ("respond-async, wait=60", 200)])
def test_prefer_wait(held: Any, prefer: str, status: int) -> None:
    server = held()
    if status == 200:
        server.tell("one-may-end")
    answer = server.predict({"Prefer": prefer})
    server.tell("one-may-end")
    assert answer.status == status and answer.json()["status"] == ("succeeded" if status == 200 else "processing")


def test_predictions_can_be_read_back(held: Any) -> None:
    server = held()
    server.request("POST", "/predictions", {"id": "a", "input": {"name": "b"}}, {"Prefer": "respond-async"})
    early = server.get("/predictions/a").json()
    assert early["status"] == "processing" and early["input"] == {"name": "b"}
    server.tell("b-may-end")
    final = server.wait_for("a")
    assert final["created_at"] <= final["started_at"] <= final["completed_at"]
    assert [one["id"] for one in server.get("/predictions").json()["results"]] == ["a"]
    assert server.request("PUT", "/predictions/a", {"input": {}}).json()["completed_at"] == final["completed_at"]
    assert server.get("/predictions/nobody").status == 404


CRASHING = """
    import os, signal, sys, time
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, how: str = "") -> str:
            print("about to", how, file=sys.stderr)
            if how == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            if how == "exit":
                os.write(2, b"last words\\n")
                os._exit(3)
            if how == "fork":
                if os.fork() == 0:
                    return "child"
            if how == "c":
                os.write(1, b"from c\\n")
                os.system("echo from a shell")
            return "fine " + str(os.getpid())
"""
CRASHING_INPUTS = {"how": {**TEXT, "default": ""}}


def test_a_model_that_dies_is_restarted_and_its_prediction_says_how(make_project: Any, start: Any) -> None:
    server = start(make_project(CRASHING, document(CRASHING_INPUTS))).wait()
    before = server.predict().json()["output"]
    for how, words in (("segfault", "SIGSEGV"), ("exit", "status 3")):
        answer = server.predict(how=how).json()
        assert answer["status"] == "failed" and words in answer["error"] and f"about to {how}" in answer["error"]
    assert "last words" in answer["error"] and "last words" in answer["logs"]
    after = server.predict().json()
    assert after["status"] == "succeeded" and after["output"] != before
    assert server.get("/health-check").json()["queue"]["restarts"] == 2


def test_a_forking_predictor_answers_once(make_project: Any, start: Any) -> None:
    server = start(make_project(CRASHING, document(CRASHING_INPUTS))).wait()
    assert server.predict(how="fork").json()["output"].startswith("fine")
    assert server.predict().json()["status"] == "succeeded"


def test_what_c_code_and_children_write_is_in_the_logs(make_project: Any, start: Any) -> None:
    server = start(make_project(CRASHING, document(CRASHING_INPUTS))).wait()
    logs = server.predict(how="c").json()["logs"]
    assert "from c\n" in logs and "from a shell\n" in logs


GIL = """
    import ctypes, pathlib
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, seconds: int = 600) -> str:
            pathlib.Path("began").touch()
            ctypes.PyDLL(None).sleep(seconds)
            return "awake"
"""
GIL_INPUTS = {"seconds": {**INTEGER, "default": 600}}


def test_a_model_that_holds_the_gil_stops_nobody_and_is_replaced(make_project: Any, start: Any) -> None:
    server = start(make_project(GIL, document(GIL_INPUTS)), LAYERWRIGHT_CANCEL_GRACE_SECONDS="1").wait()
    server.request("POST", "/predictions", {"id": "g", "input": {}}, {"Prefer": "respond-async"})
    server.hear("began")
    for path in ("/ping", "/health-check", "/livez", "/readyz", "/metrics", "/predictions/g"):
        assert server.get(path).status == 200
    assert server.get("/predictions/g").json()["status"] == "processing"
    assert server.request("POST", "/predictions/g/cancel").status == 200
    assert server.wait_for("g")["status"] == "canceled"
    # Only a model process that took its place can answer.
    assert server.predict(seconds=0).json()["output"] == "awake"


def test_a_client_that_hangs_up_cancels(held: Any) -> None:
    server = held()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/predictions", '{"id": "gone", "input": {}}', {"Content-Type": "application/json"})
    server.hear("one-began")
    connection.close()
    assert server.wait_for("gone")["status"] == "canceled"


@pytest.mark.parametrize("value", ["/etc/passwd", "file:///etc/passwd", "ftp://example.com/a", "predict.py", ""])
def test_a_file_is_never_a_path_of_the_server(make_project: Any, start: Any, value: str) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, image: Path) -> str:
                return image.read_text()
    """
    server = start(make_project(source, document({"image": FILE}))).wait()
    answer = server.predict(image=value)
    assert answer.status == 422 and answer.json()["detail"][0]["loc"] == ["body", "input", "image"]
    assert server.predict(image=data_url("ok")).json()["output"] == "ok"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/health-check", "http://localhost:{port}/", "http://[::1]:{port}/", "http://169.254.169.254/latest", "http://0.0.0.0:{port}/", "http://[::ffff:127.0.0.1]:{port}/"])
def test_urls_of_private_networks_are_not_fetched(make_project: Any, start: Any, url: str) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, image: Path) -> str:
                return image.read_text()
    """
    server = start(make_project(source, document({"image": FILE})), LAYERWRIGHT_ALLOW_PRIVATE_URLS="0").wait()
    answer = server.predict(image=url.format(port=server.port)).json()
    assert answer["status"] == "failed" and "not public" in answer["error"], answer


def test_inputs_are_limited_in_size(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, image: Path) -> str:
                return image.read_text()
    """
    server = start(make_project(source, document({"image": FILE})), LAYERWRIGHT_INPUT_MAX_BYTES="10", LAYERWRIGHT_BODY_MAX_BYTES="1000").wait()
    assert "larger than 10" in server.predict(image=data_url("x" * 11)).json()["error"]
    assert server.predict(image=data_url("x" * 2000)).status == 413


OPTIONAL = """
    from typing import Any, Optional, Union
    from cog import BasePredictor, Input

    class Predictor(BasePredictor):
        def predict(self, a: Optional[int] = Input(default=None), b: Any = None, c: Union[int, str] = 1) -> dict:
            return {"a": [a, type(a).__name__], "b": [b, type(b).__name__], "c": [c, type(c).__name__]}
"""


def test_null_any_and_unions(make_project: Any, start: Any) -> None:
    inputs = {
        "a": {**INTEGER, "nullable": True, "default": None},
        "b": {"nullable": True},
        "c": {"anyOf": [INTEGER, TEXT], "default": 1},
    }
    server = start(make_project(OPTIONAL, document(inputs, {"type": "object"}))).wait()
    out = server.predict(a=None, b=3, c="x").json()["output"]
    assert out == {"a": [None, "NoneType"], "b": [3, "int"], "c": ["x", "str"]}
    assert server.predict(a=2.0).json()["output"]["a"] == [2, "int"]
    wrong = server.predict(c=[1])
    assert wrong.status == 422 and wrong.json()["detail"][0]["loc"] == ["body", "input", "c"]


def test_secrets_are_not_shown_again(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor, Secret

        class Predictor(BasePredictor):
            def predict(self, token: Secret) -> str:
                return str(len(token.get_secret_value()))
    """
    inputs = {"token": {**TEXT, "format": "password", "writeOnly": True, "x-cog-secret": True}}
    server = start(make_project(source, document(inputs))).wait()
    answer = server.request("PUT", "/predictions/s", {"input": {"token": "hunter2"}})
    assert answer.json()["output"] == "7"
    assert b"hunter2" not in server.get("/predictions/s").body and "hunter2" not in server.log


BATCH = """
    import pathlib, time
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, texts: list[str]) -> list[str]:
            while texts == ["first"] and not pathlib.Path("may-end").exists():
                time.sleep(0.01)
            return [f"{text} of {len(texts)}" for text in texts]
"""


def test_batching_gathers_what_comes_together(make_project: Any, start: Any) -> None:
    inputs = {"texts": {"type": "array", "items": TEXT}}
    project = make_project(BATCH, document(inputs, {"type": "array", "items": TEXT}))
    server = start(project, LAYERWRIGHT_BATCH_SIZE="8", LAYERWRIGHT_BATCH_WAIT_MS="50").wait()
    assert server.predict(texts="alone").json()["output"] == "alone of 1"

    def ask(number: int) -> str:
        if number < 16:
            return str(server.predict(texts=f"t{number}").json()["output"])
        until(lambda: server.get("/health-check").json()["queue"]["waiting"] == 16)
        server.tell("may-end")
        return ""

    first = threading.Thread(target=lambda: server.predict(texts="first"))
    first.start()
    until(lambda: server.get("/health-check").json()["queue"]["running"] == 1)
    answers = in_threads(17, ask)[:16]
    first.join()
    assert answers == [f"t{n} of 8" for n in range(16)]


def test_training_has_a_process_of_its_own(make_project: Any, start: Any) -> None:
    train = """
        import os
        from cog import BaseModel, Input, Path

        class TrainingOutput(BaseModel):
            weights: Path

        def train(data: Path, epochs: int = Input(default=3)) -> TrainingOutput:
            target = Path(data).parent / "weights.bin"
            target.write_bytes(data.read_bytes() * epochs)
            return TrainingOutput(weights=target)
    """
    text = document(HELLO_INPUTS, training={"data": FILE, "epochs": {**INTEGER, "default": 3, "maximum": 10}})
    project = make_project(HELLO, text, train__py=train)
    server = start(project, COG_TRAIN_TYPE_STUB="train.py:train").wait()
    answer = server.request("POST", "/trainings", {"input": {"data": data_url("w"), "epochs": 2}}).json()
    assert answer["status"] == "succeeded" and answer["output"]["weights"].endswith("d3c="), answer
    assert server.request("POST", "/trainings", {"input": {"epochs": 11}}).status == 422
    assert server.predict(name="still").json()["output"] == "hello still"


def test_a_server_for_training_alone_sets_up_one_process(make_project: Any, start: Any) -> None:
    train = """
        from cog import BaseModel

        print("loading")

        class TrainingOutput(BaseModel):
            rounds: int

        def train(rounds: int) -> TrainingOutput:
            return TrainingOutput(rounds=rounds)
    """
    broken = "raise SystemExit('the model is not to be loaded')"
    project = make_project(broken, document(HELLO_INPUTS, training={"rounds": {**INTEGER, "maximum": 10}}), train__py=train)
    server = start(project, "launcher", ("--x-mode", "train"), COG_TRAIN_TYPE_STUB="train.py:train", LOG_FORMAT="console").wait()
    for route in ("/trainings", "/predictions"):  # Cog's, too, trains on both
        assert server.request("POST", route, {"input": {"rounds": 2}}).json()["output"] == {"rounds": 2}
        assert server.request("POST", route, {"input": {"rounds": 11}}).status == 422
    assert "trainings_url" in server.get("/").json()
    assert server.get("/health-check").json()["setup"]["logs"] == "loading\n"
    server.kill()  # in an image its lines arrive a moment after its answers
    assert server.log.count("Model is ready") == 1


@pytest.mark.skipif(IMAGE is not None, reason="starts the launcher of the source tree")
def test_sagemaker_s_train_word(make_project: Any, tmp_path: pathlib.Path) -> None:
    train = """
        from cog import BaseModel, Path

        class TrainingOutput(BaseModel):
            weights: Path

        def train(data: Path, epochs: int) -> TrainingOutput:
            if epochs > 5:
                raise ValueError("too many epochs")
            target = Path("weights.bin")
            target.write_bytes(data.read_bytes() * epochs)
            return TrainingOutput(weights=target)
    """
    project = make_project(HELLO, document(HELLO_INPUTS, training={"data": FILE, "epochs": INTEGER}), train__py=train)
    ml = tmp_path / "ml"
    (ml / "input/config").mkdir(parents=True)
    (ml / "input/data/data").mkdir(parents=True)
    (ml / "input/data/data/one.bin").write_text("w")
    environment = {
        **os.environ, "LAYERWRIGHT_ML_ROOT": str(ml), "COG_TRAIN_TYPE_STUB": "train.py:train", "LAYERWRIGHT_SITE": SITE,
        "LAYERWRIGHT_PYTHON": MODEL_PYTHON,
    }  # fmt: skip
    command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py"), "train"]
    for epochs, status in (("3", 0), ("9", 1)):
        (ml / "input/config/hyperparameters.json").write_text(json.dumps({"epochs": epochs}))
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == status, done.stderr
    assert (ml / "model/weights.bin").read_text() == "www"
    assert "too many epochs" in (ml / "output/failure").read_text()


@pytest.mark.skipif(IMAGE is not None, reason="starts the launcher of the source tree")
def test_any_other_word_is_a_command() -> None:
    command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py")]
    environment = {**os.environ, "LAYERWRIGHT_SITE": SITE}
    done = subprocess.run([*command, "sh", "-c", "echo hi; exit 5"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "hi\n")
    assert subprocess.run([*command, "no-such-command"], env=environment, capture_output=True).returncode == 127


@pytest.mark.skipif(IMAGE is not None, reason="starts the launcher of the source tree")
def test_a_wrong_setting_is_named(make_project: Any) -> None:
    project = make_project(HELLO, document(HELLO_INPUTS))
    command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py")]
    for extra, word in (({"PORT": "x"}, "PORT"), ({"COG_PREDICT_TYPE_STUB": ""}, "COG_PREDICT_TYPE_STUB"), ({"LAYERWRIGHT_MAX_QUEUE": "many"}, "LAYERWRIGHT_MAX_QUEUE")):
        environment = {**os.environ, "LAYERWRIGHT_SITE": SITE, "COG_PREDICT_TYPE_STUB": "predict.py:Predictor", **extra}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 2 and word in done.stderr


def test_setup_that_cannot_start_says_so(make_project: Any, start: Any) -> None:
    for number, (source, words) in enumerate(
        [("import nothing_like_this", "nothing_like_this"), ("import os\nos._exit(9)", "status 9"), ("class Other: pass", "has no Predictor")]
    ):
        server = start(make_project(source, document(HELLO_INPUTS), f"p{number}")).wait("SETUP_FAILED")
        assert words in server.get("/health-check").json()["setup"]["logs"]
        assert server.get("/ping").status == 503 and server.get("/readyz").status == 503


def test_setup_timeout(make_project: Any, start: Any) -> None:
    source = """
        import time
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def setup(self):
                time.sleep(60)

            def predict(self) -> str:
                return ""
    """
    server = start(make_project(source, document({})), COG_SETUP_TIMEOUT="1").wait("SETUP_FAILED")
    assert "timed out after 1" in server.get("/health-check").json()["setup"]["logs"]


def test_sagemaker_routes(hello: Any) -> None:
    server = hello()
    assert server.get("/ping").status == 200
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
    for body in ({"name": "a"}, {"input": {"name": "a"}}):
        answer = server.request("POST", "/invocations", body, attributes)
        assert answer.json()["output"] == "hello a"
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert server.request("POST", "/invocations", b"bo", {"Content-Type": "text/plain"}).json()["output"] == "hello bo"
    assert server.request("POST", "/invocations", {"instances": [{"name": "a"}, "b"]}).json() == {"predictions": ["hello a", "hello b"]}
    assert server.request("POST", "/invocations", {"nope": 1}).status == 422


def test_the_port_of_the_platform_wins(make_project: Any, start: Any) -> None:
    project = make_project(HELLO, document(HELLO_INPUTS))
    port = free_port()
    server = start(project, "launcher", ("serve",), SAGEMAKER_BIND_TO_PORT=str(port), AIP_HTTP_PORT="1")
    server.port = port
    assert server.wait().get("/ping").status == 200


def test_vertex_routes(hello: Any) -> None:
    route = "/v1/endpoints/1/deployedModels/2:predict"
    server = hello(AIP_HEALTH_ROUTE=route, AIP_PREDICT_ROUTE=route)
    assert server.get(route).status == 200
    body = {"instances": [{"name": "a"}, {"name": "b"}], "parameters": {"times": 2}}
    assert server.request("POST", route, body).json() == {"predictions": ["hello aa", "hello bb"]}
    wrong = server.request("POST", route, {"instances": [{"name": "a"}, {"times": 1}]})
    assert wrong.status == 422 and wrong.json()["detail"][0]["loc"] == ["body", "instances", 1, "name"]


def test_open_inference_protocol(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor, Input

        class Predictor(BasePredictor):
            def predict(self, values: list[float], scale: int = 2) -> list[float]:
                return [value * scale for value in values]
    """
    inputs = {"values": {"type": "array", "items": NUMBER}, "scale": {**INTEGER, "default": 2}}
    server = start(make_project(source, document(inputs, {"type": "array", "items": NUMBER}))).wait()
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/model/ready"):
        assert server.get(path).status == 200
    metadata = server.get("/v2/models/model").json()
    assert metadata["inputs"][0] == {"name": "values", "datatype": "FP64", "shape": [-1]}
    tensor = {"name": "values", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    flag = {"name": "output", "parameters": {"binary_data": False}}
    for right in (tensor, {**tensor, "shape": [4, 1]}, {**tensor, "shape": [1, 4], "data": [[1, 2, 3, 4]]}, {**tensor, "datatype": "UINT8"}):
        answer = server.request("POST", "/v2/models/model/infer", {"id": "x", "inputs": [right], "outputs": [flag]}).json()
        output = {"name": "output", "shape": [4], "datatype": "FP64", "data": [2.0, 4.0, 6.0, 8.0]}
        assert answer["id"] == "x" and answer["outputs"] == [output]
    wrong = [
        {},
        {"inputs": []},
        {"inputs": [{**tensor, "shape": [3]}]},
        {"inputs": [{**tensor, "shape": [2, 2]}]},
        {"inputs": [{**tensor, "data": [[1, 2, 3, 4]]}]},
        {"inputs": [{**tensor, "shape": [2, 1], "data": [[1, 2], [3, 4]]}]},
        {"inputs": [{**tensor, "datatype": "FP128"}]},
        {"inputs": [{**tensor, "datatype": "BYTES"}]},
        {"inputs": [{**tensor, "name": "other"}]},
        {"inputs": [tensor, tensor]},
        {"inputs": [tensor, {"name": "scale", "shape": [2], "datatype": "INT64", "data": [1, 2]}]},
        {"inputs": [tensor, {"name": "scale", "shape": [1], "datatype": "FP32", "data": [1]}]},
        {"inputs": [{**tensor, "parameters": {"binary_data_size": 0}}]},
        {"inputs": [tensor], "outputs": [{"name": "none"}]},
        {"inputs": [tensor], "outputs": [{"name": "output", "parameters": {"binary_data": 1}}]},
        {"inputs": [tensor], "parameters": None},
        {"inputs": [tensor], "id": None},
    ]
    for body in wrong:
        answer = server.request("POST", "/v2/models/model/infer", body)
        assert answer.status == 400 and isinstance(answer.json()["error"], str), body
    assert server.request("POST", "/v2/models/other/infer", {"inputs": []}).status == 404
    assert server.request("POST", "/v1/models/model:predict", {"instances": [{"values": [1]}]}).json() == {"predictions": [[2.0]]}


def test_the_protocol_s_document_knows_the_model(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, image: Path, steps: int = 3) -> str:
                return f"{image.read_bytes().decode()} {image.suffix} {steps}"
    """
    inputs = {"image": FILE, "steps": {**INTEGER, "default": 3, "maximum": 9, "description": "How many"}}
    server = start(make_project(source, document(inputs)), LAYERWRIGHT_MODEL_NAME="a model").wait()
    served = server.get("/v2/openapi.json").json()
    assert "/v2/models/a%20model/infer" in served["paths"]
    schemas = served["components"]["schemas"]
    once = [(one["contains"]["properties"]["name"]["const"], one["minContains"], one["maxContains"]) for one in schemas["inference_request"]["properties"]["inputs"]["allOf"]]
    assert once == [("image", 1, 1), ("steps", 0, 1)]
    form = schemas["input_1"]["anyOf"][0]["properties"]
    assert (form["name"], form["shape"]["enum"]) == ({"const": "steps"}, [[1], [1, 1]]) and "INT32" in form["datatype"]["enum"]
    assert form["data"]["items"] == {"type": "integer", "maximum": 9} and schemas["input_1"]["description"] == "How many"

    def infer(data: str, **parameters: Any) -> Any:
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [data], "parameters": parameters}
        return server.request("POST", "/v2/models/a%20model/infer", {"inputs": [tensor]})

    answers = [infer("data"), infer("aGk=", content_type="base64"), infer("png", content_type="png"), infer("data:text/plain,ho")]
    assert [answer.json()["outputs"][0]["data"] for answer in answers] == [["data .bin 3"], ["hi .bin 3"], ["png .png 3"], ["ho .txt 3"]]
    assert [infer("no", content_type=kind).status for kind in ("base64", 7)] == [400, 400]


def test_metrics_are_prometheus_s(hello: Any) -> None:
    server = hello()
    server.predict(name="a")
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert 'layerwright_predictions_total{status="succeeded"} 1' in lines
    assert 'layerwright_prediction_seconds_bucket{le="+Inf"} 1' in lines
    assert any(re.fullmatch(r"process_resident_memory_bytes [1-9][0-9]+", line) for line in lines)


def test_every_answer_says_the_version_of_the_model(hello: Any) -> None:
    server = hello(LAYERWRIGHT_MODEL_VERSION="sha256:0123")
    answers = [
        server.get("/health-check"),
        server.predict(name="you"),
        server.predict({"prefer": "wait"}, name="you"),
        server.predict(),
        server.get("/nowhere"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 422, 404]
    assert {answer.headers["x-model-version"] for answer in answers} == {"sha256:0123"}
    assert ',model_version="sha256:0123"}' in server.get("/metrics").body.decode()


def test_no_version_is_said_where_none_is_told(hello: Any) -> None:
    answer = hello().get("/metrics")
    assert "x-model-version" not in answer.headers
    assert "model_version" not in answer.body.decode()


def test_metrics_keep_prometheus_s_conventions(hello: Any) -> None:
    """What ``promtool check metrics`` asks for, and that what is said of a metric stands before its samples, once.

    See Prometheus, "Metric and label naming" and "Text-based format".
    """
    name = 'a "model" \\ of two\nlines'
    server = hello(LAYERWRIGHT_MODEL_NAME=name)
    server.predict(name="a")
    text = server.get("/metrics").body.decode()
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    series: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, metric, words = line.split(" ", 3)
            assert metric not in helped and words.endswith(".")
            helped.add(metric)
        elif line.startswith("# TYPE "):
            _, _, metric, kind = line.split(" ")
            assert metric in helped and metric not in kinds
            kinds[metric] = kind
        else:
            sample = re.fullmatch(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)+\})? (\S+)', line)
            assert sample is not None, line
            metric = list(kinds)[-1]
            assert sample[1] in ([f"{metric}_bucket", f"{metric}_sum", f"{metric}_count"] if kinds[metric] == "histogram" else [metric])
            assert sample[1] + (sample[2] or "") not in series and float(sample[3]) >= 0
            series.add(sample[1] + (sample[2] or ""))
    for metric, kind in kinds.items():
        assert metric.endswith("_total") == (kind == "counter"), metric
        assert re.match("layerwright_|process_", metric)
        assert not re.search("milli|micro|kilo|_ms|_mb|minutes|hours|gauge|counter|histogram", metric)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert re.search(r'^layerwright_build_info\{version="\d[^"]*",cog_version="0[^"]*",model="(.*)"\} 1$', text, re.M)[1] == escaped


@pytest.mark.skipif(IMAGE is not None, reason="a container runtime may write to the same stream")
def test_logs_are_one_object_a_line_with_the_prediction(make_project: Any, start: Any) -> None:
    source = '''
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def setup(self):
                print("setting", "up")

            def predict(self, name: str) -> str:
                print("a line of\\nthe model's \u20ac")
                raise ValueError("broken")
    '''
    server = start(make_project(source, document({"name": TEXT}))).wait()
    server.request("PUT", "/predictions/logged", {"input": {"name": "a"}})
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert all({"timestamp", "severity", "logger", "message"} <= set(line) for line in lines)
    model = [line for line in lines if line["logger"] == "layerwright.model"]
    assert {"setting up", "a line of", "the model's \u20ac"} <= {line["message"] for line in model}
    assert all(line.get("prediction_id") == "logged" for line in model if "model" in line["message"])
    assert any("broken" in line["message"] + line.get("exception", "") for line in lines)


def test_signed_webhooks_and_trace_context(make_project: Any, start: Any) -> None:
    from launcher.webhooks import sign

    secret, hook = "whsec_" + "c2VjcmV0c2VjcmV0", Receiver()
    server = start(make_project(HELLO, document(HELLO_INPUTS)), LAYERWRIGHT_WEBHOOK_SECRET=secret, WEBHOOK_AUTH_TOKEN="tok").wait()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"input": {"name": "a"}, "webhook": hook.url, "webhook_events_filter": ["completed"]}
    server.request("POST", "/predictions", body, {"traceparent": trace})
    until(lambda: hook.bodies)
    headers = hook.headers[0]
    assert headers["webhook-signature"] == sign(secret, headers["webhook-id"], headers["webhook-timestamp"], hook.raw[0])
    assert headers["traceparent"] == trace and headers["authorization"] == "Bearer tok"
    hook.server.shutdown()


def test_webhooks_come_in_order_and_the_final_one_last(make_project: Any, start: Any) -> None:
    hook = Receiver()
    server = start(make_project(STREAMING, document(STREAMING_INPUTS, STREAMING_OUTPUT, streaming=True))).wait()
    words = [str(number) for number in range(40)]
    body = {"input": {"text": " ".join(words)}, "webhook": hook.url, "webhook_events_filter": ["start", "output", "completed"]}
    server.request("POST", "/predictions", body)
    until(lambda: any(one["status"] == "succeeded" for one in hook.bodies))
    lengths = [len(one.get("output") or []) for one in hook.bodies]
    assert lengths == [*range(41), 40] and hook.bodies[-1]["status"] == "succeeded"
    hook.server.shutdown()


def test_replicate_s_routes(make_project: Any, start: Any) -> None:
    server = start(make_project(STREAMING, document(STREAMING_INPUTS, STREAMING_OUTPUT, streaming=True))).wait()
    made = server.request("POST", "/v1/predictions", {"version": "x", "input": {"text": "a b"}}, {"Prefer": "wait"})
    body = made.json()
    assert made.status == 201 and body["status"] == "succeeded" and body["output"] == ["a ", "b "]
    assert server.get(f"/v1/predictions/{body['id']}").json()["urls"]["get"].endswith(body["id"])
    stream = server.get(f"/v1/predictions/{body['id']}/stream").body.decode()
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in stream.strip().split("\n\n")]
    assert [event["data"] for event in events if event["event"] == "output"] == ["a ", "b "]
    assert events[-1]["event"] == "done" and len({event["id"] for event in events}) == len(events)


def test_the_docs_page_is_self_contained(hello: Any) -> None:
    answer = hello().get("/docs")
    page = answer.body.decode()
    assert answer.status == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def _for_all(path: str) -> bool:
    parents = pathlib.Path(path).resolve().parents
    return all(parent.stat().st_mode & 0o001 for parent in parents)


@pytest.mark.skipif(IMAGE is not None, reason="every test is one of it inside an image")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.skipif(not _for_all(LAUNCHER_PYTHON), reason="the interpreter lies in a private folder")
def test_any_uid_without_home_writes_nothing_outside_tmp(make_project: Any, start: Any) -> None:
    source = """
        import os
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> list[int]:
                return [os.getuid(), "HOME" in os.environ]
    """
    project = make_project(source, document({}, {"type": "array", "items": INTEGER}))
    for parent in [project, *project.parents[:3]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    before = {str(path) for path in project.rglob("*")}
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_port()), "COG_PREDICT_TYPE_STUB": "predict.py:Predictor", "LAYERWRIGHT_SITE": SITE, "LAYERWRIGHT_PYTHON": MODEL_PYTHON}
    command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py"), "--host", "127.0.0.1"]
    with open(project.parent / "uid.log", "wb") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stderr=log, user=1000680000, group=0, extra_groups=[])
    try:
        server = object.__new__(Server)
        server.port, server.process, server.log_path, server.kind = int(environment["PORT"]), process, project.parent / "uid.log", "launcher"
        assert server.wait().predict().json()["output"] == [1000680000, False]
        assert {str(path) for path in project.rglob("*")} == before
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(IMAGE is None, reason="there is no image; see test/interop/runtime-image.test.ts")
def test_inside_an_image_everything_runs_as_any_uid_without_home_on_a_read_only_root(make_project: Any, start: Any) -> None:
    source = """
        import os, sys
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> list[str]:
                refused = []
                for folder in ("/", "/opt", "/var/tmp", "/root", os.path.dirname(sys.executable)):
                    try:
                        open(os.path.join(folder, "x"), "w").close()
                    except OSError as error:
                        refused.append(type(error).__name__)
                return [str(os.getuid()), str(os.environ.get("HOME")), str(os.getppid()), sys.executable, *refused]
    """
    server = start(make_project(source, document({}, {"type": "array", "items": TEXT}))).wait()
    uid, home, parent, executable, *refused = server.predict().json()["output"]
    assert (uid, parent) == (str(IMAGE_UID), "1") and home in ("None", "/") and executable.startswith("/opt/venv/")
    assert len(refused) == 5


def test_the_launcher_s_death_ends_the_model(hello: Any) -> None:
    server = hello()
    (child,) = server.children
    server.crash()
    until(lambda: has_ended(child))


def test_half_a_surrogate_pair_is_a_question_mark(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, fail: bool = False) -> str:
                print("printed \\ud800")
                if fail:
                    raise ValueError("raised \\ud800")
                return "returned \\ud800 \u00e9"
    """
    server = start(make_project(source, document({"fail": {"type": "boolean", "default": False}}))).wait()
    body = server.predict().json()
    assert (body["status"], body["output"], body["logs"]) == ("succeeded", "returned ? \u00e9", "printed ?\n")
    assert server.predict(fail=True).json()["error"] == "ValueError: raised ?"


@pytest.mark.parametrize("line", ["from .word import WORD", "from . import word\nWORD = word.WORD"])
def test_a_model_that_imports_its_neighbours_with_a_dot(make_project: Any, start: Any, line: str) -> None:
    project = make_project("", document({}))
    (project / "src").mkdir()
    (project / "src" / "word.py").write_text("WORD = 'beside'\n")
    source = f"""
import pathlib
with pathlib.Path("begun").open("a") as file:
    print(__name__, file=file)
{line}
class Predictor:
    def predict(self) -> str:
        return WORD
"""
    (project / "src" / "predict.py").write_text(source)
    server = start(project, STUB="src/predict.py:Predictor").wait()
    assert server.predict().json()["output"] == "beside"
    assert (project / "begun").read_text() == "src.predict\n"
