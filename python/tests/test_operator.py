"""What somebody reads at night: each failure says what happened, where, and what to try."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import Any

import pytest
from launcher.hints import hint_for
from support import FILE, IMAGE, LAUNCHER_PYTHON, LIMIT, ROOT, SITE, TEXT, document, until
from test_conformance import HELLO, HELLO_INPUTS, data_url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ModuleNotFoundError: No module named 'torch.nn'", "`torch.nn` to build.python_requirements"),
        ("FileNotFoundError: There is no file nope.py in /src", "COG_PREDICT_TYPE_STUB"),
        ("AttributeError: predict.py has no Predict", "COG_PREDICT_TYPE_STUB"),
        ("ImportError: libcuda.so.1: cannot open shared object file", "no GPU"),
        ("OSError: libgomp.so.1: cannot open shared object file: No such file or directory", "Add `libgomp1`"),
        ("ImportError: libzbar.so.0: cannot open shared object file: No such file or directory", "has `libzbar.so.0` to build.system"),
        ("ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory", "the wheel that has `libcudnn.so.9`"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'", "If `ffmpeg` is a program"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/src/model.bin'", None),
        ("RuntimeError: Found no NVIDIA driver on your system", "no GPU"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "more memory"),
        ("Model process was killed by SIGKILL during setup", "too little memory"),
        ("OSError: [Errno 28] No space left on device: '/tmp/x'", "TMPDIR"),
        ("OSError: [Errno 30] Read-only file system: '/src/x'", "/tmp alone"),
        ("Setup timed out after 5 seconds", "COG_SETUP_TIMEOUT"),
        ("socket.gaierror: [Errno -2] Name or service not known", "weights"),
        ("ValueError: seven", None),
    ],
)
def test_hint_for_known_reasons(text: str, words: str | None) -> None:
    hint = hint_for(text)
    assert (hint is None) == (words is None) and (words or "") in (hint or "")


def test_a_setup_that_fails_says_where_and_what_to_try(make_project: Any, start: Any) -> None:
    source = """
        import torchh
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, name: str) -> str:
                return name
    """
    server = start(make_project(source, document({"name": TEXT})), LOG_FORMAT="console").wait("SETUP_FAILED")
    words = ('predict.py", line 2', "No module named 'torchh'", "hint: Add the package that has `torchh`")
    told = server.get("/health-check").json()["setup"]["logs"]
    assert all(word in told for word in words), told
    until(lambda: all(word in server.log for word in words))


@pytest.mark.skipif(IMAGE is not None, reason="an image has a document")
def test_a_project_without_a_document_is_warned_of(make_project: Any, start: Any) -> None:
    server = start(make_project(HELLO, None), LOG_FORMAT="console").wait()
    until(lambda: "inputs are not validated" in server.log and "hint: `layerwright schema --openapi`" in server.log)


@pytest.mark.skipif(IMAGE is not None, reason="starts the launcher of the source tree")
def test_a_broken_document_is_named(make_project: Any) -> None:
    project = make_project(HELLO, document(HELLO_INPUTS))
    path = project / ".cog" / "openapi_schema.json"
    path.write_text("{")
    environment = {**os.environ, "LAYERWRIGHT_SITE": SITE, "COG_PREDICT_TYPE_STUB": "predict.py:Predictor"}
    command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py")]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2 and str(path) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(IMAGE is not None, reason="its /tmp is another")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_the_server_s_fault_and_said_so(make_project: Any, start: Any, tmp_path: Any) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, image: Path) -> str:
                return image.read_text()
    """
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        server = start(make_project(source, document({"image": FILE})), TMPDIR=str(small), LOG_FORMAT="console").wait()
        answer = server.predict(image=data_url("x" * 200_000)).json()
        assert answer["status"] == "failed" and "image: cannot be stored: No space left on device" in answer["error"]
        until(lambda: f"below {small}" in server.log and "hint: Give the container a larger /tmp" in server.log)
        assert server.predict(image=data_url("small")).json()["output"] == "small"
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@pytest.mark.interop
def test_a_queue_that_is_away_is_said_once_and_never_greeted(make_project: Any, start: Any, redis_server: Any) -> None:
    redis_server.kill()
    server = start(make_project(HELLO, document(HELLO_INPUTS)), LAYERWRIGHT_QUEUE=redis_server.url, LOG_FORMAT="console").wait()
    until(lambda: "The queue is not reachable" in server.log)
    assert server.predict(name="a").json()["output"] == "hello a"  # HTTP goes on
    assert "Connected" not in server.log
    redis_server.start()
    until(lambda: "Connected to the queue" in server.log)
    assert server.log.count("The queue is not reachable") == 1 and server.log.count("hint: It is tried again") == 1
    url = redis_server.url.replace("redis://", "redis://:hunter2@")
    redis_server.client.config_set("requirepass", "right")
    stranger = start(make_project(HELLO, document(HELLO_INPUTS), "other"), LAYERWRIGHT_QUEUE=url, LOG_FORMAT="console").wait()
    until(lambda: "hint: Check user and password" in stranger.log)
    assert "hunter2" not in stranger.log and "Connected" not in stranger.log


