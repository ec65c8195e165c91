"""Traces that a server exports, as a collector sees them."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from support import FILE, LIMIT, TEXT, Receiver, document, free_port, until
from test_conformance import HELLO, HELLO_INPUTS, data_url
from test_operator import whole_lines

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

MODEL = """
    import os, signal
    from cog import BasePredictor, Path, current_scope

    class Predictor(BasePredictor):
        def predict(self, name: str, image: Path = None) -> str:
            if name == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "fail":
                raise ValueError("the secret is hunter2")
            return current_scope().context.get("traceparent", "none")
"""
DOCUMENT = document({"name": TEXT, "image": {**FILE, "nullable": True}})


def test_the_spans_of_a_request_are_named_as_cog_s_and_belong_together(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    server = start(make_project(MODEL, DOCUMENT), **taker.env, OTEL_SERVICE_NAME="mine", OTEL_RESOURCE_ATTRIBUTES="a=b%20c").wait()
    body = {"input": {"name": "hunter3", "image": data_url("x")}, "context": {"trace.tenant": "blue", "other": "hunter2"}}
    given = server.request("PUT", "/predictions/one", body, SAMPLED).json()["output"]
    request = taker.one("PUT /predictions/{id}")
    assert (request.trace, request.parent, request.kind, request.flags, request.state) == (TRACE, PARENT, 2, 0x301, "vendor=value")
    assert request.attributes == {"http.request.method": "PUT", "http.route": "/predictions/{id}", "http.response.status_code": 200}
    assert request.resource == {"service.name": "mine", "a": "b c", "cog.process.role": "parent"}
    prediction = taker.one("cog.prediction")
    assert prediction.parent == request.id and not prediction.is_error
    expected = {"cog.prediction.id": "one", "cog.prediction.response_mode": "sync", "cog.prediction.status": "succeeded", "caller.tenant": "blue"}
    assert prediction.attributes == expected
    for name in ("validate", "prepare_input", "execute"):
        assert taker.one(f"cog.prediction.{name}").parent == prediction.id
    execute, invoke = taker.one("cog.prediction.execute"), taker.one("cog.prediction.invoke")
    assert invoke.parent == execute.id and invoke.resource["cog.process.role"] == "worker"
    assert prediction.start <= execute.start <= invoke.start <= invoke.end <= prediction.end
    assert given == f"00-{TRACE}-{invoke.id}-01"
    assert {span.trace for span in taker.spans if span.name != "cog.setup" and span.name != "cog.setup.predictor"} == {TRACE}
    assert not any(b"hunter" in raw for raw in taker.raw)


def test_a_failure_is_an_error_with_its_type_and_nothing_of_its_text(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    server = start(make_project(MODEL, DOCUMENT), **taker.env).wait()
    server.predict(name="fail")
    invoke, prediction = taker.one("cog.prediction.invoke"), taker.one("cog.prediction")
    assert invoke.is_error and invoke.events == [("exception", {"exception.type": "ValueError"})]
    assert prediction.is_error and prediction.attributes["error.type"] == "prediction_failed"
    assert server.predict(nam="fail").status == 422
    refused = taker.find("cog.prediction", 2)[1]
    assert refused.is_error and refused.attributes["error.type"] == "validation_error"
    assert taker.find("cog.prediction.validate", 2)[1].is_error
    assert not any(b"hunter" in raw for raw in taker.raw)


def test_a_model_that_dies_ends_its_spans_and_the_next_one_goes_on(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    server = start(make_project(MODEL, DOCUMENT), **taker.env).wait()
    server.predict(name="die")
    assert taker.one("cog.prediction").attributes["error.type"] == "model_process_died"
    server.wait().predict(name="a")
    assert [span.is_error for span in taker.find("cog.prediction.invoke", 2)] == [True, False]
    assert len(taker.find("cog.setup", 2)) == 2


def test_a_setup_that_fails_has_its_exception(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def setup(self):
                raise LookupError("hunter2")

            def predict(self, name: str) -> str:
                return name
    """
    start(make_project(source, document({"name": TEXT})), **taker.env).wait("SETUP_FAILED")
    inner, outer = taker.one("cog.setup.predictor"), taker.one("cog.setup")
    assert inner.parent == outer.id and outer.parent == "" and outer.is_error
    assert inner.events == [("exception", {"exception.type": "LookupError"})]


