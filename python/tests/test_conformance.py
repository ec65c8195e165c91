"""One suite for Cog's own server and this one: what a client of Cog relies on.

Every test states something of Cog's interface and holds for both servers (the fixture ``kind``); where they differ on
purpose, ``test_deviations.py`` says how.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from typing import Any

import pytest
from support import FILE, INTEGER, LIMIT, NUMBER, TEXT, Case, document, until


HELLO = """
    from cog import BasePredictor, Input

    class Predictor(BasePredictor):
        def setup(self):
            print("setting up")
            self.greeting = "hello "

        def predict(self, name: str, times: int = Input(default=1, ge=1, le=3)) -> str:
            print("greeting", name)
            return self.greeting + name * times
"""
HELLO_INPUTS = {"name": TEXT, "times": {**INTEGER, "default": 1, "minimum": 1, "maximum": 3}}


def test_a_prediction_succeeds(serve: Any) -> None:
    answer = serve(HELLO, HELLO_INPUTS).post({"input": {"name": "bo"}})
    body = answer.json()
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert (body["status"], body["output"], body["logs"]) == ("succeeded", "hello bo", "greeting bo\n")
    assert body["metrics"]["predict_time"] >= 0 and body["id"]


def test_discovery_health_and_the_document(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    root = server.get("/").json()
    assert root["predictions_url"] == "/predictions" and root["openapi_url"] == "/openapi.json"
    health = server.get("/health-check").json()
    assert health["status"] == "READY" and health["setup"]["status"] == "succeeded"
    assert health["setup"]["started_at"] <= health["setup"]["completed_at"]
    assert server.get("/openapi.json").json() == json.loads(
        (server.project / ".cog" / "openapi_schema.json").read_text()
    )


def test_all_errors_of_an_input_are_told(serve: Any) -> None:
    case = serve(HELLO, HELLO_INPUTS)
    answer = case.post({"input": {"times": 9}})
    problems = {tuple(one["loc"]): one for one in answer.json()["detail"]}
    assert answer.status == 422
    assert set(problems) == {("body", "input", "name"), ("body", "input", "times")}
    missing = problems["body", "input", "name"]
    assert (missing["msg"], missing["type"]) == ("Field required", "value_error.missing")
    assert case.post({"input": {"name": 5}}).status == 422
    assert case.post({"input": []}).status == 422


def test_unknown_inputs_are_dropped(serve: Any) -> None:
    assert serve(HELLO, HELLO_INPUTS).post({"input": {"name": "a", "other": 1}}).json()["output"] == "hello a"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{bad", {}, 400),
        ("{}", {"Content-Type": "text/plain"}, 415),
        ("[]", {}, 422),
        ('{"input": {"name": "a"}, "webhook_events_filter": ["nope"]}', {}, 422),
    ],
)
def test_bad_bodies(serve: Any, body: str, headers: dict[str, str], status: int) -> None:
    assert serve(HELLO, HELLO_INPUTS).post(body, headers).status == status


def test_unknown_routes_and_methods(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    assert server.get("/nowhere").status == 404
    answer = server.request("DELETE", "/predictions")
    assert answer.status == 405 and "POST" in answer.headers["allow"]
    answer = server.request("DELETE", "/health-check")
    assert answer.status == 405 and {"GET", "HEAD"} <= {method.strip() for method in answer.headers["allow"].split(",")}


FAILING = """
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, name: str) -> str:
            print("before")
            raise ValueError("boom " + name)
"""


def test_a_failed_run_is_200_and_says_why(serve: Any) -> None:
    answer = serve(FAILING, {"name": TEXT}).post({"input": {"name": "x"}})
    body = answer.json()
    assert answer.status == 200 and body["status"] == "failed" and "boom x" in body["error"]


#: runs until it is told to end; says that it began, and that it was told to stop
HELD = """
    import pathlib, time
    from cog import BasePredictor, CancelationException

    def wait_for(word):
        for _ in range(30_000):
            if pathlib.Path(word).exists():
                return
            time.sleep(0.01)
        raise TimeoutError(word)

    class Predictor(BasePredictor):
        def predict(self, name: str = "one", is_slow_to_stop: bool = False) -> str:
            pathlib.Path(name + "-began").touch()
            try:
                wait_for(name + "-may-end")
            except CancelationException:
                print("cleaning up")
                while is_slow_to_stop:
                    try:
                        pathlib.Path(name + "-stops").touch()
                        wait_for(name + "-may-stop")
                        break
                    except CancelationException:
                        pass
                raise
            return "held " + name
