"""Traces beside Cog's server, with OpenTelemetry's own packages in the model, and through the queue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from collector import Seen
from support import COG_IMAGE, FILE, IMAGE, NUMBER, TEXT, Receiver, document, until

pytestmark = pytest.mark.interop

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
#: what Cog's images have, where tracing is asked for in cog.yaml
CONFIGURED = {"COG_TRACE_CONFIGURED": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}

MODEL = """
    import pathlib, tempfile
    from cog import BasePredictor, Path
    from opentelemetry import trace

    class Predictor(BasePredictor):
        def predict(self, name: str) -> Path:
            with trace.get_tracer("mine").start_as_current_span("model.work"):
                if name == "fail":
                    raise ValueError("boom")
            path = pathlib.Path(tempfile.mkdtemp()) / "output.json"
            path.write_text('{"status": "uploaded"}')
            return Path(str(path))
"""


def tree(spans: list[Seen]) -> set[tuple[str, str, str, int]]:
    """Each span with the one above it, its process and its kind."""
    names = {span.id: span.name for span in spans}
    return {(span.name, names.get(span.parent, ""), span.resource["cog.process.role"], span.kind) for span in spans}


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
def test_both_servers_make_the_same_tree(make_project: Any, start: Any, collector: Any, kind: str) -> None:
    if kind == "cog" and COG_IMAGE is not None:
        pytest.skip("Cog's image has no OpenTelemetry")
    taker, uploads = collector(), Receiver()
    project = make_project(MODEL, document({"name": TEXT}, FILE))
    arguments = ("--upload-url", uploads.url + "/")
    server = start(project, kind, arguments, **{**taker.env, **CONFIGURED}, OTEL_RESOURCE_ATTRIBUTES="k=v").wait()
    context = {"trace.tenant": "blue", "other": "not exported"}
    server.request("PUT", "/predictions/one", {"input": {"name": "a"}, "context": context}, SAMPLED)
    taker.one("cog.prediction.upload_output")
    server.wait().request("PUT", "/predictions/two", {"input": {"name": "fail"}})
    requests = taker.find("PUT /predictions/{id}", 2)
    expected_tree = {
        ("cog.setup", "", "parent", 1),
        ("cog.setup.predictor", "cog.setup", "worker", 1),
        ("PUT /predictions/{id}", "", "parent", 2),
        ("cog.prediction", "PUT /predictions/{id}", "parent", 1),
        ("cog.prediction.validate", "cog.prediction", "parent", 1),
        ("cog.prediction.execute", "cog.prediction", "worker", 1),
        ("cog.prediction.invoke", "cog.prediction.execute", "worker", 1),
        ("model.work", "cog.prediction.invoke", "worker", 1),
        ("cog.prediction.upload_output", "cog.prediction", "parent", 3),
    }
    until(lambda: expected_tree <= tree(list(taker.spans)))
    one, two = taker.find("cog.prediction", 2)
    assert (one.trace, requests[0].parent, one.state) == (TRACE, PARENT, "vendor=value") and two.trace != TRACE
    expected = {"cog.prediction.id": "one", "cog.prediction.response_mode": "sync", "cog.prediction.status": "succeeded", "caller.tenant": "blue"}
    assert expected.items() <= one.attributes.items() and "other" not in str(one.attributes)
    assert (two.is_error, two.attributes["cog.prediction.status"], two.attributes["error.type"]) == (True, "failed", "prediction_failed")
    assert {"http.request.method": "PUT", "http.route": "/predictions/{id}"}.items() <= requests[0].attributes.items()
    assert {"service.name": "cog", "k": "v"}.items() <= one.resource.items()
    uploads.server.shutdown()


STREAMING = """
    from cog import BasePredictor, ConcatenateIterator, streaming

    class Predictor(BasePredictor):
        @streaming
        def predict(self, name: str) -> ConcatenateIterator[str]:
            yield from "abc"
"""
PIECES = {"type": "array", "items": TEXT, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
def test_both_servers_say_how_a_prediction_is_answered(make_project: Any, start: Any, collector: Any, kind: str) -> None:
    if kind == "cog" and COG_IMAGE is not None:
        pytest.skip("Cog's image has no OpenTelemetry")
    taker = collector()
    project = make_project(STREAMING, document({"name": TEXT}, PIECES, streaming=True))
    server = start(project, kind, **{**taker.env, **CONFIGURED}).wait()
    body = {"input": {"name": "a"}}
    for number, header in enumerate([{"accept": "text/event-stream"}, {"prefer": "respond-async"}, {}], 1):
        server.wait().request("POST", "/predictions", body, header)
        taker.find("cog.prediction.invoke", number)
    modes = [span.attributes["cog.prediction.response_mode"] for span in taker.find("cog.prediction", 3)]
    assert modes == ["sse", "async", "sync"]
    server.wait().request("PUT", "/trainings/one", body)
    request, training = taker.one("PUT /trainings/{id}"), taker.one("cog.train")
    assert training.parent == request.id and training.attributes["cog.prediction.id"] == "one"


OWN_SPANS = """
    import os, signal
    from cog import BasePredictor, current_scope
    from opentelemetry import trace

    tracer = trace.get_tracer("mine")

    class Predictor(BasePredictor):
        def setup(self):
            with tracer.start_as_current_span("load"):
                pass

        def predict(self, name: str) -> str:
            with tracer.start_as_current_span("outer", attributes={"n": 1, "list": ["a", "b"], "on": True, "f": 0.5}) as span:
                span.add_event("half", {"k": "v"})
                with tracer.start_as_current_span("inner", kind=trace.SpanKind.CLIENT):
                    pass
            if name == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            current = trace.get_current_span().get_span_context()
            return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"
