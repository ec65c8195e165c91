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
from .process import Reaper
from .schema import Schema, load
from .service import Service
from .settings import Settings, SettingsError
from .tracing import is_asked_for
from .tracing.untraced import NO_TRACER

log = logging.getLogger("layerwright")


def start(settings: Settings) -> int:
    """Start the model first, since its imports take longest, then everything else; serve; give the exit status."""
    if settings.predict is None:
        name, example = ("COG_TRAIN", "train.py:train") if settings.is_training else ("COG_PREDICT", "predict.py:Predictor")
        raise SettingsError(f"{name}_TYPE_STUB is not set: it names the model, as in `{example}`")
    document = _load(settings.schema_path)
    if settings.is_training:
        settings = dataclasses.replace(settings, concurrency=1, batch_size=1)
    schema = Schema(document, "TrainingInput" if settings.is_training else "Input", settings.batch_size > 1)
    engine = Engine(settings, settings.predict, schema, Files(settings), Reaper(), tracer=_tracer())
    try:
        engine.model.spawn()
    except OSError as error:
        raise SettingsError(f"Cannot start the model's interpreter {settings.python}: {error.strerror}") from None

    async def main() -> int:
        # Modules and routes live as long as the process: the collector need not look at them again.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        return await run(Service(settings, engine, document))

    # Plain asyncio: uvloop measured the same through two processes, for 4.5 MB of layer.
    return asyncio.run(main())


async def run(service: Service) -> int:
    """Serve until a signal or ``POST /shutdown``; give the exit status."""
    loop = asyncio.get_running_loop()
    await service.engine.model.attach()
    service.reaper.install()
    for number in (signal.SIGTERM, signal.SIGINT):
        ignored = number == signal.SIGTERM and service.settings.ignore_sigterm
        loop.add_signal_handler(number, (lambda: None) if ignored else service.shut_down)
    service.engine.model.changed.add(lambda: _note_ready(service))
    server, serving = None, None
    if service.settings.serve_http:
        server, sockets = _server(service)
        serving = loop.create_task(server.serve(sockets=sockets))
    if service.settings.redis_urls:
        from .queue import start_workers  # here: redis-py is imported only by those who use it

        service.queues = await start_workers(service)
    await service.stopping.wait()
    log.info("Shutting down")
    engines = [service.engine, *([service.trainer] if service.trainer is not None else [])]
    for engine in engines:
        engine.is_draining = True  # connections that are kept alive go on asking
    grace = service.settings.grace
    started = time.monotonic()
    await asyncio.gather(*(worker.stop(grace) for worker in service.queues))
    grace = max(0.0, grace - (time.monotonic() - started))
    clean = await asyncio.gather(*(engine.stop(grace) for engine in engines))
    await service.webhooks.drain(5)
    await loop.run_in_executor(None, service.tracer.close, 5.0)
    if server is not None and serving is not None:
        server.should_exit = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(serving, 5)
    has_failed = service.engine.model.setup["status"] == "failed"
    return 0 if all(clean) and not has_failed else 1


def _tracer() -> Any:
    if not is_asked_for(os.environ):
        return NO_TRACER
    from .tracing.tracer import make_tracer  # here: it loads TLS and more, which those who do not trace need not

    return make_tracer()


def _server(service: Service) -> tuple[Any, list[socket.socket]]:
    import uvicorn

    from .web.app import App
    from .web.protocol import Protocol

    config = uvicorn.Config(
        App(service),
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
    if service.engine.model.state == "ready" and os.environ.get("KUBERNETES_SERVICE_HOST"):
        # Cog's readiness file; a read-only root or another uid may forbid it, and probes over HTTP do without.
        with contextlib.suppress(OSError):
            os.makedirs("/var/run/cog", exist_ok=True)
            with open("/var/run/cog/ready", "w"):
                pass
    if service.engine.model.state == "failed" and not service.settings.serve_http:
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


def _load(path: str | None) -> dict[str, Any] | None:
    if path is None:
        log.warning("There is no .cog/openapi_schema.json: inputs are not validated\nhint: `layerwright schema --openapi` prints it.")
    try:
        return load(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"The OpenAPI document cannot be read: {path}: {error}") from None