"""
HELD_INPUTS = {"name": {**TEXT, "default": "one"}, "is_slow_to_stop": {"type": "boolean", "default": False}}


def test_respond_async_and_cancel(serve: Any, receiver: Any) -> None:
    hook, case = receiver(), serve(HELD, HELD_INPUTS)
    body = {"id": "one", "input": {"is_slow_to_stop": True}, "webhook": hook.url, "webhook_events_filter": ["completed"]}
    answer = case.post(body, {"Prefer": "respond-async"})
    assert answer.status == 202 and answer.json() == {"id": "one", "status": "starting"}
    case.server.hear("one-began")
    for _ in range(2):
        cancel = case.server.request("POST", "/predictions/one/cancel")
        assert cancel.status == 200 and cancel.json() == {}
        case.server.hear("one-stops")  # Cog knows a prediction until it has ended
    case.server.tell("one-may-stop")
    final = until(lambda: hook.bodies and hook.bodies[-1])
    assert final["id"] == "one" and final["status"] == "canceled"
    assert case.server.request("POST", "/predictions/unknown/cancel").status == 404


def test_webhooks_tell_of_start_output_logs_and_end(serve: Any, receiver: Any) -> None:
    source = """
        import pathlib, time
        from cog import BasePredictor, ConcatenateIterator

        class Predictor(BasePredictor):
            def predict(self, n: int = 3) -> ConcatenateIterator[str]:
                for i in range(n):
                    print("line", i)
                    time.sleep(0.1)
                    yield str(i)
                    while not pathlib.Path(f"{i}-arrived").exists():
                        time.sleep(0.01)
    """
    output = {"type": "array", "items": TEXT, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}
    hook, case = receiver(), serve(source, {"n": {**INTEGER, "default": 3}}, output)

    def arrived(status: str, output: list[str]) -> Any:
        # Cog posts each by itself, so that one may overtake another.
        return until(lambda: next((one for one in hook.bodies if (one["status"], one.get("output")) == (status, output)), None))

    assert case.post({"id": "hooked", "input": {}, "webhook": hook.url}, {"Prefer": "respond-async"}).status == 202
    for i in range(3):
        arrived("processing", ["0", "1", "2"][: i + 1])
        case.server.tell(f"{i}-arrived")
    assert arrived("succeeded", ["0", "1", "2"])["logs"].count("line") == 3
    until(lambda: any(one["status"] in ("starting", "processing") and not one.get("output") for one in hook.bodies))
    assert {one["id"] for one in hook.bodies} == {"hooked"}


def test_a_final_webhook_is_tried_again(serve: Any, receiver: Any) -> None:
    hook = receiver(fail=3)
    case = serve(HELLO, HELLO_INPUTS)
    body = {"input": {"name": "a"}, "webhook": hook.url, "webhook_events_filter": ["completed"]}
    case.post(body, {"Prefer": "respond-async"})
    until(lambda: len(hook.bodies) == 4)
    assert [one["status"] for one in hook.bodies] == ["succeeded"] * 4


def test_put_is_idempotent_while_it_runs(serve: Any) -> None:
    server = serve(HELD, HELD_INPUTS).server
    first = server.request("PUT", "/predictions/p1", {"input": {}}, {"Prefer": "respond-async"})
    again = server.request("PUT", "/predictions/p1", {"input": {}}, {"Prefer": "respond-async"})
    assert (first.status, again.status) == (202, 202) and again.json()["id"] == "p1"
    assert server.request("PUT", "/predictions/p2", {"id": "p3", "input": {}}).status == 422
    server.tell("one-may-end")


STREAMING = """
    import time
    from cog import BasePredictor, ConcatenateIterator, streaming

    class Predictor(BasePredictor):
        @streaming
        def predict(self, text: str = "a b c", delay: float = 0.0) -> ConcatenateIterator[str]:
            for word in text.split(" "):
                print("saw", word)
                yield word + " "
                time.sleep(delay)
