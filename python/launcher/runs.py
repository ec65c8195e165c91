"""Runs: what was taken, waits, runs and has ended, and what is common to all who do the work."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import shutil
import time
from typing import Any, Callable, Coroutine

from .files import FileError
from .histogram import Histogram
from .history import History
from .prediction import Prediction
from .schema import Schema
from .settings import Settings

log = logging.getLogger("layerwright.engine")


class QueueFull(Exception):
    """The queue at the door is at its length."""


class NotReady(Exception):
    """There is no model to give work to, and none is coming."""


class Duplicate(Exception):
    """A prediction with this id is running."""


class Runs:
    """A bounded queue, slots, files in and out, and a short history; ``_pump`` and ``_interrupt`` are the work.

    The slot of a prediction is free before its answer is written, and a full set of slots queues instead of
    refusing, so a client that waits for each answer is never turned away.
    """

    #: the model process, or what stands for several
    model: Any
    #: predictions at a time
    slots: int
    #: how long the work of one took lately
    mean_seconds = 1.0
    _is_batch = False

    def __init__(self, settings: Settings, schema: Schema, files: Any, tracer: Any) -> None:
        self.settings, self.schema, self.files, self.tracer = settings, schema, files, tracer
        self.queue: collections.deque[Prediction] = collections.deque()
        self.running: dict[str, Prediction] = {}
        #: sent to the model before their turn: its next ones, in order
        self.ahead: collections.deque[Prediction] = collections.deque()
        self.preparing: dict[str, Prediction] = {}
        self.finished = History(settings.history, settings.history_seconds)
        #: called when a slot is free again
        self.freed: set[Callable[[], None]] = set()
        self.counts: collections.Counter[str] = collections.Counter()
        self.seconds = Histogram()
        #: finishes what it has and takes nothing more
        self.is_draining = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, prediction: Prediction) -> None:
        """Take a prediction.

        :raises QueueFull: when as many wait already as the settings allow
        :raises NotReady: when setup has not succeeded, or the server is shutting down
        :raises Duplicate: when one with this id is running
        """
        is_step = prediction.keeper is not None  # its pipeline was let in: it waits its turn, however many do
        if self.is_draining and not is_step:
            raise NotReady(_WHY["stopped"])
        self.model.wake()
        state = self.model.state
        if state not in ("ready", "restarting"):
            raise NotReady(self._why(state))
        if prediction.is_named and (prediction.id in self.running or self._waiting(prediction.id)):
            raise Duplicate(prediction.id)
        has_files = is_step or bool(self.schema.file_fields)
        if self.queue or self.ahead or has_files or len(self.running) >= self.slots or state != "ready" or self._is_batch:
            if self.is_full and not is_step:
                raise QueueFull
        if prediction.is_named:
            self.finished.discard(prediction.id)
        prediction.hidden = self.schema.secret_fields
        if self._is_batch:
            self._note_arrival()
        if has_files:
            self.preparing[prediction.id] = prediction
            self.start(self._prepare(prediction))
        else:
            self.queue.append(prediction)
            self._pump()

    @property
    def takes_work(self) -> bool:
        """The model is set up, and the server stays."""
        return self.model.state == "ready" and not self.is_draining

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self.queue) + len(self.ahead)

    @property
    def load(self) -> int:
        """How many wait or run that came by themselves: no steps of pipelines, and none that only their files are left of."""
        preparing = (one for one in self.preparing.values() if one.left_model_at is None)
        known = itertools.chain(self.running.values(), self.ahead, self.queue, preparing)
        return sum(one.keeper is None for one in known)

    @property
    def is_full(self) -> bool:
        """The next prediction would be refused."""
        free = max(0, self.slots - len(self.running)) if self.model.state == "ready" else 0
        return len(self.queue) + len(self.ahead) + len(self.preparing) - free >= self.settings.queue_length

    @property
    def is_busy(self) -> bool:
        """Every slot is taken."""
        return len(self.running) >= self.slots

    @property
    def is_idle(self) -> bool:
        """Nothing runs, waits or is being written."""
        return not (self.running or self.ahead or self.queue or self.preparing or self._tasks)

    def find(self, id: str) -> Prediction | None:
        """A prediction that runs, waits, or ended not long ago; steps of pipelines are nobody else's."""
        found = self._known(id)
        return found if found is None or found.keeper is None else None

    def all(self) -> list[Prediction]:
        """What ``find`` finds, newest first."""
        known = [*self.finished.all(), *self.running.values(), *self.preparing.values(), *self.ahead, *self.queue]
        known = [prediction for prediction in known if prediction.keeper is None]
        return sorted(known, key=lambda prediction: prediction.created_at, reverse=True)

    def cancel(self, id: str) -> bool:
        """Cancel what waits or runs; False when there is no such prediction."""
        prediction = self._known(id)
        if prediction is None:
            return False
        if prediction.is_terminal or prediction.canceled_at is not None:
            return True
        prediction.canceled_at = time.time()
        if id not in self.running and prediction not in self.ahead:
            self.preparing.pop(id, None)
            with contextlib.suppress(ValueError):
                self.queue.remove(prediction)
            self._end(prediction, "canceled")
            return True
        self._interrupt(prediction)
        return True

    def withdraw(self, prediction: Prediction) -> bool:
        """Take back one that waits, as if it had never come; False when it has begun, or was sent to the model."""
        if prediction in self.queue:
            self.queue.remove(prediction)
        elif prediction.started_at is None and self.preparing.get(prediction.id) is prediction:
            del self.preparing[prediction.id]
        else:
            return False
        self._clean(prediction)
        return True

    async def stop(self, grace: float) -> bool:
        """Finish what was taken, within the grace, then end the model; False when work was cut off."""
        deadline = time.monotonic() + grace
        while not self.is_idle and self.model.state in ("ready", "restarting") and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        is_clean = not (self.running or self.ahead or self.queue or self.preparing)
        self.model.retire()
        self.on_unavailable("The server was shut down before the prediction ended")
        await self.model.end(is_clean=is_clean)
        for _ in range(100):
            if not self._tasks:
                break
            await asyncio.sleep(0.05)
        return is_clean

    def on_unavailable(self, message: str) -> None:
        """Fail all that runs and waits."""
        waiting = [*self.running.values(), *self.ahead, *self.queue, *self.preparing.values()]
        self.running, self.preparing = {}, {}
        self.ahead.clear()
        self.queue.clear()
        for prediction in waiting:
            self._end(prediction, "failed", error=message)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ``stop`` waits for."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    # --- of those who do the work

    def _pump(self) -> None:
        """Begin what can begin."""
        raise NotImplementedError

    def _interrupt(self, prediction: Prediction) -> None:
        """Interrupt one that runs and was canceled, so that it ends soon."""
        raise NotImplementedError

    def _note_arrival(self) -> None:
        """One more was taken."""

    def _why(self, state: str) -> str:
        """Why nothing is taken in this state of the model."""
        return _WHY.get(state, state)

    # --- inside

    def _known(self, id: str) -> Prediction | None:
        return self.running.get(id) or self._waiting(id) or self.finished.find(id)

    def _waiting(self, id: str) -> Prediction | None:
        if id in self.preparing:
            return self.preparing[id]
        if not self.queue and not self.ahead:
            return None
        waiting = itertools.chain(self.ahead, self.queue)
        return next((prediction for prediction in waiting if prediction.id == id), None)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("Unexpected error", exc_info=task.exception())

    async def _prepare(self, prediction: Prediction) -> None:
        problem: str | None = None
        try:
            await (prediction.keeper or self.files).fetch(prediction, self.schema)
        except FileError as error:
            problem = f"Input validation error: {error}"
        if self.preparing.get(prediction.id) is not prediction:
            self._clean(prediction)  # canceled or withdrawn meanwhile
            return
        del self.preparing[prediction.id]
        if problem is not None:
            self._end(prediction, "failed", error=problem)
            return
        self.queue.append(prediction)
        self._pump()

    def _output(self, prediction: Prediction, value: Any, has_files: bool) -> None:
        if has_files or prediction.tail is not None:
            prediction.tail = self.start(self._output_later(prediction, prediction.tail, value))
        else:
            prediction.add_output(value)

    async def _output_later(self, prediction: Prediction, before: asyncio.Task[None] | None, value: Any) -> None:
        if before is not None:
            await asyncio.wait([before])
        value = await self._send_files(prediction, value)
        if not prediction.is_terminal:
            prediction.add_output(value)

    async def _send_files(self, prediction: Prediction, value: Any) -> Any:
        try:
            return await (prediction.keeper or self.files).send(value, prediction)
        except FileError as error:
            self._end(prediction, "failed", error=str(error))
            return None

    async def _done_later(
        self, prediction: Prediction, before: asyncio.Task[None] | None, status: str, value: Any, seconds: float
    ) -> None:
        self.preparing[prediction.id] = prediction  # findable while its files are being sent
        try:
            if before is not None:
                await asyncio.wait([before])
            value = await self._send_files(prediction, value)
        finally:
            self.preparing.pop(prediction.id, None)
        self._conclude(prediction, status, value, seconds)

    def _conclude(self, prediction: Prediction, status: str, value: Any, seconds: float) -> None:
        if prediction.is_terminal:
            self._clean(prediction)
            return
        if status == "canceled" or prediction.canceled_at is not None:  # however it ended after it was told to
            self._end(prediction, "canceled", seconds=seconds)
        elif status == "failed":
            self._end(prediction, "failed", error=value, seconds=seconds)
        else:
            if status == "streamed":
                prediction.output = prediction.output if prediction.streamed else []
            else:
                prediction.output = value
            self._end(prediction, "succeeded", seconds=seconds)

    def _end(self, prediction: Prediction, status: str, *, error: str | None = None, seconds: float | None = None) -> None:
        prediction.finish(status, error=error, seconds=seconds)
        self.counts[status] += 1
        if prediction.started_at is not None:
            self.seconds.observe(prediction.metrics.get("predict_time", 0.0))
        if prediction.id not in self.running:
            self._clean(prediction)
        if prediction.keeper is None:
            self.finished.add(prediction)
        self._tell_freed()

    def _tell_freed(self) -> None:
        for callback in self.freed:
            callback()

    def _clean(self, prediction: Prediction) -> None:
        if prediction.folder is not None:
            folder, prediction.folder = prediction.folder, None
            asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(folder, ignore_errors=True))


_WHY = {
    "starting": "Setup has not finished yet",
    "failed": "Setup failed",
    "stopped": "The server is shutting down",
}