"""


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
@pytest.mark.parametrize("is_async", [False, True])
def test_the_model_s_spans_lie_below_its_call(make_project: Any, start: Any, collector: Any, is_async: bool) -> None:
    taker = collector()
    source = OWN_SPANS.replace("def predict", "async def predict") if is_async else OWN_SPANS
    server = start(make_project(source, document({"name": TEXT})), **{**taker.env, **CONFIGURED}).wait()
    given = server.predict(name="a").json()["output"]
    invoke, outer, inner = (taker.one(name) for name in ("cog.prediction.invoke", "outer", "inner"))
    assert given == f"00-{invoke.trace}-{invoke.id}-01"
    assert (outer.parent, inner.parent, outer.trace, outer.scope, inner.kind) == (invoke.id, outer.id, invoke.trace, "mine", 3)
    assert outer.attributes == {"n": 1, "list": ["a", "b"], "on": True, "f": 0.5} and outer.events == [("half", {"k": "v"})]
    assert taker.one("load").parent == taker.one("cog.setup.predictor").id
    server.predict(name="die")
    assert len(taker.find("outer", 2)) == 2  # a span that had ended outlives the process


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
def test_without_being_asked_the_model_has_the_context_alone(make_project: Any, start: Any, collector: Any) -> None:
    taker = collector()
    server = start(make_project(OWN_SPANS, document({"name": TEXT})), **taker.env).wait()
    given = server.predict(name="a").json()["output"]
    invoke = taker.one("cog.prediction.invoke")
    assert given == f"00-{invoke.trace}-{invoke.id}-01"
    server.kill()
    assert not {"outer", "inner", "load"} & {span.name for span in taker.spans}


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
def test_cog_s_telemetry_file_makes_the_provider(make_project: Any, start: Any, collector: Any) -> None:
    telemetry = """
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

        def create_tracer_provider():
            provider = TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
            return provider

        def configure_instrumentation():
            print("instrumented")
    """
    taker = collector()
    project = make_project(OWN_SPANS, document({"name": TEXT}), telemetry__py=telemetry)
    env = {**taker.env, **CONFIGURED, "COG_OBSERVABILITY_CONFIG": str(project / "telemetry.py"), "LOG_FORMAT": "console"}
    server = start(project, **env).wait()
    server.predict(name="a")
    until(lambda: "instrumented" in server.log and '"name": "outer"' in server.log)
    (project / "telemetry.py").write_text("create_tracer_provider = None")
    broken = start(project, **env).wait("SETUP_FAILED")
    assert "must define create_tracer_provider()" in broken.get("/health-check").json()["setup"]["logs"]


@pytest.mark.skipif(IMAGE is not None, reason="the image's model has no OpenTelemetry")
def test_a_batch_s_spans_lie_below_the_first_that_is_recorded(make_project: Any, start: Any, collector: Any) -> None:
    source = """
        from cog import BasePredictor
        from opentelemetry import trace

        class Predictor(BasePredictor):
            def predict(self, name: list[str]) -> list[str]:
                with trace.get_tracer("mine").start_as_current_span("both"):
                    return name
    """
    taker = collector()
    env = {**taker.env, **CONFIGURED, "OTEL_TRACES_SAMPLER": "parentbased_always_off", "LAYERWRIGHT_BATCH_SIZE": "2"}
    server = start(make_project(source, document({"name": TEXT})), **env, LAYERWRIGHT_BATCH_WAIT_MS="60000").wait()
    server.request("POST", "/predictions", {"input": {"name": "a"}}, {"prefer": "respond-async"})
    server.predict(SAMPLED, name="b")
    assert taker.one("both").parent == taker.one("cog.prediction.invoke").id and taker.one("both").trace == TRACE


QUEUED = """
    import os, pathlib
    from cog import BasePredictor

    class Predictor(BasePredictor):
        def predict(self, name: str, seconds: float = 0) -> str:
            if name == "crash-once" and not pathlib.Path("crashed").exists():
                pathlib.Path("crashed").touch()
                os._exit(7)
            return name
"""


def test_a_job_s_spans_continue_its_message(make_project: Any, start: Any, collector: Any, redis_server: Any) -> None:
    taker = collector()
    project = make_project(QUEUED, document({"name": TEXT, "seconds": {**NUMBER, "default": 0}}))
    env = {"LAYERWRIGHT_QUEUE": redis_server.url, "LAYERWRIGHT_QUEUE_NAME": "jobs", "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    message = {"id": "one", "input": {"name": "crash-once"}, **SAMPLED}
    entry = redis_server.client.xadd("jobs", {"value": json.dumps(message)})
    server = start(project, **{**taker.env, **env}).wait()
    first, second = taker.find("process jobs", 2)
    expected = {"messaging.system": "redis", "messaging.destination.name": "jobs", "messaging.message.id": entry}
    assert expected.items() <= first.attributes.items() and first.kind == 5
    assert [span.attributes["cog.queue.deliveries"] for span in (first, second)] == [1, 2]
    assert {(span.trace, span.parent) for span in (first, second)} == {(TRACE, PARENT)}
    failed, done = taker.find("cog.prediction", 2)
    assert (failed.parent, done.parent) == (first.id, second.id)
    assert failed.attributes["error.type"] == "model_process_died" and done.attributes["cog.prediction.response_mode"] == "queue"
    waited = taker.find("cog.queue.wait", 1)[0]
    assert waited.parent == first.id and waited.start // 1_000_000 == int(entry.split("-")[0])
    redis_server.client.xadd("jobs", {"value": json.dumps({"id": "bad", "input": {}, **SAMPLED})})
    assert taker.find("cog.prediction", 3)[2].attributes["error.type"] == "validation_error"
    assert server.get("/metrics").status == 200
