"""A prediction on behalf of a request: handed to the engine, waited for, and its outcome or refusal as an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import to_json

from ..prediction import Prediction
from ..runs import Duplicate, NotReady, QueueFull, Runs
from ..schema import InvalidRequest
from .asgi import Exchange, HTTPError


async def run_to_end(engine: Runs, exchange: Exchange, request: dict[str, Any]) -> Prediction:
    """Run a checked request for one of the platforms' routes and wait for it."""
    prediction = Prediction({"input": request["input"], "context": request.get("context")}, request.get("id"))
    exchange.span.follow(prediction)
    submit(engine, prediction)
    await wait(exchange, engine, prediction)
    return prediction


def submit(engine: Runs, prediction: Prediction) -> None:
    """Hand a prediction to the engine; its refusals become 503, 429 and 409."""
    try:
        engine.submit(prediction)
    except NotReady as error:
        raise HTTPError(503, {"detail": str(error)}) from None
    except QueueFull:
        retry = max(1, min(60, round(engine.seconds.mean * len(engine.queue) / max(1, engine.slots))))
        message = f"The queue is full: {engine.settings.queue_length} predictions are waiting"
        raise HTTPError(429, {"detail": message}, {"retry-after": str(retry)}) from None
    except Duplicate:
        raise HTTPError(409, {"detail": f"A prediction with this id is running: {prediction.id}"}) from None


async def wait(exchange: Exchange, engine: Runs, prediction: Prediction) -> None:
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
        self._fresh: dict[Prediction, tuple[Exchange, Runs]] = {}
        self._aging: dict[Prediction, tuple[Exchange, Runs]] = {}
        self._watched: dict[Prediction, asyncio.Task[None]] = {}
        self._is_ticking = False

    def add(self, exchange: Exchange, engine: Runs, prediction: Prediction) -> None:
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


async def _hang_up(exchange: Exchange, engine: Runs, prediction: Prediction) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    if not prediction.is_terminal:
        engine.cancel(prediction.id)


_patience = _Patience()


def body_of(prediction: Prediction) -> bytes:
    """The snapshot as JSON; infinities and NaN, which JSON does not have, become null."""
    return to_json(prediction.snapshot(), inf_nan_mode="null")


def refusal_of(error: Exception) -> HTTPError | None:
    """The answer that an error of a request stands for; None for an unexpected one."""
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, InvalidRequest):
        return HTTPError(400 if error.is_syntax else 422, {"detail": error.errors})
    return None


def refuse_unready(engine: Runs) -> None:
    """503 unless the model can take work."""
    if engine.model.state not in ("ready", "restarting"):
        raise HTTPError(503, {"detail": "The model is not ready"})


def is_json(kind: str) -> bool:
    """Whether a content type is JSON's, as Cog sees it."""
    if kind == "application/json":
        return True
    base = kind.partition(";")[0].strip().lower()
    return base == "application/json" or (base.startswith("application/") and base.endswith("+json"))
