"""Discovery, health and the OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import COG_VERSION
from ..runs import Runs
from ..service import Service
from .asgi import Exchange, HTTPError, Router


def routes(router: Router, service: Service) -> None:
    """``/``, ``/health-check``, ``/livez``, ``/readyz``, ``/openapi.json``."""
    engine = service.engine

    async def root(exchange: Exchange) -> None:
        await exchange.json(200, _discovery(service))

    async def health_check(exchange: Exchange) -> None:
        await exchange.json(200, await report(service))

    async def live(exchange: Exchange) -> None:
        await exchange.json(200, {"status": "live"})

    async def ready(exchange: Exchange) -> None:
        if engine.is_draining:
            await exchange.json(503, {"status": "DRAINING"})
            return
        status = await state_of(service.models.whole, engine)
        await exchange.json(200 if status[0] in ("READY", "BUSY") else 503, {"status": status[0]})

    async def openapi(exchange: Exchange) -> None:
        if service.document is None:
            raise HTTPError(503, {"detail": "The image holds no OpenAPI document"})
        await exchange.json(200, service.document)

    router.add("GET", "/", root)
    router.add("GET", "/health-check", health_check)
    router.add("GET", "/openapi.json", openapi)
    for path in ("/livez", "/healthz"):
        router.add("GET", path, live)
    router.add("GET", "/readyz", ready)


def _discovery(service: Service) -> dict[str, Any]:
    urls = {
        "cog_version": COG_VERSION,
        "docs_url": "/docs",
        "healthcheck_url": "/health-check",
        "metrics_url": "/metrics",
        "openapi_url": "/openapi.json",
        "shutdown_url": "/shutdown",
    }
    if service.models.named:
        urls["models_url"] = "/models"
    can_train = service.trainer is not None or service.settings.is_training
    for name in ("predictions", "trainings") if can_train else ("predictions",):
        one = "{prediction_id}" if name == "predictions" else "{training_id}"
        urls[f"{name}_url"] = f"/{name}"
        urls[f"{name}_idempotent_url"] = f"/{name}/{one}"
        urls[f"{name}_cancel_url"] = f"/{name}/{one}/cancel"
    return dict(sorted(urls.items()))


async def state_of(model: Any, engine: Runs) -> tuple[str, str | None]:
    """Cog's health state, and the text of a failing user health check.

    :param model: the supervisor, or what stands for several
    """
    if model.state in ("starting", "restarting"):
        return "STARTING", None
    if model.state == "failed":
        return "SETUP_FAILED", None
    if model.state == "stopped":
        return "DEFUNCT", None
    error = await model.healthcheck()
    if error is not None:
        return "UNHEALTHY", error
    return ("BUSY" if engine.is_busy else "READY"), None


async def report(service: Service) -> dict[str, Any]:
    """The body of ``/health-check``: of all models, each with its own state where there are several."""
    engine, model = service.engine, service.models.whole
    engines = service.models.engines if service.models.named else {}
    # At the same time, so that each model is asked once.
    (status, error), *states = await asyncio.gather(
        state_of(model, engine), *(state_of(one.model, one) for one in engines.values())
    )
    result: dict[str, Any] = {
        "status": status,
        "setup": {**model.setup, "logs": "".join(model.setup_logs)},
        "version": {"cog": COG_VERSION, "python": model.facts.get("python")},
        "queue": {"running": len(engine.running), "waiting": engine.waiting, "restarts": model.restarts},
    }
    if error is not None:
        result["user_healthcheck_error"] = error
    if engines:
        result["models"] = {name: _report_one(one, states[number][0]) for number, (name, one) in enumerate(engines.items())}
    return result


def _report_one(engine: Runs, status: str) -> dict[str, Any]:
    queue = {"running": len(engine.running), "waiting": engine.waiting, "restarts": engine.model.restarts}
    return {"status": status, "setup": engine.model.setup, "queue": queue}