"""
STREAMING_INPUTS = {"text": {**TEXT, "default": "a b c"}, "delay": {**NUMBER, "default": 0.0}}
STREAMING_OUTPUT = {"type": "array", "items": TEXT, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}


def parse_events(body: bytes) -> list[tuple[str, Any]]:
    events = []
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


def test_server_sent_events(serve: Any) -> None:
    case = serve(STREAMING, STREAMING_INPUTS, STREAMING_OUTPUT, streaming=True)
    answer = case.post({"input": {"text": "x y"}}, {"Accept": "text/event-stream"})
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    events = parse_events(answer.body)
    assert [name for name, _ in events] == ["start", "log", "output", "log", "output", "completed"]
    assert events[0][1]["status"] == "processing"
    assert events[1][1] == {"data": "saw x\n", "source": "stdout"}
    assert events[2][1] == {"chunk": "x ", "index": 0}
    assert events[-1][1]["output"] == ["x ", "y "] and events[-1][1]["status"] == "succeeded"


def test_a_model_without_streaming_refuses_events(serve: Any) -> None:
    assert serve(HELLO, HELLO_INPUTS).post({"input": {"name": "a"}}, {"Accept": "text/event-stream"}).status == 406


FILES = """
    import pathlib, tempfile
    from typing import Optional
    from cog import BasePredictor, Input, Path, Secret

    class Predictor(BasePredictor):
        def predict(self, image: Path, more: list[Path] = Input(default=[]), mask: Optional[Path] = None,
                    token: Secret = Input(default=None)) -> list[Path]:
            results = []
            for number, path in enumerate([image, *more] + ([mask] if mask else [])):
                assert isinstance(path, pathlib.Path), type(path)
                target = Path(tempfile.mkdtemp()) / f"out{number}.txt"
                target.write_text(f"{path.suffix} {path.read_bytes().decode()}")
                results.append(target)
            print(token, token.get_secret_value() if token else None)
            return results
"""
FILES_INPUTS = {
    "image": FILE,
    "more": {"type": "array", "items": FILE, "default": []},
    "mask": {**FILE, "nullable": True, "default": None},
    "token": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True, "nullable": True, "default": None},
}


def data_url(text: str, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def test_files_in_and_out_by_data_url(serve: Any) -> None:
    case = serve(FILES, FILES_INPUTS, {"type": "array", "items": FILE})
    body = {"input": {"image": data_url("one"), "more": [data_url("two"), data_url("three")], "token": "s3cret"}}
    answer = case.post(body).json()
    assert answer["status"] == "succeeded", answer
    texts = [base64.b64decode(one.split(",", 1)[1]).decode() for one in answer["output"]]
    assert [text.split()[-1] for text in texts] == ["one", "two", "three"]
    assert all(one.startswith("data:text/plain;base64,") for one in answer["output"])
    assert answer["logs"] == "********** s3cret\n"


def test_a_file_input_by_url(serve: Any, tmp_path: Any) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "hello.txt").write_text("from afar")
    handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=str(tmp_path / "web"))  # noqa: E731
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    case = serve(FILES, FILES_INPUTS, {"type": "array", "items": FILE})
    base = f"http://127.0.0.1:{web.server_port}"
    answer = case.post({"input": {"image": f"{base}/hello.txt"}}).json()
    assert base64.b64decode(answer["output"][0].split(",")[1]).endswith(b"from afar")
    missing = case.post({"input": {"image": f"{base}/none.txt"}})
    assert missing.status == 200 and missing.json()["status"] == "failed"
    web.shutdown()


TYPES = """
    from typing import Any, Optional, Union
    from cog import BaseModel, BasePredictor, Input

    class Inner(BaseModel):
        score: float
        tags: list[str]

    class Output(BaseModel):
        text: str
        number: int
        inner: dict

    class Predictor(BasePredictor):
        def predict(self, n: int, x: float = 1.5, flag: bool = False, choice: str = Input(choices=["a", "b"], default="a"),
                    items: list[int] = Input(default=[1, 2]), options: dict = Input(default={})) -> Output:
            return Output(text=choice, number=n, inner={"x": x, "flag": flag, "items": items, "options": options})
