"""Server-sent events of a prediction."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import to_json

from ..prediction import Prediction
from ..runs import Runs
from .asgi import Exchange
from .submission import submit

KEEP_ALIVE_SECONDS = 15.0


async def stream_events(exchange: Exchange, engine: Runs, prediction: Prediction, *, owns: bool) -> None:
    """Send events until the prediction ends.

    :param owns: the request made the prediction: submit it now, and cancel it when the reader goes away. Otherwise
        the reader came later: replay what has happened first
    """
    events: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
    capacity = engine.settings.stream_history

    def listen(event: str, data: Any) -> None:
        if events.qsize() >= capacity and event != "completed":
            # A reader this slow would hold the whole output in memory: it is told, and cut off.
            prediction.listeners.remove(listen)
            events.put_nowait(("error", {"detail": "The reader fell behind", "code": "lagged"}))
            events.put_nowait(None)
            return
        if event == "start":
            data = {"id": prediction.id, "status": "processing"}
        elif event == "completed":
            data = prediction.snapshot()
        events.put_nowait((event, data))
        if event == "completed":
            events.put_nowait(None)

    _replay(prediction, listen)
    if not prediction.is_terminal:
        prediction.listeners.append(listen)
    if owns:
        submit(engine, prediction)
    await exchange.start_stream()
    gone = asyncio.ensure_future(_disconnected(exchange))
    try:
        await _write(exchange, events, gone)
    finally:
        gone.cancel()
        if listen in prediction.listeners:
            prediction.listeners.remove(listen)
        if owns and not prediction.is_terminal:
            engine.cancel(prediction.id)


def _replay(prediction: Prediction, listen: Any) -> None:
    if prediction.started_at is not None:
        listen("start", None)
        for text in prediction.logs:
            listen("log", {"data": text, "source": "stdout"})
        if prediction.streamed:
            for index, value in enumerate(prediction.output):
                listen("output", {"chunk": value, "index": index})
    if prediction.is_terminal:
        listen("completed", None)


async def _disconnected(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


async def _write(exchange: Exchange, events: "asyncio.Queue[tuple[str, Any] | None]", gone: Any) -> None:
    while not gone.done():
        taking = asyncio.ensure_future(events.get())
        done, _ = await asyncio.wait([taking, gone], timeout=KEEP_ALIVE_SECONDS, return_when="FIRST_COMPLETED")
        if taking not in done:
            taking.cancel()
            if not done:
                await exchange.chunk(b": keep-alive\n\n")
            continue
        pieces, item = [], taking.result()
        while item is not None:
            pieces.append(format_event(*item))
            if events.empty():
                break
            item = events.get_nowait()
        await exchange.chunk(b"".join(pieces), is_last=item is None)
        if item is None:
            return


def format_event(event: str, data: Any) -> bytes:
    """One event in the wire form of HTML's server-sent events."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), to_json(data, inf_nan_mode="null"))