def test_the_launcher_can_be_quieter_than_the_model(make_project: Any, start: Any) -> None:
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def setup(self):
                print("model at work")

            def predict(self, name: str) -> str:
                return name
    """
    project = make_project(source, document({"name": TEXT}))
    server = start(project, LOG_FORMAT="console", LAYERWRIGHT_LOG_LEVEL="warning").wait()
    server.kill()
    assert server.log == "model at work\n"


NIGHT = """
    import os, signal
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, name: str) -> str:
            print("working on", name)
            if name == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(name)
"""


def test_a_crash_tells_nothing_of_the_prediction_before(make_project: Any, start: Any) -> None:
    server = start(make_project(NIGHT, document({"name": TEXT}))).wait()
    assert server.predict(name="somebody's secret").json()["error"] == "ValueError: somebody's secret"
    error = server.predict(name="die").json()["error"]
    assert "SIGKILL" in error and "secret" not in error


def whole_lines(server: Any, part: str = "") -> list[Any]:
    """Lines of the log so far, parsed: in an image they arrive a moment after the answer, and the last may not be whole."""
    return [json.loads(line) for line in server.log.split("\n")[:-1] if part in line]


def test_the_model_s_lines_name_prediction_and_trace(make_project: Any, start: Any) -> None:
    server = start(make_project(NIGHT, document({"name": TEXT}))).wait()
    trace = "0af7651916cd43dd8448eb211c80319c"
    server.request("PUT", "/predictions/one", {"input": {"name": "a"}}, {"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    server.request("PUT", "/predictions/two", {"input": {"name": "b"}}, {"traceparent": "nonsense"})
    until(lambda: len(whole_lines(server, "working on")) == 2)
    found = [(line["prediction_id"], line.get("trace_id")) for line in whole_lines(server, "working on")]
    assert found == [("one", trace), ("two", None)]


def test_every_line_is_json_whoever_writes_it(make_project: Any, start: Any) -> None:
    server = start(make_project(NIGHT, document({"name": TEXT}))).wait()
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as client:
        client.sendall(b"no HTTP\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400")
    until(lambda: "Invalid HTTP request" in server.log)
    until(lambda: "uvicorn.error" in [line["logger"] for line in whole_lines(server)])


@pytest.mark.parametrize("url", ["http://", "http:///x", "http://a b", "http://a\nb", "ftp://a", "http:a", " http://a"])
def test_a_webhook_that_no_try_can_reach_is_refused(make_project: Any, start: Any, url: str) -> None:
    server = start(make_project(HELLO, document(HELLO_INPUTS))).wait()
    answer = server.request("POST", "/predictions", {"input": {"name": "a"}, "webhook": url})
    assert answer.status == 422 and answer.json()["detail"][0]["loc"] == ["body", "webhook"]


def test_a_webhook_s_port_that_is_none_is_tried_once(make_project: Any, start: Any) -> None:
    server = start(make_project(HELLO, document(HELLO_INPUTS))).wait()
    body = {"input": {"name": "a"}, "webhook": "http://u:secret@localhost:port/x?token=1", "webhook_events_filter": ["completed"]}
    assert server.request("POST", "/predictions", body).status == 200
    until(lambda: "Webhook to http://localhost:port/x failed" in server.log)
    server.kill()
    assert server.log.count("Webhook to") == 1 and "secret" not in server.log
