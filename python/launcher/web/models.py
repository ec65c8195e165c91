"""Models and pipelines by name, where an image has several: ``/models`` as SageMaker's multi-model endpoints have it."""

from __future__ import annotations

import asyncio
from typing import Any

from ..runs import Runs
from ..service import Service
from .asgi import Exchange, HTTPError, Router
from .health import state_of
from .platforms import invoke
from .predictions import add_runs


def routes(router: Router, service: Service) -> None:
    """``/models`` and what hangs below; nothing where there is one model."""
    models = service.models
    if not models.named:
        return

    async def list_all(exchange: Exchange) -> None:
        # At the same time, so that a model of several pipelines is asked for its health once.
        described = await asyncio.gather(*(_describe(service, name) for name in models.named))
        await exchange.json(200, {"models": described})

    async def unknown(exchange: Exchange) -> None:
        known = ", ".join(models.named)
        raise HTTPError(404, {"detail": f"There is no model {exchange.parameters['model']}; this server has {known}"})

    router.add("GET", "/models", list_all)
    for name, runs in models.named.items():
        _add_one(router, service, name, runs)
    for method in ("GET", "POST", "PUT"):
        for path in ("", "/openapi.json", "/invoke", "/predictions", "/predictions/{id}", "/predictions/{id}/cancel"):
            router.add(method, f"/models/{{model}}{path}", unknown)


def _add_one(router: Router, service: Service, name: str, runs: Runs) -> None:
    base = f"/models/{name}"

    async def get(exchange: Exchange) -> None:
        setup = {**runs.model.setup, "logs": "".join(runs.model.setup_logs)}
        await exchange.json(200, {**await _describe(service, name), "setup": setup})

    async def document(exchange: Exchange) -> None:
        await exchange.json(200, runs.schema.document)

    async def invocations(exchange: Exchange) -> None:
        await invoke(service, runs, exchange)

    router.add("GET", base, get)
    router.add("GET", f"{base}/openapi.json", document)
    router.add("POST", f"{base}/invoke", invocations)
    add_runs(router, service, f"models/{name}/predictions", runs)


async def _describe(service: Service, name: str) -> dict[str, Any]:
    runs = service.models.named[name]
    status, _ = await state_of(runs.model, runs)
    kind = "pipeline" if name in service.models.pipelines else "model"
    return {"modelName": name, "modelUrl": f"/models/{name}", "kind": kind, "status": status}
