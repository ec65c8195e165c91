"""Puts a service to work: start, HTTP server, queue worker, signals, drain."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import signal
import socket
import time
from typing import Any

from .engine import Engine
from .files import Files
from .models.registry import Models, load_models
from .process import Reaper
from .schema import Schema, load
from .service import Service
from .settings import Settings, SettingsError
from .tracing import is_asked_for
from .tracing.untraced import NO_TRACER

log = logging.getLogger("layerwright")


def start(settings: Settings) -> int:
    """Start the model first, since its imports take longest, then everything else; serve; give the exit status."""
    if settings.predict is None and settings.models_path is None:
        name, example = ("COG_TRAIN", "train.py:train") if settings.is_training else ("COG_PREDICT", "predict.py:Predictor")
        raise SettingsError(f"{name}_TYPE_STUB is not set: it names the model, as in `{example}`")
    document = _load(settings)
    if settings.is_training:
        settings = dataclasses.replace(settings, concurrency=1, batch_size=1)
    reaper = Reaper()
    models = _models(settings, document, reaper)
    models.spawn()

    async def main() -> int:
        # Modules and routes live as long as the process: the collector need not look at them again.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        return await run(Service(settings, models, document or models.default.schema.document, reaper))

    # Plain asyncio: uvloop measured the same through two processes, for 4.5 MB of layer.
    return asyncio.run(main())


async def run(service: Service) -> int:
    """Serve until a signal or ``POST /shutdown``; give the exit status."""
    loop = asyncio.get_running_loop()
    await service.models.attach()
    service.reaper.install()
    for number in (signal.SIGTERM, signal.SIGINT):
        ignored = number == signal.SIGTERM and service.settings.ignore_sigterm
        loop.add_signal_handler(number, (lambda: None) if ignored else service.shut_down)
    service.models.whole.changed.add(lambda: _note_ready(service))
    server, serving = None, None
    if service.settings.serve_http:
        server, sockets = _server(service)
        serving = loop.create_task(server.serve(sockets=sockets))
    if service.settings.redis_urls:
        from .queue import start_workers  # here: redis-py is imported only by those who use it

        service.queues = await start_workers(service)
    await service.stopping.wait()
    log.info("Shutting down")
    trainers = [service.trainer] if service.trainer is not None else []
    service.models.drain()
    for trainer in trainers:
        trainer.is_draining = True
    grace = service.settings.grace
    started = time.monotonic()
    await asyncio.gather(*(worker.stop(grace) for worker in service.queues))
    grace = max(0.0, grace - (time.monotonic() - started))
    clean = await asyncio.gather(service.models.stop(grace), *(trainer.stop(grace) for trainer in trainers))
    await service.webhooks.drain(5)
    await loop.run_in_executor(None, service.tracer.close, 5.0)
    if server is not None and serving is not None:
        server.should_exit = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(serving, 5)
    has_failed = service.models.whole.setup["status"] == "failed"
    return 0 if all(clean) and not has_failed else 1


def _models(settings: Settings, document: dict[str, Any] | None, reaper: Reaper) -> Models:
    files, tracer = Files(settings), _tracer()
    if settings.models_path is not None:
        return load_models(settings, files, reaper, tracer)
    schema = Schema(document, "TrainingInput" if settings.is_training else "Input", settings.batch_size > 1)
    return Models.of_one(Engine(settings, str(settings.predict), schema, files, reaper, tracer=tracer))


def _tracer() -> Any:
    if not is_asked_for(os.environ):
        return NO_TRACER
    from .tracing.tracer import make_tracer  # here: it loads TLS and more, which those who do not trace need not

    return make_tracer()


def _server(service: Service) -> tuple[Any, list[socket.socket]]:
    import uvicorn

    from .web.app import App
    from .web.protocol import Protocol

    version = service.settings.model_version
    config = uvicorn.Config(
        App(service),
        headers=[] if version is None else [("x-model-version", version)],
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )
    server = uvicorn.Server(config)
    # Signals are ours: a drain finishes predictions before connections are closed.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    return server, open_sockets(service.settings)


def _note_ready(service: Service) -> None:
    if service.models.whole.state == "ready" and os.environ.get("KUBERNETES_SERVICE_HOST"):
        # Cog's readiness file; a read-only root or another uid may forbid it, and probes over HTTP do without.
        with contextlib.suppress(OSError):
            os.makedirs("/var/run/cog", exist_ok=True)
            with open("/var/run/cog/ready", "w"):
                pass
    if service.models.whole.state == "failed" and not service.settings.serve_http:
        service.shut_down()  # nobody could ask why; the orchestrator sees the exit status


def open_sockets(settings: Settings) -> list[socket.socket]:
    """Listening sockets: the platform's port must be had, an extra one only when it is free."""
    sockets = []
    for port in (*settings.ports, *settings.extra_ports):
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        # asyncio turns Nagle's algorithm off only where it sees the protocol's number.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, port))
        except OSError as error:
            sock.close()
            if port in settings.ports:
                raise SettingsError(f"Cannot listen on port {port}: {error.strerror}") from None
            continue
        sock.listen(2048)
        sockets.append(sock)
    return sockets


def _load(settings: Settings) -> dict[str, Any] | None:
    path = settings.schema_path
    if path is None and settings.models_path is None:
        log.warning("There is no .cog/openapi_schema.json: inputs are not validated\nhint: `layerwright schema --openapi` prints it.")
    try:
        return load(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"The OpenAPI document cannot be read: {path}: {error}") from None