"""
TYPES_INPUTS = {
    "n": INTEGER,
    "x": {**NUMBER, "default": 1.5},
    "flag": {"type": "boolean", "default": False},
    "choice": {"allOf": [{"$ref": "#/components/schemas/choice"}], "default": "a"},
    "items": {"type": "array", "items": INTEGER, "default": [1, 2]},
    "options": {"type": "object", "default": {}},
}


def test_types_of_inputs_and_object_outputs(make_project: Any, start: Any, kind: str) -> None:
    text = document(TYPES_INPUTS, {"type": "object"})
    text["components"]["schemas"]["choice"] = {"title": "choice", "type": "string", "enum": ["a", "b"], "description": "An enumeration."}
    case = Case(start(make_project(TYPES, text), kind).wait())
    answer = case.post({"input": {"n": 3, "x": 2, "flag": True, "choice": "b", "items": [5], "options": {"k": [1, None]}}})
    expected = {"x": 2.0, "flag": True, "items": [5], "options": {"k": [1, None]}}
    assert answer.json()["output"] == {"text": "b", "number": 3, "inner": expected}
    assert case.post({"input": {"n": 3}}).json()["output"]["inner"]["items"] == [1, 2]
    for wrong in ({"n": "3"}, {"n": 1.5}, {"n": True}, {"n": 1, "flag": 1}, {"n": 1, "choice": "c"}, {"n": 1, "items": ["x"]}):
        assert case.post({"input": wrong}).status == 422, wrong


METRICS = """
    from cog import BasePredictor, current_scope

    class Predictor(BasePredictor):
        def predict(self, n: int = 2) -> str:
            self.record_metric("temperature", 0.7)
            for _ in range(n):
                current_scope().record_metric("tokens", 1, mode="incr")
                self.scope.metrics.record("steps", "s", mode="append")
            self.scope.metrics["timing.load"] = 1.5
            return "ok"
"""


def test_metrics(serve: Any) -> None:
    metrics = serve(METRICS, {"n": {**INTEGER, "default": 2}}).post({"input": {}}).json()["metrics"]
    assert metrics.pop("predict_time") >= 0
    assert metrics == {"temperature": 0.7, "tokens": 2, "steps": ["s", "s"], "timing": {"load": 1.5}}


ASYNC = """
    import asyncio
    from cog import BasePredictor, AsyncConcatenateIterator

    class Predictor(BasePredictor):
        async def setup(self):
            self.here = 0

        async def predict(self, name: str = "x") -> str:
            print("hello", name)
            self.here += 1
            for _ in range(6_000):
                if self.here == 4:
                    break
                await asyncio.sleep(0.01)
            else:
                raise TimeoutError("not all are here at once")
            print("bye", name)
            return name
"""


def test_asynchronous_predictors_run_side_by_side(serve: Any) -> None:
    case = serve(ASYNC, {"name": {**TEXT, "default": "x"}}, env={"COG_MAX_CONCURRENCY": "4"})
    answers: dict[str, Any] = {}

    def one(name: str) -> None:
        answers[name] = case.server.predict(name=name).json()

    threads = [threading.Thread(target=one, args=(f"n{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for name, answer in answers.items():
        assert answer["output"] == name and answer["logs"] == f"hello {name}\nbye {name}\n"


BROKEN_SETUP = """
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def setup(self):
            print("loading")
            raise RuntimeError("no weights")

        def predict(self, name: str) -> str:
            return name
