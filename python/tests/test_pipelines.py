"""Several models in one image, and pipelines of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import threading
from typing import Any, Callable

import pytest
from pipelines import const, manifest, pipeline, ref, step, write_project
from support import FILE, LIMIT, TEXT, NotServing, Server, free_port, has_ended, until
from test_conformance import data_url, parse_events

Serve = Callable[..., Server]
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def serve(tmp_path: pathlib.Path, start: Any) -> Serve:
    """Start a server of several models."""

    def run(*classes: str, default: str = "main", state: str = "READY", env: "dict[str, str] | None" = None, **pipelines: Any) -> Server:
        listed = manifest(*classes, default=default, **pipelines)
        project = write_project(tmp_path, listed)
        served = {**listed["models"], **listed["pipelines"]}[default]
        (project / ".cog" / "openapi_schema.json").write_text(json.dumps(served["openapi"]))
        return start(project, STUB="", **(env or {})).wait(state)

    return run


def post(server: Server, model: str, headers: "dict[str, str] | None" = None, /, **inputs: Any) -> dict[str, Any]:
    """POST to a model or pipeline by name."""
    answer = server.request("POST", f"/models/{model}/predictions", {"input": inputs}, headers)
    assert answer.status == 200, answer.body
    return answer.json()


ECHO_TWICE = {
    "twice": pipeline(
        step("echo", "first", text="input.text"), step("echo", "second", text="first", mark=const("?")), output="second", inputs={"text": TEXT}
    )
}

# --- several models


def test_each_model_has_its_routes_and_the_default_has_those_of_one(serve: Serve) -> None:
    server = serve("Echo", "Split", default="echo")
    assert server.predict(text="a").json()["output"] == "a!"
    assert post(server, "echo", text="b")["output"] == "b!"
    assert post(server, "split", text="a b")["output"] == {"words": ["a", "b"], "count": 2, "nothing": None}
    listed = server.get("/models").json()["models"]
    assert [(one["modelName"], one["modelUrl"], one["kind"], one["status"]) for one in listed] == [
        ("echo", "/models/echo", "model", "READY"),
        ("split", "/models/split", "model", "READY"),
    ]
    assert server.get("/models/split").json()["modelName"] == "split"
    assert "mark" in json.dumps(server.get("/models/echo/openapi.json").json())
    assert "mark" in json.dumps(server.get("/openapi.json").json())
    answer = server.request("PUT", "/models/split/predictions/one", {"input": {"text": "a"}})
    assert answer.json()["id"] == "one"
    assert server.get("/models/split/predictions/one").json()["status"] == "succeeded"
    assert server.get("/predictions/one").status == 404
    assert server.request("POST", "/models/echo/invoke", {"text": "c"}).json()["output"] == "c!"
    refused = server.request("POST", "/models/echo/predictions", {"input": {"mark": 1}})
    assert refused.status == 422 and len(refused.json()["detail"]) == 2


@pytest.mark.parametrize("method, path", [("GET", ""), ("POST", "/predictions"), ("POST", "/invoke"), ("GET", "/predictions/x"), ("GET", "/openapi.json")])
def test_an_unknown_model_is_answered_with_the_names(serve: Serve, method: str, path: str) -> None:
    server = serve("Echo", "Split", default="echo", **ECHO_TWICE)
    answer = server.request(method, f"/models/none{path}", {} if method == "POST" else None)
    assert answer.status == 404
    assert answer.json() == {"detail": "There is no model none; this server has echo, split, twice"}


def test_the_open_inference_protocol_knows_each_by_name(serve: Serve) -> None:
    server = serve("Echo", "Split", default="echo", **ECHO_TWICE)
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    assert server.get("/v2/models").json() == {"models": ["echo", "split", "twice"]}
    for name, output in (("twice", "a!?"), ("echo", "a!"), ("model", "a!")):
        answer = server.request("POST", f"/v2/models/{name}/infer", body).json()
        assert answer["model_name"] == name and answer["outputs"][0]["data"] == [output]
        assert server.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}
    assert server.get("/v2/models/none").status == 404
    assert server.request("POST", "/v1/models/twice:predict", {"instances": [{"text": "b"}]}).json() == {"predictions": ["b!?"]}


def test_metrics_say_whose_they_are(serve: Serve) -> None:
    server = serve("Echo", "Split", default="echo", **ECHO_TWICE)
    post(server, "twice", text="a")
    text = server.get("/metrics").body.decode()
    assert 'layerwright_predictions_total{model="echo",status="succeeded"} 2' in text
    assert 'layerwright_predictions_total{model="twice",status="succeeded"} 1' in text
    assert 'layerwright_slots{model="twice"} 1' in text
    assert 'layerwright_prediction_seconds_count{model="split"} 0' in text
    assert 'layerwright_resident_memory_bytes{model="split",process="model"}' in text
    assert text.count("# TYPE layerwright_prediction_seconds histogram") == 1


def test_a_probe_of_all_asks_each_model_for_its_health_once(serve: Serve) -> None:
    one = step("asked", text="input.text")
    server = serve("Asked", "Echo", default="main", main=pipeline(one, output="asked", inputs={"text": TEXT}))

    def asked() -> int:
        return len((server.project / "checks.log").read_text().split())

    for path in ("/models", "/health-check"):  # both ask the model itself, and the pipeline that it is part of
        before = asked()
        assert server.get(path).status == 200
        assert asked() == before + 1


def test_the_process_that_dies_fails_its_own_predictions_and_is_started_again(serve: Serve) -> None:
    server = serve("Echo", "Held", default="echo")
    server.request("PUT", "/models/held/predictions/one", {"input": {}}, ASYNC)
    server.hear("one-began")
    died = post(server, "echo", text="die")
    assert died["status"] == "failed" and "SIGKILL" in died["error"]
    server.tell("one-may-end")
    until(lambda: server.get("/models/held/predictions/one").json()["status"] == "succeeded")
    server.wait()
    assert post(server, "echo", text="a")["output"] == "a!"
    health = server.get("/health-check").json()["models"]
    assert (health["echo"]["queue"]["restarts"], health["held"]["queue"]["restarts"]) == (1, 0)


def test_a_setup_that_fails_says_of_which_model(serve: Serve) -> None:
    both = pipeline(step("echo", text="input.text"), step("broken", text="echo"), output="broken", inputs={"text": TEXT})
    server = serve("Echo", "Broken", default="echo", state="SETUP_FAILED", main=ECHO_TWICE["twice"], two=both)
    until(lambda: server.get("/models/echo").json()["status"] == "READY")
    setup = server.get("/health-check").json()["setup"]
    assert setup["status"] == "failed"
    assert "[echo] echo is set up" in setup["logs"] and "[broken] RuntimeError: no weights" in setup["logs"]
    assert server.get("/models/broken").json()["status"] == "SETUP_FAILED"
    assert server.get("/ping").status == 503 and server.get("/readyz").status == 503
    assert server.predict(text="a").json()["output"] == "a!"
    assert post(server, "main", text="a")["output"] == "a!?"
    refused = server.request("POST", "/models/broken/predictions", {"input": {"text": "a"}})
    assert refused.status == 503
    refused = server.request("POST", "/models/two/predictions", {"input": {"text": "a"}})
    assert refused.status == 503 and refused.json() == {"detail": "Setup failed: broken is not available"}
    assert "Setup of broken failed: RuntimeError: no weights" in server.log


# --- what is wrong with models.json


def _echo(**changes: Any) -> dict[str, Any]:
    listed = manifest("Echo", default="echo")
    listed["models"]["echo"].update(changes)
    return listed


def _steps(*steps: Any, output: Any = None) -> dict[str, Any]:
    made = pipeline(*steps, output=output or "echo", inputs={"text": TEXT})
    return manifest("Echo", default="main", main=made)


GOOD = step("echo", text="input.text")


@pytest.mark.parametrize(
    "listed, problem",
    [
        ([], "the file must be an object"),
        ({**_echo(), "version": 2}, "version must be 1"),
        ({**_echo(), "models": {}}, "models must not be empty"),
        ({**_echo(), "models": []}, "models must be an object"),
        ({**_echo(), "default": "none"}, "default must be the name"),
        ({**_echo(), "models": {"A b": {}}}, "models.A b is no name"),
        ({**_echo(), "pipelines": {"echo": {}}}, "pipelines.echo has the name of a model"),
        (_echo(run=""), "models.echo.run must name the code"),
        (_echo(concurrency=0), "models.echo.concurrency must be a positive number"),
        (_echo(openapi={"components": {}}), "models.echo.openapi must be an OpenAPI document"),
        (_echo(openapi={"components": {"schemas": {"Input": {"properties": []}}}}), "models.echo.openapi must be an OpenAPI document"),
        (_steps(), "pipelines.main.steps must be a list of steps"),
        (_steps(3), "pipelines.main.steps[0] must be an object"),
        (_steps({"name": "echo"}), "pipelines.main.steps[0].model must be a text"),
        (_steps(step("none")), "pipelines.main.steps[0].model names no model: none"),
        (_steps(GOOD, GOOD), "pipelines.main.steps[1] has the name echo, which is taken"),
        (_steps(step("echo", "item", text="input.text")), "pipelines.main.steps[0] has the name item, which is taken"),
        (_steps(step("echo", text="other")), "pipelines.main.steps[0].input.text refers to other, which is no step before"),
        (_steps(step("echo", text="item")), "pipelines.main.steps[0].input.text refers to item, which is no step before"),
        (_steps(step("echo", text="input.none")), "pipelines.main.steps[0].input.text refers to none, which is no input"),
        (_steps(step("echo", none="input.text")), "pipelines.main.steps[0].input.none is no input of the model echo"),
        (_steps({**GOOD, "input": {"text": {"const": 1, "ref": []}}}), "pipelines.main.steps[0].input.text must have one of"),
        (_steps({**GOOD, "input": {"text": {"join": ref("none")}}}), "pipelines.main.steps[0].input.text refers to none"),
        (_steps({**GOOD, "input": {"text": {"join": 3}}}), "pipelines.main.steps[0].input.text.join must have one of"),
        (_steps({**GOOD, "when": {"ref": [1]}}), "pipelines.main.steps[0].when.ref must be a list of names"),
        (_steps({**GOOD, "optional": 1}), "pipelines.main.steps[0].optional must be true or false"),
        (_steps({"parallel": [GOOD, step("echo", "b", text="echo")]}), "pipelines.main.steps[0].parallel[1].input.text refers to echo"),
        (_steps({"parallel": []}), "pipelines.main.steps[0].parallel must be a list of steps"),
        (_steps(GOOD, output={"list": [ref("none")]}), "pipelines.main.output refers to none"),
    ],
)
def test_a_list_of_models_that_cannot_be_used(listed: Any, problem: str) -> None:
    from launcher.models.manifest import read_manifest

    with pytest.raises(ValueError) as caught:
        read_manifest(listed)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    "listed, env, problem",
    [
        ({**_echo(), "version": 7}, {}, "error: The list of models cannot be used: "),
        (_echo(), {"LAYERWRIGHT_BATCH_SIZE": "2"}, "error: LAYERWRIGHT_BATCH_SIZE is for an image with one model"),
        (_echo(), {"LAYERWRIGHT_MODELS": "none.json"}, "error: The list of models cannot be used: none.json: [Errno 2]"),
        (_echo(), {"LAYERWRIGHT_PYTHON": "/none"}, "error: Cannot start the model's interpreter /none"),
    ],
)
def test_the_server_does_not_start(tmp_path: pathlib.Path, start: Any, listed: Any, env: dict[str, str], problem: str) -> None:
    project = write_project(tmp_path, listed)
    with pytest.raises(NotServing) as caught:
        start(project, STUB="", **env).wait()
    assert problem in str(caught.value) and "exited with 2" in str(caught.value)


# --- steps


def test_steps_follow_each_other_with_logs_metrics_and_context(serve: Serve) -> None:
    server = serve("Echo", **ECHO_TWICE, default="twice")
    body = server.predict(text="a").json()
    assert (body["status"], body["output"]) == ("succeeded", "a!?")
    assert body["logs"] == "[first] echoing a\n[first] half a line\n[second] echoing a!\n[second] half a line\n"
    steps = body["metrics"]["steps"]
    assert list(steps) == ["first", "second"]
    assert steps["second"]["letters"] == 2 and steps["first"]["predict_time"] > 0
    assert body["metrics"]["predict_time"] >= steps["first"]["predict_time"] + steps["second"]["predict_time"]
    request = {"input": {"text": "context"}, "context": {"who": "me"}}
    assert "'who': 'me'" in server.request("POST", "/predictions", request).json()["output"]
    assert server.get("/models/echo/predictions").json()["results"] == []
    listed = server.get("/predictions").json()["results"]
    assert len(listed) == 2 and listed[1]["id"] == body["id"]


def test_an_error_names_the_step(serve: Serve) -> None:
    server = serve("Echo", **ECHO_TWICE, default="twice")
    body = server.predict(text="fail").json()
    assert (body["status"], body["error"]) == ("failed", "Step first (model echo): ValueError: boom")
    assert "[first] ValueError: boom" in body["logs"] and body.get("output") is None
    assert body["metrics"]["steps"]["first"]["error"] == "ValueError: boom"
    died = server.predict(text="die").json()
    assert died["error"].startswith("Step first (model echo): Model process killed by signal 9")
    server.wait()
    assert server.predict(text="a").json()["output"] == "a!?"


def test_values_are_checked_where_they_enter_a_model(serve: Serve) -> None:
    steps = [step("split", text="input.text"), step("echo", text="split.count")]
    missing = [step("split", text="input.text"), step("echo", text="split.other")]
    server = serve(
        "Echo",
        "Split",
        main=pipeline(*steps, output="echo", inputs={"text": TEXT}),
        missing=pipeline(*missing, output="echo", inputs={"text": TEXT}),
    )
    assert server.predict(text="a").json()["error"] == "Step echo (model echo): Input validation error: input.text: Input should be a valid string"
    expected = "Step echo (model echo): $.split.other is not there: $.split is an object with count, nothing, words"
    assert post(server, "missing", text="a")["error"] == expected


def test_optional_steps_conditions_and_nulls(serve: Serve) -> None:
    steps = [
        step("split", text="input.text"),
        step("echo", "maybe", text="input.text", when="input.wanted"),
        step("echo", "other", text="input.text", optional=True),
        step("many", each="split.nothing", text="item"),
    ]
    output = {"object": {"maybe": ref("maybe"), "other": ref("other"), "deep": ref("maybe.some[0].thing"), "list": {"list": [ref("input.wanted"), const(1)]}}}
    server = serve("Echo", "Split", "Many", main=pipeline(*steps, output=output, inputs={"text": TEXT, "wanted": {**TEXT, "default": None}}))
    body = server.predict(text="fail").json()
    assert body["status"] == "succeeded"
    assert body["output"] == {"maybe": None, "other": None, "deep": None, "list": [None, 1]}
    found = body["metrics"]["steps"]
    assert found["maybe"] == {"skipped": True} and found["many"] == {"skipped": True}
    assert found["other"]["error"] == "ValueError: boom"
    wrong = server.predict(text="a", wanted="yes").json()
    assert wrong["metrics"]["steps"]["maybe"]["letters"] == 1
    assert wrong["error"] == "Output of the pipeline: $.maybe.some is not there: $.maybe is a text"


def test_a_default_of_the_pipeline_reaches_every_step(serve: Serve) -> None:
    steps = [step("echo", text="input.text", mark="input.mark"), step("echo", "two", text="input.text", mark="input.mark")]
    output = {"list": [ref("echo"), ref("two")]}
    server = serve("Echo", main=pipeline(*steps, output=output, inputs={"text": TEXT, "mark": {**TEXT, "default": "."}}))
    assert server.predict(text="a").json()["output"] == ["a.", "a."]


def test_an_optional_step_may_die(serve: Serve) -> None:
    steps = [step("echo", text="input.text", optional=True), step("many", text="input.text")]
    output = {"list": [ref("echo"), ref("many")]}
    server = serve("Echo", "Many", main=pipeline(*steps, output=output, inputs={"text": TEXT}))
    body = server.predict(text="die").json()
    assert body["output"] == [None, "DIE"] and "SIGKILL" in body["metrics"]["steps"]["echo"]["error"]
    server.wait()
    assert server.predict(text="a").json()["output"] == ["a!", "A"]


def test_the_build_may_say_how_many_run_at_a_time(tmp_path: pathlib.Path, start: Any) -> None:
    listed = manifest("Many", "Echo", default="many")
    listed["models"]["many"]["concurrency"] = 5
    server = start(write_project(tmp_path, listed), STUB="").wait()
    text = server.get("/metrics").body.decode()
    assert 'layerwright_slots{model="many"} 5' in text and 'layerwright_slots{model="echo"} 1' in text


def test_items_run_together_and_stay_in_order(serve: Serve) -> None:
    steps = [step("split", text="input.text"), step("many", each="split.words", text="item", meets=const(3))]
    server = serve("Split", "Many", main=pipeline(*steps, output="many", inputs={"text": TEXT}))
    body = server.predict(text="c b a d").json()
    assert body["output"] == ["C", "B", "A", "D"]
    assert body["metrics"]["steps"]["many"]["count"] == 4
    empty = server.predict(text="").json()
    assert empty["output"] == [] and empty["metrics"]["steps"]["many"] == {"predict_time": 0.0, "count": 0}
    failed = server.predict(text="a fail").json()
    assert failed["error"] == "Step many (model many): item [1]: ValueError: boom"


def test_steps_at_the_same_time(serve: Serve) -> None:
    both = {"parallel": [step("held", "a", name=const("a")), step("echo", "b", text="input.text")]}
    after = step("echo", "after", text="a", mark="b")
    server = serve("Held", "Echo", main=pipeline(both, after, output="after", inputs={"text": TEXT}))
    server.request("PUT", "/predictions/one", {"input": {"text": "x"}}, ASYNC)
    server.hear("a-began")
    until(lambda: "b" in server.get("/predictions/one").json()["metrics"].get("steps", {}))
    server.tell("a-may-end")
    assert server.wait_for("one")["output"] == "ax!"


def test_a_failure_cancels_what_runs_beside_it(serve: Serve) -> None:
    both = {"parallel": [step("held", "a", name=const("a")), step("echo", "b", text="input.text", when="input.text")]}
    server = serve("Held", "Echo", main=pipeline(both, output={"object": {}}, inputs={"text": TEXT}))
    body = server.predict(text="fail").json()
    assert body["error"] == "Step b (model echo): ValueError: boom"
    # The held model is free again: it takes another one.
    server.tell("two-may-end")
    assert post(server, "held", name="two")["output"] == "two"


def test_pipelines_that_share_a_model_do_not_wait_for_each_other(serve: Serve) -> None:
    both = {"parallel": [step("echo", "a", text="input.text"), step("echo", "b", text="input.text")]}
    rest = [step("split", text="a"), step("many", each="split.words", text="item"), step("echo", "end", text="b")]
    one, two = pipeline(both, *rest, output="end", inputs={"text": TEXT}), pipeline(*rest_of(), output="echo", inputs={"text": TEXT})
    server = serve("Echo", "Split", "Many", main=one, other=two)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: results.append(post(server, ("main", "other")[n % 2], text=f"a b {n}")["status"])) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["succeeded"] * 24


def rest_of() -> list[dict[str, Any]]:
    """Steps in another order than those of the pipeline beside."""
    return [step("split", text="input.text"), step("many", each="split.words", text="item"), step("echo", text="many[0]")]


# --- limits, cancellation, the end


def test_what_was_let_in_waits_for_a_model_whose_queue_is_full(serve: Serve) -> None:
    server = serve("Held", "Echo", env={"LAYERWRIGHT_MAX_QUEUE": "1"}, main=pipeline(step("held", name=const("three")), output="held", inputs={}))
    for id in ("one", "two"):
        server.request("PUT", f"/models/held/predictions/{id}", {"input": {"name": id}}, ASYNC)
    server.hear("one-began")
    assert server.request("POST", "/models/held/predictions", {"input": {}}).status == 429
    assert server.request("PUT", "/predictions/run", {"input": {}}, ASYNC).status == 202
    assert server.request("PUT", "/predictions/waits", {"input": {}}, ASYNC).status == 202
    assert server.request("POST", "/predictions", {"input": {}}).status == 429  # the door of the pipeline itself
    for name in ("one", "two", "three"):
        server.tell(f"{name}-may-end")
    assert server.wait_for("run")["output"] == "three" and server.wait_for("waits")["output"] == "three"


def test_cancel_reaches_the_step_that_runs(serve: Serve, receiver: Any) -> None:
    hook = receiver()
    server = serve("Held", "Echo", main=pipeline(step("held"), step("echo", text="held"), output="echo", inputs={}))
    body = {"input": {}, "webhook": hook.url, "webhook_events_filter": ["start", "completed"]}
    server.request("PUT", "/predictions/one", body, ASYNC)
    server.hear("one-began")
    waiting = server.request("PUT", "/predictions/two", {"input": {}}, ASYNC)
    assert waiting.status == 202
    assert server.request("POST", "/predictions/two/cancel").status == 200
    assert server.request("POST", "/predictions/one/cancel").status == 200
    server.hear("one-canceled")
    assert server.wait_for("one")["status"] == "canceled" and server.wait_for("two")["status"] == "canceled"
    until(lambda: len(hook.bodies) == 2)
    assert [one["status"] for one in hook.bodies] == ["processing", "canceled"]
    server.tell("one-may-end")
    assert server.predict().json()["output"] == "one!"


def test_a_client_that_hangs_up_cancels_what_runs(serve: Serve) -> None:
    server = serve("Held", "Echo", main=pipeline(step("held"), step("echo", text="held"), output="echo", inputs={}))
    for path in ("/predictions", "/models/main/predictions"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", path, '{"id": "left", "input": {}}', {"Content-Type": "application/json"})
        server.hear("one-began")
        connection.close()
        server.hear("one-canceled")
        assert server.wait_for("left")["status"] == "canceled"
        for word in ("one-began", "one-canceled"):
            (server.project / word).unlink()


def test_what_waits_fails_when_a_model_cannot_be_set_up_again(serve: Serve) -> None:
    steps = [step("fragile", text="input.text", optional=True), step("echo", text="input.text", mark=const("?"))]
    server = serve("Fragile", "Echo", main=pipeline(*steps, output="echo", inputs={"text": TEXT}))
    assert server.request("PUT", "/predictions/dies", {"input": {"text": "die"}}, ASYNC).status == 202
    server.hear("restarts")
    assert server.request("PUT", "/predictions/waits", {"input": {"text": "a"}}, ASYNC).status == 202
    server.tell("may-restart")
    assert server.wait_for("waits")["error"] == "Setup failed: fragile is not available"
    assert post(server, "echo", text="a")["output"] == "a!"


def test_the_time_limit_is_for_the_whole(serve: Serve) -> None:
    server = serve("Held", "Echo", env={"LAYERWRIGHT_PREDICT_TIMEOUT": "0.5"}, main=pipeline(step("held"), output="held", inputs={}))
    body = server.predict().json()
    assert (body["status"], body["error"]) == ("failed", "Prediction timed out after 0.5 s, in step held")
    server.hear("one-canceled")
    assert post(server, "echo", text="a")["output"] == "a!"


def test_sigterm_lets_a_pipeline_go_on_through_its_steps(serve: Serve) -> None:
    steps = [step("held"), step("echo", text="held"), step("echo", "end", text="echo")]
    server = serve("Held", "Echo", main=pipeline(*steps, output="end", inputs={}))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.predict()))
    thread.start()
    server.hear("one-began")
    children = server.children
    server.process.terminate()
    until(lambda: server.get("/readyz").status == 503)
    assert server.predict().status == 503
    server.tell("one-may-end")
    thread.join()
    assert answers[0].json()["output"] == "one!!"
    assert server.process.wait(LIMIT) == 0
    assert len(children) == 2 and all(has_ended(pid) for pid in children)


def test_beyond_the_grace_it_fails(serve: Serve) -> None:
    server = serve("Held", env={"LAYERWRIGHT_GRACE_SECONDS": "0.3"}, main=pipeline(step("held"), output="held", inputs={}))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.predict()))
    thread.start()
    server.hear("one-began")
    server.process.terminate()
    thread.join()
    assert answers[0].json()["error"] == "The server was shut down before the prediction ended"
    assert server.process.wait(LIMIT) == 1


# --- streams


WORDS = {"main": pipeline(step("echo", text="input.text"), step("words", text="echo"), output="words", inputs={"text": TEXT}, gives={"type": "array", "items": TEXT, "x-cog-array-type": "iterator"}, streaming=True)}


def test_the_last_step_s_outputs_stream_on(serve: Serve) -> None:
    server = serve("Echo", "Words", **WORDS)
    server.request("PUT", "/predictions/one", {"input": {"text": "a b"}}, ASYNC)
    until(lambda: server.get("/predictions/one").json().get("output") == ["a"])
    server.tell("a-was-seen")
    until(lambda: server.get("/predictions/one").json().get("output") == ["a", "b!"])
    server.tell("b!-was-seen")
    assert server.wait_for("one")["status"] == "succeeded"
    answer = server.request("POST", "/predictions", {"input": {"text": "a b"}}, {"Accept": "text/event-stream"})
    events = parse_events(answer.body)
    assert [data["chunk"] for event, data in events if event == "output"] == ["a", "b!"]
    assert [data["name"] for event, data in events if event == "metric" and data["name"].startswith("steps")] == ["steps.echo", "steps.words"]
    assert events[-1][0] == "completed" and events[-1][1]["output"] == ["a", "b!"]


def test_files_of_the_last_step_are_sent_as_they_come(serve: Serve, temporary: pathlib.Path) -> None:
    gives = {"type": "array", "items": FILE, "x-cog-array-type": "iterator"}
    made = pipeline(step("echo", text="input.text"), step("pages", text="echo"), output="pages", inputs={"text": TEXT}, gives=gives, streaming=True)
    server = serve("Echo", "Pages", env={"TMPDIR": str(temporary)}, main=made)
    server.request("PUT", "/predictions/one", {"input": {"text": "a b"}}, ASYNC)
    until(lambda: server.get("/predictions/one").json().get("output") == [data_url("a")])
    server.tell("a-was-seen")
    server.tell("b!-was-seen")
    assert server.wait_for("one")["output"] == [data_url("a"), data_url("b!")]
    until(lambda: left_files(temporary) == [])


def test_an_iterator_is_a_list_for_the_next_step(serve: Serve) -> None:
    server = serve("Many", "Words", main=pipeline(step("words", text="input.text"), step("many", each="words", text="item"), output="many", inputs={"text": TEXT}))
    for word in ("a", "b"):
        server.tell(f"{word}-was-seen")
    assert server.predict(text="a b").json()["output"] == ["A", "B"]


# --- files


def left_files(folder: pathlib.Path) -> list[str]:
    """What is left below a folder, but for folders that are empty."""
    # Unlike a glob, a walk takes no offence at a folder that is removed meanwhile.
    return sorted(os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names)


@pytest.fixture
def temporary(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    folder.chmod(0o777)  # inside an image the server is a stranger
    return folder


def test_files_go_from_step_to_step_on_disk_and_are_gone_at_the_end(serve: Serve, temporary: pathlib.Path) -> None:
    steps = [step("write", text="input.text"), step("shout", file="write"), step("read", file="shout", other="input.file")]
    made = pipeline(*steps, output="read", inputs={"text": TEXT, "file": {**FILE, "nullable": True}})
    env = {"TMPDIR": str(temporary), "LAYERWRIGHT_UPLOAD_URL": f"http://127.0.0.1:{free_port()}/"}  # which nobody answers
    server = serve("Write", "Shout", "Read", env=env, main=made)
    body = server.predict(text="hello ", file=data_url("and more")).json()
    assert body["output"] == "HELLO and more", body
    paths = [line.split()[-1] for line in body["logs"].splitlines()]
    assert len(paths) == 2 and all(path.startswith(str(temporary)) for path in paths)
    until(lambda: left_files(temporary) == [])
    failed = server.predict(text="hello ", file="data:text/plain;base64,A").json()
    assert failed["status"] == "failed"
    until(lambda: left_files(temporary) == [])


def test_files_of_the_output_are_sent_and_the_model_s_own_are_left_alone(serve: Serve, temporary: pathlib.Path) -> None:
    steps = [step("sample"), step("write", text="input.text"), step("shout", file="sample")]
    output = {"object": {"written": ref("write"), "shout": ref("shout"), "sample": ref("sample")}}
    server = serve("Sample", "Write", "Shout", env={"TMPDIR": str(temporary)}, main=pipeline(*steps, output=output, inputs={"text": TEXT}))
    body = server.predict(text="hello").json()["output"]
    assert body == {"written": data_url("hello"), "shout": data_url("A SAMPLE"), "sample": data_url("a sample")}
    assert (server.project / "sample.txt").read_text() == "a sample"
    until(lambda: left_files(temporary) == [])


def test_files_are_gone_after_a_failure_and_after_a_cancellation(serve: Serve, temporary: pathlib.Path) -> None:
    steps = [step("write", text="input.text"), step("held", name="input.text"), step("read", file="held")]
    server = serve("Write", "Held", "Read", env={"TMPDIR": str(temporary)}, main=pipeline(*steps, output="read", inputs={"text": TEXT}))
    server.tell("one-may-end")
    failed = server.predict(text="one").json()
    assert failed["error"].startswith("Step read (model read): Input validation error: input.file: A file is given as")
    until(lambda: left_files(temporary) == [])
    server.request("PUT", "/predictions/two", {"input": {"text": "two"}}, ASYNC)
    server.hear("two-began")
    assert left_files(temporary) != []
    server.request("POST", "/predictions/two/cancel")
    assert server.wait_for("two")["status"] == "canceled"
    until(lambda: left_files(temporary) == [])


def test_a_text_is_no_way_to_the_server_s_disk(serve: Serve, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    server = serve("Read", "Echo", main=pipeline(step("echo", text="input.text", mark=const("")), step("read", file="echo"), output="read", inputs={"text": TEXT}))
    for text in (str(tmp_path / "secret.txt"), f"file://{tmp_path}/secret.txt", json.dumps({"\0file": str(tmp_path / "secret.txt")})):
        body = server.predict(text=text).json()
        assert body["status"] == "failed" and "secret" not in body.get("output", "")
    fetched = server.predict(text=data_url("fine")).json()
    assert fetched["output"] == "fine"


def test_items_that_are_files(serve: Serve, temporary: pathlib.Path) -> None:
    steps = [step("shout", each="input.files", file="item"), step("read", "all", each="shout", file="item")]
    inputs = {"files": {"type": "array", "items": FILE}}
    output = {"object": {"texts": ref("all"), "files": ref("shout"), "last": ref("input.files[1]")}}
    server = serve("Shout", "Read", env={"TMPDIR": str(temporary)}, main=pipeline(*steps, output=output, inputs=inputs))
    body = server.predict(files=[data_url("a"), data_url("b"), data_url("c")]).json()
    # Each of them is written to the same place.
    assert body["output"] == {"texts": ["A", "B", "C"], "files": [data_url(one) for one in "ABC"], "last": data_url("b")}
    until(lambda: left_files(temporary) == [])


def test_a_file_that_cannot_be_fetched_names_the_step(serve: Serve) -> None:
    steps = [step("echo", text="input.text", mark=const("")), step("read", file="echo")]
    server = serve("Read", "Echo", main=pipeline(*steps, output="read", inputs={"text": TEXT}))
    body = server.predict(text=f"http://127.0.0.1:{free_port()}/none").json()
    assert body["error"].startswith("Step read (model read): Input validation error: file: cannot fetch http://127.0.0.1:")


def test_whatever_happens_each_prediction_ends_and_no_file_is_left(serve: Serve, temporary: pathlib.Path) -> None:
    both = {"parallel": [step("shout", file="write"), step("many", each="split.words", text="item", optional=True)]}
    steps = [step("write", text="input.text"), step("split", text="input.text"), both, step("read", file="shout")]
    made = pipeline(*steps, output="read", inputs={"text": TEXT})
    env = {"TMPDIR": str(temporary), "LAYERWRIGHT_MAX_QUEUE": "1000"}
    server = serve("Write", "Split", "Shout", "Many", "Read", env=env, main=made, turned=pipeline(*reversed_steps(), output="read", inputs={"text": TEXT}))
    ids = [f"n{number}" for number in range(60)]
    chance = random.Random(7)
    for id in ids:
        name = "main" if chance.random() < 0.5 else "turned"
        words = " ".join(chance.choice(["a", "b", "fail"]) for _ in range(4))
        assert server.request("PUT", f"/models/{name}/predictions/{id}", {"input": {"text": words}}, ASYNC).status == 202
        if chance.random() < 0.2:
            server.request("POST", f"/models/{name}/predictions/{id}/cancel")
        if chance.random() < 0.1:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(chance.choice(server.children), signal.SIGKILL)

    def ended(id: str) -> bool:
        found = [server.get(f"/models/{name}/predictions/{id}") for name in ("main", "turned")]
        return any(one.status == 200 and one.json().get("completed_at") for one in found)

    for id in ids:
        until(lambda id=id: ended(id))
    server.wait()
    assert post(server, "main", text="a fail")["output"] == "A FAIL"
    until(lambda: not any(path.name.startswith("prediction-") for path in temporary.iterdir()))

    def numbers() -> list[str]:
        return re.findall(r"layerwright_predictions_(?:running|waiting)\{.* (.*)\n", server.get("/metrics").body.decode())

    until(lambda: numbers() == ["0"] * 14)


def reversed_steps() -> list[dict[str, Any]]:
    """Steps that use the same models in another order."""
    return [
        step("split", text="input.text"),
        step("many", each="split.words", text="item", optional=True),
        step("write", text="input.text"),
        step("read", "early", file="write"),
        step("shout", file="write"),
        step("read", file="shout"),
    ]


# --- what others see


def test_discovery_metrics_and_log_lines_name_what_there_is(serve: Serve) -> None:
    server = serve("Echo", default="twice", **ECHO_TWICE)
    assert server.get("/").json()["models_url"] == "/models"
    server.predict(text="a")
    text = server.get("/metrics").body.decode()
    assert 'layerwright_step_seconds_count{model="twice",step="second"} 1' in text
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert {line["model"] for line in lines if line["logger"] == "layerwright.model"} == {"echo"}
    assert any(line["message"] == "Model echo is ready" for line in lines)


def test_webhooks_tell_of_each_step_s_lines(serve: Serve, receiver: Any) -> None:
    hook = receiver()
    server = serve("Echo", "Held", main=pipeline(step("echo", text="input.text"), step("held"), output="held", inputs={"text": TEXT}))
    server.request("POST", "/predictions", {"input": {"text": "a"}, "webhook": hook.url}, ASYNC)
    server.hear("one-began")
    until(lambda: any(body["logs"].startswith("[echo] echoing a\n") for body in hook.bodies))
    server.tell("one-may-end")
    final = until(lambda: hook.bodies[-1] if hook.bodies[-1]["status"] == "succeeded" else None)
    assert final["output"] == "one" and list(final["metrics"]["steps"]) == ["echo", "held"]


def test_each_step_has_its_spans(serve: Serve, collector: Any) -> None:
    taker = collector()
    server = serve("Echo", "Many", env=taker.env, main=pipeline(step("echo", text="input.text"), step("many", text="echo"), output="many", inputs={"text": TEXT}))
    assert server.predict(text="context").json()["status"] == "succeeded"
    first, second = taker.find("cog.prediction.step", 2)
    assert [span.attributes["layerwright.step.name"] for span in (first, second)] == ["echo", "many"]
    invokes = taker.find("cog.prediction.invoke", 3)
    whole = next(span for span in invokes if span.id == first.parent)
    assert second.parent == whole.id and first.attributes["layerwright.step.model"] == "echo"
    executes = {span.id: span.parent for span in taker.find("cog.prediction.execute", 3)}
    assert {executes[span.parent] for span in invokes if span is not whole} == {first.id, second.id}
    assert sorted(span.attributes["layerwright.model"] for span in taker.find("cog.setup", 2)) == ["echo", "many"]
    assert server.predict(text="fail").json()["status"] == "failed"
    failed = taker.find("cog.prediction.step", 3)[2]
    assert failed.is_error and failed.attributes["error.type"] == "prediction_failed"


@pytest.mark.interop
def test_jobs_of_the_queue_may_name_a_model(serve: Serve, redis_server: Any) -> None:
    redis = redis_server.client

    def submit(id: str, text: str, **beside: Any) -> None:
        redis.xadd("jobs", {"value": json.dumps({"id": id, "input": {"text": text}, **beside})})

    def finished(id: str) -> dict[str, Any]:
        def probe() -> Any:
            found = json.loads(redis.hget(f"jobs:p:{id}", "state") or "{}")
            return found if found.get("completed_at") else None

        return until(probe)

    env = {"LAYERWRIGHT_QUEUE": redis_server.url, "LAYERWRIGHT_QUEUE_NAME": "jobs"}
    server = serve("Echo", "Held", "Many", env=env, default="twice", **ECHO_TWICE)
    for number in range(6):
        submit(f"default-{number}", "a")
        submit(f"many-{number}", "a", model="many")
    submit("unknown", "a", model="none")
    submit("wrong", "a", model=7)
    for number in range(6):
        assert finished(f"default-{number}")["output"] == "a!?"
        done = finished(f"many-{number}")
        assert done["output"] == "A" and done["model"] == "many"
    assert "There is no model none; this worker has echo, held, many, twice" in finished("unknown")["error"]
    assert finished("wrong")["status"] == "failed"
    redis.xadd("jobs", {"value": json.dumps({"id": "held", "model": "held", "input": {}})})
    server.hear("one-began")
    redis.set("jobs:p:held:cancel", "1")
    assert finished("held")["status"] == "canceled"
    submit("dies", "die")
    died = finished("dies")
    assert died["error"].startswith("Step first (model echo): Model process killed by signal 9") and died["deliveries"] == 3
    assert redis.xlen("jobs:dead") == 1
    until(lambda: redis.xlen("jobs") == 0)


# --- pieces of a text


def test_pieces_are_one_text_where_the_next_model_takes_one(serve: Serve, tmp_path: pathlib.Path) -> None:
    steps = [step("words", text="input.text"), {**step("echo"), "input": {"text": {"join": ref("words")}, "mark": const("?")}}]
    server = serve("Words", "Echo", main=pipeline(*steps, output="echo", inputs={"text": TEXT}))
    for word in ("one", "two"):
        for folder in (tmp_path, *(path for path in tmp_path.iterdir() if path.is_dir())):
            (folder / f"{word}-was-seen").touch()
    assert post(server, "main", text="one two")["output"] == "onetwo?"


@pytest.mark.parametrize(
    "pieces, text",
    [(["a", "b", ""], "ab"), ([], ""), (None, None)],
)
def test_joining_pieces(pieces: Any, text: Any) -> None:
    from launcher.pipeline.references import read_value

    assert read_value({"join": {"ref": ["words"]}}, "input").evaluate({"words": pieces}) == text


@pytest.mark.parametrize("pieces", ["ab", ["a", 1], {"a": 1}])
def test_what_is_no_list_of_texts_is_not_joined(pieces: Any) -> None:
    from launcher.pipeline.references import BadReference, read_value

    with pytest.raises(BadReference, match="The pieces are no texts"):
        read_value({"join": {"ref": ["words"]}}, "input").evaluate({"words": pieces})
