"""Entry: ``python .../layerwright_model/__main__.py CHANNEL_FD CONTROL_FD REFERENCE [batch]``."""

from __future__ import annotations

import os
import sys

# The project comes first, then `cog` and this package, then whatever the user installed.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _here]
sys.path[:0] = [os.getcwd(), os.path.dirname(_here)]

import faulthandler  # noqa: E402
import inspect  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from typing import Any  # noqa: E402

from layerwright_model import streams  # noqa: E402
from layerwright_model.channel import Channel  # noqa: E402
from layerwright_model.loader import Model  # noqa: E402
from layerwright_model.serve import SyncServer  # noqa: E402


def main(channel_fd: int, control_fd: int, reference: str, is_batch: bool) -> None:
    """Load the model, set it up, say so, serve."""
    channel, control = (Channel(socket.socket(fileno=fd)) for fd in (channel_fd, control_fd))
    for fd in (channel_fd, control_fd):
        os.set_inheritable(fd, False)
    # A crash in C code leaves its Python stack in the prediction's log; the C stack, which CPython 3.14 adds, is long
    # enough to push out what the model itself said last.
    faulthandler.enable(file=2, **({"c_stack": False} if sys.version_info >= (3, 14) else {}))
    outputs = streams.install(channel)
    started, attach = time.perf_counter(), None
    try:
        if "LAYERWRIGHT_TRACING" in os.environ:
            from layerwright_model.tracing import open_tracing

            attach = open_tracing(channel)
        model = Model(reference)
    except BaseException as error:
        _give_up(channel, outputs, error)
        return
    if model.is_async:
        import asyncio

        asyncio.run(_serve_async(model, channel, control, outputs, started, attach))
        return
    server = SyncServer(model, channel, control, outputs, is_batch, attach)
    server.watch_control()
    try:
        pending = model.setup()
        if inspect.iscoroutine(pending):
            server.run_coroutine(pending)
    except BaseException as error:
        _give_up(channel, outputs, error)
        return
    _announce(channel, outputs, model, started)
    server.serve()


async def _serve_async(
    model: Model, channel: Channel, control: Channel, outputs: Any, started: float, attach: Any
) -> None:
    from layerwright_model.serve_async import AsyncServer

    server = AsyncServer(model, channel, control, outputs, False, attach)
    server.start()
    try:
        pending = model.setup()
        if inspect.iscoroutine(pending):
            await pending
    except BaseException as error:
        _give_up(channel, outputs, error)
        return
    _announce(channel, outputs, model, started)
    await server.serve()


def _announce(channel: Channel, outputs: Any, model: Model, started: float) -> None:
    for stream in outputs:
        stream.finish(None)
    facts = {
        "handler": model.name,
        "is_async": model.is_async,
        "is_streaming": model.kind in ("generator", "async_generator"),
        "concurrency": model.concurrency,
        "has_healthcheck": model.healthcheck is not None,
        "python": ".".join(map(str, sys.version_info[:3])),
        "setup_seconds": time.perf_counter() - started,
    }
    channel.send(["ready", facts])


def _give_up(channel: Channel, outputs: Any, error: BaseException) -> None:
    for stream in outputs:
        stream.finish(None)
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    channel.send(["setup_failed", trace])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], "batch" in sys.argv[4:])
