"""Where this server differs from Cog's on purpose, a test a row of the table in ``docs/reference/http.md``.

Each states what is here. On Cog's server it must fail: the fixture ``kind`` makes that a strict expectation, so that a
Cog that has changed is noticed.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from typing import Any

import pytest
from support import FILE, INTEGER, LIMIT, ROOT, TEXT, document, until
from test_conformance import BROKEN_SETUP, FAILING, HELD, HELD_INPUTS, HELLO, HELLO_INPUTS

ASYNC = {"Prefer": "respond-async"}


def differs(row: str) -> Any:
    """The first cell of the table's row."""
    return pytest.mark.differs(row)


def in_background(work: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@differs("answers 409 when all slots are taken")
def test_a_prediction_waits_for_its_turn(serve: Any) -> None:
    server = serve(HELD, HELD_INPUTS).server
    thread, first = in_background(lambda: server.predict(name="one"))
    server.hear("one-began")
    other, second = in_background(lambda: server.predict(name="two"))
    until(lambda: second or server.get("/health-check").json().get("queue", {}).get("waiting") == 1)
    for name in ("one", "two"):
        server.tell(f"{name}-may-end")
    thread.join()
    other.join()
    assert (first[0].status, second[0].status) == (200, 200)


@differs("`Prefer: respond-async, wait=5` and `wait=5` are not understood")
def test_prefer_may_say_how_long_to_wait(serve: Any) -> None:
    server = serve(HELD, HELD_INPUTS).server
    thread, answer = in_background(lambda: server.predict({"Prefer": "wait=0.2"}))
    server.hear("one-began")
    try:
        until(lambda: answer, LIMIT if server.kind == "launcher" else 3)
    finally:
        server.tell("one-may-end")
        thread.join()
    assert answer[0].status == 202


@differs("no polling, no listing")
def test_a_prediction_can_be_asked_for(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    server.request("PUT", "/predictions/known", {"input": {"name": "a"}})
    answer = server.get("/predictions/known")
    assert answer.status == 200 and answer.json()["output"] == "hello a"


@differs("an id that was used runs again")
def test_putting_an_id_again_runs_nothing_again(serve: Any, tmp_path: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    answers = []
    for name in ("a", "b"):
        answers.append(server.wait().request("PUT", "/predictions/once", {"input": {"name": name}}).json())
    assert [one["output"] for one in answers] == ["hello a", "hello a"]


@differs("answers have no times")
def test_an_answer_says_when(serve: Any) -> None:
    body = serve(HELLO, HELLO_INPUTS).post({"input": {"name": "a"}}).json()
    assert "created_at" in body and "started_at" in body and "completed_at" in body
    assert body["created_at"] <= body["started_at"] <= body["completed_at"]


@differs("logs of a failed run are lost, in the answer")
def test_logs_of_a_failed_run_are_kept(serve: Any) -> None:
    body = serve(FAILING, {"name": TEXT}).post({"input": {"name": "x"}}).json()
    assert body["logs"].startswith("before\n") and "Traceback" in body["logs"]


@differs("`Prediction failed: Prediction failed: ValueError: boom`")
def test_an_error_is_the_exception_s_text(serve: Any) -> None:
    assert serve(FAILING, {"name": TEXT}).post({"input": {"name": "x"}}).json()["error"] == "ValueError: boom x"


@differs("what a failed setup printed is lost")
def test_what_a_failed_setup_printed_is_kept(make_project: Any, start: Any, kind: str) -> None:
    server = start(make_project(BROKEN_SETUP, document({"name": TEXT})), kind).wait("SETUP_FAILED")
    logs = server.get("/health-check").json()["setup"]["logs"]
    assert "loading" in logs and "Traceback" in logs


READS = """
    from cog import BasePredictor, Path

    class Predictor(BasePredictor):
        def predict(self, image: Path) -> str:
            return image.read_text()
"""


@differs("a `Path` input may name a file of the server")
def test_a_path_is_not_a_file_of_the_server(serve: Any) -> None:
    assert serve(READS, {"image": FILE}).post({"input": {"image": "/etc/hostname"}}).status == 422


@differs("a URL may lead to a private network")
def test_a_url_does_not_lead_to_a_private_network(serve: Any) -> None:
    case = serve(READS, {"image": FILE}, env={"LAYERWRIGHT_ALLOW_PRIVATE_URLS": "0"})
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        answer = case.post({"input": {"image": f"http://127.0.0.1:{web.server_port}/"}})
    finally:
        web.shutdown()
    assert answer.json()["status"] == "failed"


def result(serve: Any, expression: str) -> Any:
    """The prediction of a model that gives this back."""
    source = f"""
        import datetime
        from typing import Any
        import cog

        class Predictor(cog.BasePredictor):
            def predict(self) -> Any:
                return {expression}
    """
    return serve(source, {}, {}).post({"input": {}}).json()


OPTIONAL = """
    from typing import Optional
    from cog import BasePredictor, Input

    class Predictor(BasePredictor):
        def predict(self, n: Optional[int] = Input(default=None)) -> str:
            return repr(n)
"""
OPTIONAL_INPUTS = {"n": {**INTEGER, "nullable": True, "default": None}}


@differs("`;name=` of a data URL is ignored")
def test_a_data_url_may_name_its_file(serve: Any) -> None:
    source = """
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, file: Path) -> str:
                return file.name
    """
    answer = serve(source, {"file": FILE}).post({"input": {"file": "data:application/gzip;name=a.tar.gz;base64,QUI="}})
    assert answer.json()["output"] == "a.tar.gz"


@differs("`null` for an Optional input is refused")
def test_null_is_a_value_of_an_optional_input(serve: Any) -> None:
    answer = serve(OPTIONAL, OPTIONAL_INPUTS).post({"input": {"n": None}})
    assert answer.status == 200 and answer.json()["output"] == "None"


@differs("`2.0` reaches an `int` as float")
def test_an_integer_reaches_the_handler_as_one(serve: Any) -> None:
    assert serve(OPTIONAL, OPTIONAL_INPUTS).post({"input": {"n": 2.0}}).json()["output"] == "2"


CRASHING = """
    import os
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, crash: bool = False) -> str:
            if crash:
                os.write(2, b"last words\\n")
                os._exit(7)
            return "fine"
"""
CRASHING_INPUTS = {"crash": {"type": "boolean", "default": False}}


@differs("a model process that died stays dead")
def test_a_dead_model_is_replaced(serve: Any) -> None:
    server = serve(CRASHING, CRASHING_INPUTS).server
    server.predict(crash=True)
    # Here the next one waits at the door for the new process; a server without one is given some time, too.
    answer = until(lambda: (lambda one: one if one.status == 200 else None)(server.predict()), timeout=5)
    assert answer.json()["output"] == "fine"


@differs("how a model process died is not told")
def test_a_prediction_says_how_its_model_died(serve: Any) -> None:
    error = serve(CRASHING, CRASHING_INPUTS).post({"input": {"crash": True}}).json()["error"]
    assert "status 7" in error and "last words" in error


@differs("a handler that ignores its cancellation keeps its slot")
def test_a_cancellation_frees_the_slot_whatever_the_handler_does(serve: Any) -> None:
    server = serve(HELD, HELD_INPUTS, env={"LAYERWRIGHT_CANCEL_GRACE_SECONDS": "0.5"}).server
    server.tell("other-may-end")
    body = {"id": "s", "input": {"is_slow_to_stop": True}}
    thread, stubborn = in_background(lambda: server.request("POST", "/predictions", body))
    server.hear("one-began")
    server.request("POST", "/predictions/s/cancel")
    answer = server.predict(name="other")  # the stubborn one goes on
    server.tell("one-may-stop")
    thread.join()
    assert answer.status == 200 and stubborn[0].json()["status"] == "canceled"


CONCURRENT = """
    import asyncio, pathlib
    from cog import BasePredictor, concurrent

    class Predictor(BasePredictor):
        async def setup(self):
            self.running = 0

        @concurrent(max=2)
        async def predict(self) -> int:
            self.running += 1
            pathlib.Path("began").touch()
            while self.running < 2 and not pathlib.Path("may-end").exists():
                await asyncio.sleep(0.01)
            return self.running
"""


@differs("`@concurrent(max=N)` acts through the build alone")
def test_the_decorator_acts_where_it_stands(serve: Any) -> None:
    server = serve(CONCURRENT, {}, INTEGER).server
    thread, first = in_background(lambda: server.predict())
    server.hear("began")
    second = server.predict()
    server.tell("may-end")
    thread.join()
    assert (first[0].status, second.status) == (200, 200)
    assert (first[0].json()["output"], second.json()["output"]) == (2, 2)


@differs("what C code and child processes print is lost")
def test_what_children_print_is_in_the_logs(serve: Any) -> None:
    source = """
        import os
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> str:
                os.write(1, b"from c\\n")
                os.system("echo from a shell")
                return ""
    """
    logs = serve(source, {}).post({"input": {}}).json()["logs"]
    assert "from c\n" in logs and "from a shell\n" in logs


@differs("a NaN or an infinity fails the run")
def test_a_number_that_json_has_not_is_null(serve: Any) -> None:
    assert result(serve, '{"a": 1, "b": [float("nan"), 1e999]}').get("output") == {"a": 1, "b": [None, None]}


@differs("an integer of more than 64 bits becomes a float")
def test_a_long_integer_stays_one(serve: Any) -> None:
    assert type(result(serve, "10**30").get("output")) is int


@differs("a date in an output fails the run")
def test_a_date_can_be_an_output(serve: Any) -> None:
    assert result(serve, '{"day": datetime.date(2026, 1, 2)}').get("output") == {"day": "2026-01-02"}


@differs("an output file that is not there is `null`, and the run succeeded")
def test_a_missing_output_file_fails_the_run(serve: Any) -> None:
    body = result(serve, 'cog.Path("/nowhere/a.png")')
    assert body["status"] == "failed" and "/nowhere/a.png" in body["error"]


@differs("a `Secret` as output shows itself")
def test_a_secret_is_no_output(serve: Any) -> None:
    assert "hush" not in json.dumps(result(serve, 'cog.Secret("hush")'))


@differs("a last line without an end is lost from the logs")
def test_a_last_line_needs_no_end(serve: Any) -> None:
    assert result(serve, 'print("no end", end="")')["logs"] == "no end"


@differs("what a generator gave before it failed is lost, in the answer")
def test_what_came_before_a_failure_is_kept(serve: Any) -> None:
    source = """
        from typing import Iterator
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self) -> Iterator[str]:
                yield "first"
                raise ValueError("second")
    """
    pieces = {"type": "array", "items": TEXT, "x-cog-array-type": "iterator"}
    body = serve(source, {}, pieces).post({"input": {}}).json()
    assert body["status"] == "failed" and body.get("output") == ["first"]


@differs("an asynchronous handler that raises `SystemExit` or `KeyboardInterrupt` never ends")
@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
def test_an_asynchronous_run_fails_of_whatever_is_raised(serve: Any, receiver: Any, name: str) -> None:
    source = f"""
        from cog import BasePredictor

        class Predictor(BasePredictor):
            async def predict(self) -> str:
                raise {name}("raised")
    """
    server, hooks = serve(source, {}).server, receiver()
    body = {"input": {}, "webhook": hooks.url, "webhook_events_filter": ["completed"]}
    server.request("POST", "/predictions", body, ASYNC)
    last = until(lambda: hooks.bodies, LIMIT if server.kind == "launcher" else 3)[0]
    assert (last["status"], last["error"]) == ("failed", f"{name}: raised")
    assert server.get("/health-check").json()["queue"]["restarts"] == 0


@differs("refusals are plain text, or JSON with `error`")
@pytest.mark.parametrize(
    ("body", "headers"), [("{bad", {}), ("x", {"Content-Type": "text/plain"}), ("[]", {}), ("{}", {"Accept": "text/event-stream"})]
)
def test_a_refusal_is_json_with_its_detail(serve: Any, body: str, headers: dict[str, str]) -> None:
    answer = serve(HELLO, HELLO_INPUTS).post(body, headers)
    assert answer.status >= 400 and answer.headers["content-type"] == "application/json" and "detail" in answer.json()


@differs("`loc` names an item of a list as `names/0`")
def test_a_place_in_a_list_is_a_number(serve: Any) -> None:
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, names: list[str]) -> str:
                return ""
    """
    answer = serve(source, {"names": {"type": "array", "items": TEXT}}).post({"input": {"names": [1]}})
    assert answer.json()["detail"][0]["loc"] == ["body", "input", "names", 0]


@differs("any text is a webhook, and nobody is told that none could be sent")
def test_a_webhook_is_a_url(serve: Any) -> None:
    assert serve(HELLO, HELLO_INPUTS).post({"input": {"name": "a"}, "webhook": "nobody"}).status == 422


@differs("a prediction that has ended cannot be canceled: 404")
def test_a_cancellation_may_come_late(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    server.request("PUT", "/predictions/late", {"input": {"name": "a"}})
    assert server.request("POST", "/predictions/late/cancel").status == 200


@differs("data URLs with anything for base64 are files")
def test_a_file_is_what_was_sent(serve: Any) -> None:
    body = serve(READS, {"image": FILE}).post({"input": {"image": "data:text/plain;base64,!!!"}}).json()
    assert body["status"] == "failed" and "image" in body["error"]


@differs("`--upload-url` leaves files in objects inline")
def test_every_file_of_an_output_is_uploaded(make_project: Any, start: Any, kind: str, receiver: Any) -> None:
    source = """
        import pathlib
        from cog import BaseModel, BasePredictor, Path

        class Output(BaseModel):
            file: Path

        class Predictor(BasePredictor):
            def predict(self) -> Output:
                pathlib.Path("/tmp/upload.json").write_text('{"status": "succeeded"}')
                return Output(file=Path("/tmp/upload.json"))
    """
    uploads = receiver()
    output = {"type": "object", "properties": {"file": FILE}}
    server = start(make_project(source, document({}, output)), kind, ("--upload-url", uploads.url)).wait()
    assert server.predict().json()["output"]["file"].startswith("http") and len(uploads.bodies) == 1


@differs("`/docs` is named and not there")
def test_the_page_that_is_named_is_there(serve: Any) -> None:
    server = serve(HELLO, HELLO_INPUTS).server
    assert server.get(server.get("/").json()["docs_url"]).status == 200


@differs("no metrics, no routes of platforms")
@pytest.mark.parametrize("path", ["/metrics", "/ping", "/livez", "/readyz", "/v2/health/ready", "/v2/models/model"])
def test_there_are_routes_for_probes_and_platforms(serve: Any, path: str) -> None:
    assert serve(HELLO, HELLO_INPUTS).server.get(path).status == 200


def test_the_table_in_the_docs_has_these_rows(request: Any) -> None:
    text = (ROOT.parent / "docs/reference/http.md").read_text()
    table = text.split("## Differences from Cog, on purpose")[1].split("\n## ")[0]
    rows = [row.split(" | ")[0].removeprefix("| ") for row in re.findall(r"^\|.*$", table, re.M)[2:]]
    here = {mark.args[0] for name, test in globals().items() for mark in getattr(test, "pytestmark", []) if mark.name == "differs"}
    assert sorted(rows) == sorted(here)
