"""Cog's routes for predictions and trainings, and reading them back by id."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from ..engine import Duplicate, Engine, NotReady, QueueFull
from ..prediction import Prediction
from ..schema import InvalidRequest
from .asgi import Exchange, Handler, HTTPError, Router
from .sse import stream_events

if TYPE_CHECKING:
    from ..service import Service

_WAIT = re.compile(r"\bwait(?:=(\d+(?:\.\d+)?))?", re.I)


def routes(router: Router, service: "Service") -> None:
    """``/predictions`` and ``/trainings``."""
    add_runs(router, service, "predictions", service.engine)
    add_runs(router, service, "trainings", service.trainer or service.engine)

    async def shutdown(exchange: Exchange) -> None:
        await exchange.json(200, {})
        service.shut_down()

    router.add("POST", "/shutdown", shutdown)


def add_runs(router: Router, service: "Service", name: str, engine: Engine) -> None:
    """The routes of one engine under one name."""
    item = f"/{name}/{{id}}"

    async def list_all(exchange: Exchange) -> None:
        results = [prediction.snapshot() for prediction in engine.all()]
        await exchange.json(200, {"results": results, "next": None, "previous": None})

    async def get(exchange: Exchange) -> None:
        await exchange.json(200, require(engine, exchange.parameters["id"]).snapshot(with_input=True))

    async def cancel(exchange: Exchange) -> None:
        known = engine.cancel(exchange.parameters["id"])
        await exchange.json(200 if known else 404, {})

    async def stream(exchange: Exchange) -> None:
        await stream_events(exchange, engine, require(engine, exchange.parameters["id"]), owns=False)

    create = creator(service, engine)
    router.add("POST", f"/{name}", create)
    router.add("GET", f"/{name}", list_all)
    router.add("PUT", item, create)
    router.add("GET", item, get)
    router.add("POST", f"{item}/cancel", cancel)
    router.add("GET", f"{item}/stream", stream)


def require(engine: Engine, id: str) -> Prediction:
    """The prediction of an id, or 404."""
    prediction = engine.find(id)
    if prediction is None:
        raise HTTPError(404, {"detail": f"There is no prediction {id}"})
    return prediction


def creator(service: "Service", engine: Engine) -> Handler:
    """The handler of POST and PUT."""
    limit = service.settings.body_limit
    schema = engine.schema

    async def create(exchange: Exchange) -> None:
        kind = exchange.header(b"content-type") or ""
        if not is_json(kind):
            raise HTTPError(415, {"detail": "Expected request with `Content-Type: application/json`"})
        request = schema.parse(await exchange.body(limit))
        id = exchange.parameters.get("id")
        if id is not None:
            if request.get("id") not in (None, id):
                message = "prediction ID must match the ID supplied in the URL"
                raise HTTPError(422, {"detail": [{"loc": ["body", "id"], "msg": message, "type": "value_error"}]})
            known = engine.find(id)
            if known is not None:  # idempotent: the first request with this id decides
                await exchange.json(200 if known.is_terminal else 202, known.snapshot(with_input=not known.is_terminal))
                return
        wants_events = "event-stream" in (exchange.header(b"accept") or "")
        if wants_events and not schema.is_streaming:
            raise HTTPError(406, {"detail": "This model does not stream; ask for application/json"})
        prediction = Prediction(request, id)
        prediction.trace = trace_of(exchange)
        if prediction.webhook is not None:
            service.webhooks.follow(prediction)
        if wants_events:
            await stream_events(exchange, engine, prediction, owns=True)
            return
        submit(service, engine, prediction)
        prefer = exchange.header(b"prefer")
        if prefer is None:
            await wait(exchange, engine, prediction)
            await exchange.bytes(200, body_of(prediction), b"application/json")
            return
        await answer_preferred(exchange, prediction, prefer)

    return create


async def answer_preferred(exchange: Exchange, prediction: Prediction, prefer: str) -> None:
    """``respond-async`` answers at once, ``wait=N`` within N seconds (RFC 7240)."""
    waiting = _WAIT.search(prefer)
    seconds = float(waiting[1] or 60) if waiting else 0.0 if "respond-async" in prefer.lower() else None
    if seconds is None:
        await asyncio.wait([prediction.done])
    elif seconds:
        await asyncio.wait([prediction.done], timeout=seconds)
    if seconds == 0.0:
        await exchange.json(202, {"id": prediction.id, "status": "starting"})
    else:
        await exchange.bytes(200 if prediction.is_terminal else 202, body_of(prediction), b"application/json")


def refusal_of(error: Exception) -> HTTPError | None:
    """The answer that an error of a request stands for; None for an unexpected one."""
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, InvalidRequest):
        return HTTPError(400 if error.is_syntax else 422, {"detail": error.errors})
    return None


def submit(service: "Service", engine: Engine, prediction: Prediction) -> None:
    """Hand a prediction to the engine; its refusals become 503, 429 and 409."""
    try:
        engine.submit(prediction)
    except NotReady as error:
        raise HTTPError(503, {"detail": str(error)}) from None
    except QueueFull:
        mean = engine.seconds.sum / max(1, sum(engine.seconds.counts))
        retry = max(1, min(60, round(mean * len(engine.queue) / max(1, engine.slots))))
        message = f"The queue is full: {service.settings.queue_length} predictions are waiting"
        raise HTTPError(429, {"detail": message}, {"retry-after": str(retry)}) from None
    except Duplicate:
        raise HTTPError(409, {"detail": f"A prediction with this id is running: {prediction.id}"}) from None


async def wait(exchange: Exchange, engine: Engine, prediction: Prediction) -> None:
    """Wait for the end; a client that hangs up before it cancels the run."""
    _patience.add(exchange, engine, prediction)
    try:
        await prediction.done
    finally:
        _patience.remove(prediction)


class _Patience:
    """Watches the connections of waiting clients.

    A watcher costs a task and a timer costs as much, so one tick serves all: requests that are still waiting at the
    second tick get a watcher, and quick ones never do.
    """

    tick = 0.05

    def __init__(self) -> None:
        self._fresh: dict[Prediction, tuple[Exchange, Engine]] = {}
        self._aging: dict[Prediction, tuple[Exchange, Engine]] = {}
        self._watched: dict[Prediction, asyncio.Task[None]] = {}
        self._is_ticking = False

    def add(self, exchange: Exchange, engine: Engine, prediction: Prediction) -> None:
        self._fresh[prediction] = exchange, engine
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(self.tick, self._turn)

    def remove(self, prediction: Prediction) -> None:
        if self._fresh.pop(prediction, None) is None and self._aging.pop(prediction, None) is None:
            task = self._watched.pop(prediction, None)
            if task is not None:
                task.cancel()

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        for prediction, (exchange, engine) in self._aging.items():
            self._watched[prediction] = loop.create_task(_hang_up(exchange, engine, prediction))
        self._aging, self._fresh = self._fresh, {}
        self._is_ticking = bool(self._aging)
        if self._is_ticking:
            loop.call_later(self.tick, self._turn)


async def _hang_up(exchange: Exchange, engine: Engine, prediction: Prediction) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    if not prediction.is_terminal:
        engine.cancel(prediction.id)


_patience = _Patience()


def body_of(prediction: Prediction) -> bytes:
    """The snapshot as JSON; infinities and NaN, which JSON does not have, become null."""
    return to_json(prediction.snapshot(), inf_nan_mode="null")


def trace_of(exchange: Exchange) -> dict[str, str]:
    """The W3C trace context of a request."""
    parent = exchange.header(b"traceparent")
    if parent is None:
        return {}
    state = exchange.header(b"tracestate")
    return {"traceparent": parent, **({"tracestate": state} if state else {})}


def is_json(kind: str) -> bool:
    """Whether a content type is JSON's, as Cog sees it."""
    if kind == "application/json":
        return True
    base = kind.partition(";")[0].strip().lower()
    return base == "application/json" or (base.startswith("application/") and base.endswith("+json"))


def refuse_unready(engine: Engine) -> None:
    """503 unless the model can take work."""
    if engine.state not in ("ready", "restarting"):
        raise HTTPError(503, {"detail": "The model is not ready"})


async def run_to_end(service: "Service", engine: Engine, exchange: Exchange, request: dict[str, Any]) -> Prediction:
    """Run a checked request for one of the platforms' routes and wait for it."""
    prediction = Prediction({"input": request["input"], "context": request.get("context")}, request.get("id"))
    prediction.trace = trace_of(exchange)
    submit(service, engine, prediction)
    await wait(exchange, engine, prediction)
    return prediction