def test_by_default_only_sampled_callers_are_followed(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    env = {key: value for key, value in taker.env.items() if "SAMPLER" not in key}
    server = start(make_project(MODEL, DOCUMENT), **env).wait()
    assert server.predict(name="a").json()["output"] == "none"
    assert server.predict(UNSAMPLED, name="a").json()["output"] == UNSAMPLED["traceparent"]
    assert server.predict({"traceparent": "nonsense"}, name="a").json()["output"] == "none"
    server.predict(SAMPLED, name="a")
    taker.one("cog.prediction")
    server.kill()
    assert {span.trace for span in taker.spans} == {TRACE}


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("COG_TRACE_ENABLED", "false"), ("OTEL_TRACES_SAMPLER", "sometimes")],
)
def test_off_is_off(make_project: Any, start: Any, collector: Any, name: str, value: str) -> None:
    taker = collector()
    server = start(make_project(MODEL, DOCUMENT), **{**taker.env, name: value}, LOG_FORMAT="console").wait()
    assert server.predict(SAMPLED, name="a").json()["output"] == SAMPLED["traceparent"]
    assert "layerwright_trace" not in server.get("/metrics").body.decode()
    server.kill()
    assert taker.paths == [] and ("Tracing is off: unknown sampler sometimes" in server.log) == (value == "sometimes")


def test_webhooks_and_uploads_carry_spans_of_their_own(make_project: Any, start: Any, collector: Any) -> None:
    taker, hook = collector(), Receiver()
    source = """
        import tempfile
        from cog import BasePredictor, Path

        class Predictor(BasePredictor):
            def predict(self, name: str) -> Path:
                path = Path(tempfile.mkdtemp()) / "out.json"
                path.write_text('{"status": "uploaded"}')
                return path
    """
    server = start(make_project(source, document({"name": TEXT}, FILE)), **taker.env, LAYERWRIGHT_UPLOAD_URL=hook.url).wait()
    body = {"input": {"name": "a"}, "webhook": hook.url + "?token=hunter2", "webhook_events_filter": ["completed"]}
    server.request("POST", "/predictions", body, SAMPLED)
    until(lambda: len(hook.bodies) == 2)
    prediction, upload, webhook = (taker.one(f"cog.prediction{name}") for name in ("", ".upload_output", ".webhook"))
    assert {one["traceparent"] for one in hook.headers} == {f"00-{TRACE}-{span.id}-01" for span in (upload, webhook)}
    assert {one["tracestate"] for one in hook.headers} == {"vendor=value"}
    assert (upload.parent, webhook.parent) == (prediction.id, prediction.id) and upload.kind == webhook.kind == 3
    assert upload.attributes == {"cog.output.mime_type": "application/json", "cog.output.bytes": 22}
    assert webhook.links == [taker.one("cog.prediction.invoke").id] and webhook.attributes["cog.webhook.event"] == "completed"
    assert not any(b"hunter2" in raw for raw in taker.raw)
    hook.server.shutdown()


@pytest.mark.parametrize("propagators", ["b3multi,baggage", "none"])
def test_propagators_say_which_headers_are_read_and_sent_and_the_model_has_w3c_s(
    make_project: Any, start: Any, collector: Any, propagators: str
) -> None:
    taker, hook = collector(), Receiver()
    env = {**taker.env, "OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_PROPAGATORS": propagators}
    if propagators == "none":
        env["OTEL_TRACES_SAMPLER"] = "parentbased_always_on"
    server = start(make_project(MODEL, DOCUMENT), **env).wait()
    body = {"input": {"name": "a"}, "webhook": hook.url, "webhook_events_filter": ["completed"]}
    headers = {"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1", "baggage": "tenant=blue"}
    output = server.request("POST", "/predictions", body, headers).json()["output"]
    request, invoke = taker.one("POST /predictions"), taker.one("cog.prediction.invoke")
    assert output == f"00-{request.trace}-{invoke.id}-01"
    until(lambda: len(hook.headers) == 1)
    webhook = taker.one("cog.prediction.webhook")
    (sent,) = hook.headers
    names = ("traceparent", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "b3", "baggage")
    told = {name: value for name in names if (value := sent.get(name)) is not None}
    if propagators == "none":
        assert (request.trace == TRACE, told) == (False, {})
    else:
        assert (request.trace, request.parent) == (TRACE, PARENT)
        assert told == {"x-b3-traceid": TRACE, "x-b3-spanid": webhook.id, "x-b3-sampled": "1", "baggage": "tenant=blue"}
    hook.server.shutdown()


