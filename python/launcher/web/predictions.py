"""Cog's routes for predictions and trainings, and reading them back by id."""

from __future__ import annotations

import asyncio
import re

from ..prediction import Prediction
from ..runs import Runs
from ..service import Service
from .asgi import Exchange, Handler, HTTPError, Router
from .sse import stream_events
from .submission import body_of, is_json, submit, wait

_WAIT = re.compile(r"\bwait(?:=(\d+(?:\.\d+)?))?", re.I)


def routes(router: Router, service: Service) -> None:
    """``/predictions`` and ``/trainings``."""
    add_runs(router, service, "predictions", service.engine)
    add_runs(router, service, "trainings", service.trainer or service.engine)

    async def shutdown(exchange: Exchange) -> None:
        await exchange.json(200, {})
        service.shut_down()

    router.add("POST", "/shutdown", shutdown)


def add_runs(router: Router, service: Service, name: str, engine: Runs) -> None:
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


def require(engine: Runs, id: str) -> Prediction:
    """The prediction of an id, or 404."""
    prediction = engine.find(id)
    if prediction is None:
        raise HTTPError(404, {"detail": f"There is no prediction {id}"})
    return prediction


def creator(service: Service, engine: Runs) -> Handler:
    """The handler of POST and PUT."""
    limit = service.settings.body_limit
    schema = engine.schema

    async def create(exchange: Exchange) -> None:
        kind = exchange.header(b"content-type")
        body = await exchange.body(limit) if kind is None or is_json(kind) else None
        if body is None or (kind is None and body):
            raise HTTPError(415, {"detail": "Expected request with `Content-Type: application/json`"})
        request = schema.parse(b"{}" if kind is None else body)  # no body at all is a request without inputs
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
        exchange.span.follow(prediction)
        if prediction.webhook is not None:
            service.webhooks.follow(prediction)
        if wants_events:
            await stream_events(exchange, engine, prediction, owns=True)
            return
        submit(engine, prediction)
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