"""


def test_setup_that_fails(make_project: Any, start: Any, kind: str) -> None:
    server = start(make_project(BROKEN_SETUP, document({"name": TEXT})), kind).wait("SETUP_FAILED")
    setup = server.get("/health-check").json()["setup"]
    assert setup["status"] == "failed" and "no weights" in setup["logs"]
    assert server.predict(name="a").status == 503


def test_trainings_of_a_model_without_training_are_predictions(serve: Any) -> None:
    answer = serve(HELLO, HELLO_INPUTS).server.request("POST", "/trainings", {"input": {"name": "a"}})
    assert answer.status == 200 and answer.json()["output"] == "hello a"


def test_user_healthcheck(make_project: Any, start: Any, kind: str) -> None:
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def healthcheck(self) -> bool:
                return False

            def predict(self, name: str) -> str:
                return name
    """
    server = start(make_project(source, document({"name": TEXT})), kind).wait("UNHEALTHY")
    assert "returned False" in server.get("/health-check").json()["user_healthcheck_error"]


def test_sigterm_lets_the_running_prediction_end(serve: Any) -> None:
    server = serve(HELD, HELD_INPUTS).server
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.predict()))
    thread.start()
    server.hear("one-began")
    server.process.terminate()
    time.sleep(0.5)  # as long as nothing can be seen; were it too short, the test would ask for less
    server.tell("one-may-end")
    thread.join()
    assert answers[0].status == 200 and answers[0].json()["output"] == "held one"
    assert server.process.wait(LIMIT) == 0


def test_shutdown_by_request(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    assert server.request("POST", "/shutdown").json() == {}
    assert server.process.wait(LIMIT) == 0


@pytest.mark.parametrize("folder", ["code", "test", "broken"])
def test_a_model_in_a_folder_is_loaded_by_its_place(make_project: Any, start: Any, kind: str, folder: str) -> None:
    """Two are named as modules of Python are; the third is a package that cannot be imported."""
    project = make_project("", document({"name": TEXT}))
    (project / folder).mkdir()
    (project / "predict.py").rename(project / folder / "predict.py")
    source = "class Predictor:\n    def predict(self, name: str) -> str:\n        return __name__ + name\n"
    (project / folder / "predict.py").write_text(source)
    if folder == "broken":
        (project / folder / "__init__.py").write_text("import nowhere")
    server = start(project, kind, STUB=f"{folder}/predict.py:Predictor").wait()
    assert server.predict(name="!").json()["output"] == "predict!"


@pytest.mark.parametrize(
    "lines",
    [
        "try:\n    from .word import WORD\nexcept ImportError:\n    WORD = 'other'",
        "if __package__:\n    from .word import WORD\nelse:\n    WORD = 'other'",
        "from typing import TYPE_CHECKING\nWORD = 'other'\nif TYPE_CHECKING:\n    from .word import WORD",
    ],
)
def test_a_model_that_only_tries_to_import_with_a_dot_is_loaded_by_its_place(
    make_project: Any, start: Any, kind: str, lines: str
) -> None:
    project = make_project("", document({}))
    (project / "code").mkdir()
    source = f"{lines}\nclass Predictor:\n    def predict(self) -> str:\n        return __name__ + WORD\n"
    (project / "code" / "predict.py").write_text(source)
    server = start(project, kind, STUB="code/predict.py:Predictor").wait()
    assert server.predict().json()["output"] == "predictother"


def test_what_threads_print_is_in_the_logs(serve: Any) -> None:
    source = """
        import threading
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> str:
                thread = threading.Thread(target=print, args=("from a thread",))
                thread.start()
                thread.join()
                return ""
    """
    assert serve(source, {}).post({"input": {}}).json()["logs"] == "from a thread\n"


def test_whatever_is_raised_ends_the_run_and_not_the_model(serve: Any) -> None:
    source = """
        import os
        from cog import BasePredictor

        class Odd(BaseException):
            pass

        class Predictor(BasePredictor):
            def predict(self, fail: bool = True) -> str:
                if fail:
                    raise Odd("odd")
                return str(os.getpid())
    """
    case = serve(source, {"fail": {"type": "boolean", "default": True}})
    before = case.post({"input": {"fail": False}}).json()["output"]
    failed = case.post({"input": {}}).json()
    assert failed["status"] == "failed" and failed["error"].endswith("Odd: odd")
    assert case.post({"input": {"fail": False}}).json()["output"] == before


def test_a_named_tuple_is_a_list(serve: Any) -> None:
    source = """
        from collections import namedtuple
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> dict:
                return {"size": namedtuple("Size", "width height")(2, 3)}
    """
    assert serve(source, {}, {"type": "object"}).post({"input": {}}).json()["output"] == {"size": [2, 3]}


def test_further_arguments_of_a_handler_stay_empty(serve: Any) -> None:
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, name: str = "a", *args, **options) -> str:
                return repr((name, args, options))
    """
    answer = serve(source, {"name": {**TEXT, "default": "a"}}).post({"input": {"other": 1}})
    assert answer.json()["output"] == "('a', (), {})"


RAISING = """
    import builtins
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, name: str = "") -> str:
            if name:
                raise getattr(builtins, name)("raised")
            return "fine"