def test_a_batch_is_one_call_that_its_members_link_to(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    source = """
        from cog import BasePredictor

        class Predictor(BasePredictor):
            def predict(self, name: list[str]) -> list[str]:
                return name
    """
    env = {"LAYERWRIGHT_BATCH_SIZE": "2", "LAYERWRIGHT_BATCH_WAIT_MS": "60000"}
    server = start(make_project(source, document({"name": TEXT})), **taker.env, **env).wait()
    for id in ("one", "two"):
        server.request("PUT", f"/predictions/{id}", {"input": {"name": id}}, {"prefer": "respond-async"})
    executes, (first, second) = taker.find("cog.prediction.execute", 2), taker.find("cog.prediction.invoke", 2)
    assert [span.attributes["cog.batch.size"] for span in executes] == [2, 2]
    assert first.links == [second.id] and second.links == [first.id] and first.trace != second.trace


def test_a_collector_that_is_away_costs_spans_and_nothing_else(make_project: Any, start: Any, collector: Any) -> None:
    env = {**collector().env, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://u:hunter2@127.0.0.1:{free_port()}", "OTEL_BSP_MAX_QUEUE_SIZE": "3"}
    server = start(make_project(MODEL, DOCUMENT), **env, LOG_FORMAT="console").wait()
    for _ in range(5):
        assert server.predict(name="a").json()["status"] == "succeeded"
    until(lambda: 'layerwright_trace_spans_total{result="dropped"}' in server.get("/metrics").body.decode())
    until(lambda: 'result="dropped"} 0' not in server.get("/metrics").body.decode())
    assert 'result="exported"} 0' in server.get("/metrics").body.decode()
    os.kill(server.pid, signal.SIGTERM)
    assert server.process.wait(LIMIT) == 0
    assert server.log.count("Traces cannot be exported") == 1 and "hunter2" not in server.log


def test_spans_are_sent_again_when_the_collector_says_so_and_at_the_end(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector(503)
    env = {**taker.env, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20tok", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    server = start(make_project(HELLO, document(HELLO_INPUTS)), **env, LOG_FORMAT="console").wait()
    server.predict(name="a")
    assert taker.one("cog.prediction") and set(taker.paths) == {"/v1/traces"}
    until(lambda: "Traces are exported again" in server.log)
    assert all(one["authorization"] == "Bearer tok" and one["content-encoding"] == "gzip" for one in taker.headers)
    late = collector()
    server = start(make_project(HELLO, document(HELLO_INPUTS), "late"), **{**late.env, "OTEL_BSP_SCHEDULE_DELAY": "600000"}).wait()
    server.predict(name="a")
    assert late.spans == []
    os.kill(server.pid, signal.SIGTERM)
    server.process.wait(LIMIT)
    assert late.one("cog.prediction")


def test_a_redirect_takes_no_token_elsewhere(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector(*[307] * 100)
    server = start(make_project(HELLO, document(HELLO_INPUTS)), **taker.env, LOG_FORMAT="console").wait()
    server.predict(name="a")
    until(lambda: "Traces cannot be exported" in server.log and "status 307" in server.log)
    assert "/elsewhere" not in taker.paths


@pytest.mark.parametrize(("format", "value"), [("jaeger", f"{TRACE}:{PARENT}:0:1"), ("w3c", SAMPLED["traceparent"])])
def test_a_header_of_the_operator_s_own_names_the_parent(make_project: Any, start: Any, collector: Any, format: str, value: str) -> None:
    taker = collector()
    env = {**taker.env, "OTEL_TRACES_SAMPLER": "parentbased_always_off", "COG_TRACE_HEADER": "X-Trace", "COG_TRACE_HEADER_FORMAT": format}
    start(make_project(MODEL, DOCUMENT), **env).wait().predict({"x-trace": value}, name="a")
    assert (taker.one("POST /predictions").trace, taker.one("POST /predictions").parent) == (TRACE, PARENT)


def test_lines_of_the_log_name_trace_and_span(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    source = MODEL.replace("if name ==", "print('at work')\n            if name ==", 1)
    server = start(make_project(source, DOCUMENT), **taker.env, LAYERWRIGHT_ACCESS_LOG="1").wait()
    body = {"input": {"name": "a"}, "webhook": f"http://127.0.0.1:{free_port()}", "webhook_events_filter": ["start"]}
    server.request("POST", "/predictions", body)
    invoke = taker.one("cog.prediction.invoke")
    parts = ("at work", "POST /predictions", "Webhook to")
    until(lambda: all(whole_lines(server, part) for part in parts))
    for part in parts:
        (line,) = whole_lines(server, part)
        assert line["trace_id"] == invoke.trace and line.get("span_id") in (None, invoke.id)
        assert ("span_id" in line) == (part == "at work")
