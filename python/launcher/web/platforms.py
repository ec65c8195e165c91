"""Contracts of the managed platforms: SageMaker, Vertex AI, Azure ML; one image answers all of them."""

from __future__ import annotations

import base64
from typing import Any

from pydantic_core import from_json, to_json

from ..prediction import Prediction
from ..runs import Runs
from ..schema import InvalidRequest
from ..service import Service
from .asgi import Exchange, HTTPError, Router
from .sse import stream_events
from .submission import is_json, run_to_end


def routes(router: Router, service: Service) -> None:
    """``/ping``, ``/invocations``, ``/score``, and Vertex AI's routes where its variables are set."""
    engine = service.engine

    async def ping(exchange: Exchange) -> None:
        # No user code on this path: SageMaker gives it 2 s, whatever the model does.
        is_well, whole = service.models.take_work, service.models.whole
        await exchange.json(200 if is_well else 503, {"status": "draining" if engine.is_draining else whole.state})

    async def invocations(exchange: Exchange) -> None:
        await invoke(service, engine, exchange)

    async def vertex(exchange: Exchange) -> None:
        await predict_instances(service, engine, exchange)

    router.add("GET", "/ping", ping)
    router.add("POST", "/invocations", invocations)
    router.add("POST", "/score", invocations)  # Azure ML's usual scoring route
    health, predict = service.settings.platform.get("AIP_HEALTH_ROUTE"), service.settings.platform.get("AIP_PREDICT_ROUTE")
    if health:
        router.add("GET", health, ping)
    if predict:
        router.add("POST", predict, vertex)


async def invoke(service: Service, engine: Runs, exchange: Exchange) -> None:
    """SageMaker's route: a Cog request, ``instances``, a bare input object, or one file for the first input."""
    kind = exchange.header(b"content-type") or "application/json"
    body = await exchange.body(service.settings.body_limit)
    if is_json(kind):
        message = parse_object(body)
        if "instances" in message and "instances" not in engine.schema.properties:
            await _instances(service, engine, exchange, message)
            return
        request = message if "input" in message and "input" not in engine.schema.properties else {"input": message}
    else:
        request = {"input": _one_input(engine, kind, body)}
    checked = engine.schema.check(request)
    if "event-stream" in (exchange.header(b"accept") or "") and engine.schema.is_streaming:
        prediction = Prediction(checked)
        exchange.span.follow(prediction)
        await stream_events(exchange, engine, prediction, owns=True)
        return
    prediction = await run_to_end(engine, exchange, checked)
    echo = exchange.header(b"x-amzn-sagemaker-custom-attributes")
    headers = {"x-amzn-sagemaker-custom-attributes": echo[:1024]} if echo else None
    status = 200 if prediction.status == "succeeded" else 500
    await exchange.bytes(status, to_json(prediction.snapshot(), inf_nan_mode="null"), b"application/json", headers)


def _one_input(engine: Runs, kind: str, body: bytes) -> dict[str, Any]:
    """A body that is no JSON goes to the first required input, as text or as a file."""
    names = engine.schema.input.get("required") or list(engine.schema.properties)
    if not names:
        raise HTTPError(415, {"detail": f"This model takes JSON, not {kind}"})
    name = names[0]
    if name in engine.schema.file_fields:
        return {name: f"data:{kind.partition(';')[0]};base64,{base64.b64encode(body).decode()}"}
    if kind.startswith("text/"):
        return {name: body.decode("utf-8", "replace")}
    raise HTTPError(415, {"detail": f"This model takes JSON, not {kind}"})


async def predict_instances(service: Service, engine: Runs, exchange: Exchange) -> None:
    """Vertex AI and KServe V1: ``{"instances": [...], "parameters": {...}}`` to ``{"predictions": [...]}``."""
    await _instances(service, engine, exchange, parse_object(await exchange.body(service.settings.body_limit)))


async def _instances(service: Service, engine: Runs, exchange: Exchange, message: dict[str, Any]) -> None:
    import asyncio

    instances, parameters = message.get("instances"), message.get("parameters") or {}
    if not isinstance(instances, list) or not isinstance(parameters, dict):
        problem = {"loc": ["body", "instances"], "msg": "A list of instances is required", "type": "value_error"}
        raise HTTPError(422, {"detail": [problem]})
    requests, problems = [], []
    for index, instance in enumerate(instances):
        try:
            requests.append(engine.schema.check({"input": _as_input(engine, instance, parameters)}))
        except InvalidRequest as error:
            for problem in error.errors:
                problems.append({**problem, "loc": ["body", "instances", index, *problem["loc"][2:]]})
    if problems:
        raise HTTPError(422, {"detail": problems})
    # One after the other beyond what fits into the queue, so that a large request does not refuse itself.
    results: list[Prediction] = []
    width = max(1, min(engine.slots if engine.slots > 1 else 1, service.settings.queue_length or 1))
    for start in range(0, len(requests), width):
        batch = requests[start : start + width]
        results += await asyncio.gather(*(run_to_end(engine, exchange, request) for request in batch))
    failed = next((one for one in results if one.status != "succeeded"), None)
    if failed is not None:
        await exchange.json(500, {"error": failed.error or failed.status})
        return
    await exchange.json(200, {"predictions": [one.output for one in results]})


def _as_input(engine: Runs, instance: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    if isinstance(instance, dict):
        return {**parameters, **instance}
    names = engine.schema.input.get("required") or list(engine.schema.properties)
    return {**parameters, names[0]: instance} if names else parameters


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object.

    :raises HTTPError: 400 for no JSON, 422 for another JSON value
    """
    try:
        message = from_json(body)
    except ValueError as error:
        raise HTTPError(400, {"detail": f"The body is not JSON: {error}"}) from None
    if not isinstance(message, dict):
        raise HTTPError(422, {"detail": [{"loc": ["body"], "msg": "Input should be an object", "type": "value_error"}]})
    return message