"""


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "SystemExit", "StopIteration"])
def test_an_exception_of_python_s_own_fails_the_run(serve: Any, name: str) -> None:
    case = serve(RAISING, {"name": {**TEXT, "default": ""}})
    body = case.post({"input": {"name": name}}).json()
    assert body["status"] == "failed" and body["error"].endswith(f"{name}: raised")
    assert case.post({"input": {}}).json()["output"] == "fine"


CANCELED = """
    import pathlib, time
    from cog import BasePredictor, CancelationException

    class Predictor(BasePredictor):
        def predict(self, how: str) -> str:
            pathlib.Path("began").touch()
            try:
                for _ in range(9_000):
                    time.sleep(0.01)
            except CancelationException:
                if how == "raises":
                    raise ValueError("in the midst of it")
            return "an answer"
"""


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_what_was_canceled_is_canceled_however_the_handler_ends(serve: Any, receiver: Any, how: str) -> None:
    server, hooks = serve(CANCELED, {"how": TEXT}).server, receiver()
    body = {"id": "c", "input": {"how": how}, "webhook": hooks.url, "webhook_events_filter": ["completed"]}
    assert server.request("POST", "/predictions", body, {"Prefer": "respond-async"}).status == 202
    server.hear("began")
    assert server.request("POST", "/predictions/c/cancel").status == 200
    last = until(lambda: hooks.bodies)[0]
    assert last["status"] == "canceled" and last.get("error") is None


@pytest.mark.parametrize("body", [None, "{}", '{"input": null}', '{"input": {}}'])
@pytest.mark.parametrize(("method", "path"), [("POST", "/predictions"), ("PUT", "/predictions/p")])
def test_a_request_without_inputs(serve: Any, method: str, path: str, body: str | None) -> None:
    server = serve(RAISING, {"name": {**TEXT, "default": ""}}).server
    answer = server.request(method, path, body)
    assert answer.status == 200 and answer.json()["output"] == "fine"


@pytest.mark.parametrize("body", [None, '{"input": null}'])
def test_a_request_without_the_inputs_it_needs(serve: Any, body: str | None) -> None:
    answer = serve(HELLO, HELLO_INPUTS).server.request("POST", "/predictions", body)
    assert answer.status == 422
    assert [one["loc"] for one in answer.json()["detail"]] == [["body", "input", "name"]]


def test_an_output_that_is_nested_too_deep_fails_the_run_and_not_the_model(serve: Any) -> None:
    source = """
        import os
        from typing import Any
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, depth: int) -> Any:
                value = [os.getpid()]
                for _ in range(depth - 1):
                    value = [value]
                return value
    """
    case = serve(source, {"depth": INTEGER}, {})
    before = case.post({"input": {"depth": 1}}).json()["output"]
    failed = case.post({"input": {"depth": 300}}).json()
    assert failed["status"] == "failed" and failed["error"]
    assert case.post({"input": {"depth": 1}}).json()["output"] == before
    assert case.post({"input": {"depth": 100}}).json()["status"] == "succeeded"
