"""Replicate's client routes below ``/v1``, so that its clients work against a server of one's own."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from pydantic_core import to_json

from .. import COG_VERSION
from ..prediction import Prediction, timestamp
from ..service import Service
from .asgi import Exchange, HTTPError, Router
from .platforms import parse_object
from .predictions import require
from .submission import submit

STARTED = timestamp()


def routes(router: Router, service: Service) -> None:
    """``/v1/predictions``, ``/v1/models/{owner}/{name}`` and what hangs below."""
    engine = service.engine

    def show(exchange: Exchange, prediction: Prediction) -> dict[str, Any]:
        host = exchange.header(b"host") or "localhost"
        base = f"{exchange.header(b'x-forwarded-proto') or 'http'}://{host}/v1/predictions/{prediction.id}"
        empty = {"output": None, "error": None, "started_at": None, "completed_at": None}
        return {
            **empty,
            **prediction.snapshot(with_input=True),
            "version": version_id(service),
            "model": f"local/{service.settings.model_name}",
            "urls": {"get": base, "cancel": f"{base}/cancel", "stream": f"{base}/stream"},
        }

    async def create(exchange: Exchange) -> None:
        message = parse_object(await exchange.body(service.settings.body_limit))
        request = engine.schema.check({key: value for key, value in message.items() if key != "id"})
        prediction = Prediction(request)
        exchange.span.follow(prediction)
        if prediction.webhook is not None:
            service.webhooks.follow(prediction)
        submit(engine, prediction)
        prefer = exchange.header(b"prefer") or ""
        if prefer.startswith("wait"):
            text = prefer.partition("=")[2].strip()
            seconds = min(60.0, float(text)) if text.replace(".", "", 1).isdigit() else 60.0
            await asyncio.wait([prediction.done], timeout=seconds)
        await exchange.json(201, show(exchange, prediction))

    async def get(exchange: Exchange) -> None:
        await exchange.json(200, show(exchange, require(engine, exchange.parameters["id"])))

    async def list_all(exchange: Exchange) -> None:
        results = [show(exchange, prediction) for prediction in engine.all()[:100]]
        await exchange.json(200, {"previous": None, "next": None, "results": results})

    async def cancel(exchange: Exchange) -> None:
        prediction = require(engine, exchange.parameters["id"])
        engine.cancel(prediction.id)
        await exchange.json(200, show(exchange, prediction))

    async def stream(exchange: Exchange) -> None:
        await _stream(exchange, require(engine, exchange.parameters["id"]))

    def version() -> dict[str, Any]:
        return {
            "id": version_id(service),
            "created_at": STARTED,
            "cog_version": COG_VERSION,
            "openapi_schema": service.document or {},
        }

    def check_model(exchange: Exchange) -> None:
        if exchange.parameters["name"] != service.settings.model_name:
            raise HTTPError(404, {"detail": f"There is no model {exchange.parameters['owner']}/{exchange.parameters['name']}"})

    async def model(exchange: Exchange) -> None:
        check_model(exchange)
        owner, name = exchange.parameters["owner"], exchange.parameters["name"]
        facts = {"url": f"http://localhost/{owner}/{name}", "owner": owner, "name": name, "description": None}
        more = {"visibility": "private", "github_url": None, "paper_url": None, "license_url": None, "run_count": 0}
        await exchange.json(200, {**facts, **more, "cover_image_url": None, "default_example": None, "latest_version": version()})

    async def versions(exchange: Exchange) -> None:
        check_model(exchange)
        await exchange.json(200, {"previous": None, "next": None, "results": [version()]})

    async def one_version(exchange: Exchange) -> None:
        check_model(exchange)
        if exchange.parameters["version"] != version_id(service):
            raise HTTPError(404, {"detail": "There is no such version"})
        await exchange.json(200, version())

    async def secret(exchange: Exchange) -> None:
        raise HTTPError(404, {"detail": "The webhook secret is set with LAYERWRIGHT_WEBHOOK_SECRET and is not given out"})

    router.add("POST", "/v1/predictions", create)
    router.add("GET", "/v1/predictions", list_all)
    router.add("GET", "/v1/predictions/{id}", get)
    router.add("POST", "/v1/predictions/{id}/cancel", cancel)
    router.add("GET", "/v1/predictions/{id}/stream", stream)
    router.add("GET", "/v1/webhooks/default/secret", secret)
    router.add("GET", "/v1/models/{owner}/{name}", model)
    router.add("POST", "/v1/models/{owner}/{name}/predictions", create)
    router.add("POST", "/v1/deployments/{owner}/{name}/predictions", create)
    router.add("GET", "/v1/models/{owner}/{name}/versions", versions)
    router.add("GET", "/v1/models/{owner}/{name}/versions/{version}", one_version)


def version_id(service: Service) -> str:
    """64 hex digits that change with the model's interface and reference."""
    import hashlib

    facts = to_json([service.document, service.settings.predict, service.settings.model_name])
    return hashlib.sha256(facts).hexdigest()


async def _stream(exchange: Exchange, prediction: Prediction) -> None:
    """Replicate's events: ``output`` and ``logs`` with bare text, then ``done``."""
    events: asyncio.Queue[bytes | None] = asyncio.Queue()
    numbers = itertools.count()

    def put(event: str, value: Any) -> None:
        text = value if isinstance(value, str) else to_json(value, inf_nan_mode="null").decode()
        lines = "".join(f"data: {line}\n" for line in text.split("\n"))
        # Replicate's Python client drops events without an id.
        events.put_nowait(f"event: {event}\nid: {prediction.id}:{next(numbers)}\n{lines}\n".encode())

    def listen(event: str, data: Any) -> None:
        if event == "output":
            put("output", data["chunk"])
        elif event == "log":
            put("logs", data["data"])
        elif event == "completed":
            if prediction.status == "failed":
                put("error", {"detail": prediction.error})
            if not prediction.streamed and prediction.output is not None:
                put("output", prediction.output)
            reasons = {"failed": {"reason": "error"}, "canceled": {"reason": "canceled"}}
            reason = reasons.get(prediction.status, {})
            put("done", reason)
            events.put_nowait(None)

    for text in prediction.logs:
        listen("log", {"data": text})
    for value in prediction.output if prediction.streamed else ():
        listen("output", {"chunk": value})
    if prediction.is_terminal:
        listen("completed", None)
    else:
        prediction.listeners.append(listen)
    await exchange.start_stream()
    try:
        while (item := await events.get()) is not None:
            await exchange.chunk(item)
        await exchange.chunk(b"", is_last=True)
    finally:
        if listen in prediction.listeners:
            prediction.listeners.remove(listen)
