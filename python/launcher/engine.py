"""The engine: a bounded queue, slots of the model process, cancellation and a short history."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import shutil
import time
from typing import Any, Callable, Coroutine

from pydantic_core import to_json

from .batching import Batching
from .files import FileError
from .histogram import Histogram
from .history import History
from .prediction import Prediction
from .process import ModelProcess, Reaper
from .schema import Schema
from .settings import Settings
from .supervisor import Supervisor
from .tracing.untraced import NO_TRACER

log = logging.getLogger("layerwright.engine")

#: a model that is quicker than this is sent work ahead
AHEAD_SECONDS = 0.002
AHEAD_LENGTH = 16


class QueueFull(Exception):
    """The queue at the door is at its length."""


class NotReady(Exception):
    """There is no model to give work to, and none is coming."""


class Duplicate(Exception):
    """A prediction with this id is running."""


class Engine:
    """Runs predictions in one model process, whose life the supervisor looks after.

    The slot of a prediction is free before its answer is written, and a full set of slots queues instead of
    refusing, so a client that waits for each answer is never turned away.
    """

    def __init__(
        self,
        settings: Settings,
        reference: str,
        schema: Schema,
        files: Any,
        reaper: Reaper,
        *,
        is_lazy: bool = False,
        tracer: Any = NO_TRACER,
    ) -> None:
        self.settings, self.schema, self.files, self.tracer = settings, schema, files, tracer
        self.model = Supervisor(settings, reference, reaper, self, is_lazy=is_lazy, tracer=tracer)
        self.slots = settings.concurrency or 1
        self.queue: collections.deque[Prediction] = collections.deque()
        self.running: dict[str, Prediction] = {}
        #: sent to the model before their turn: its next ones, in order (see ``_send_ahead``)
        self.ahead: collections.deque[Prediction] = collections.deque()
        self._mean_seconds = 1.0
        self._has_raw_output = False
        self.preparing: dict[str, Prediction] = {}
        self.finished = History(settings.history, settings.history_seconds)
        #: called when a slot is free again
        self.freed: set[Callable[[], None]] = set()
        self.counts: collections.Counter[str] = collections.Counter()
        self.seconds = Histogram()
        #: finishes what it has and takes nothing more
        self.is_draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._batching = Batching(settings.batch_size, settings.batch_wait)
        self._is_batch = settings.batch_size > 1

    def submit(self, prediction: Prediction) -> None:
        """Take a prediction.

        :raises QueueFull: when as many wait already as the settings allow
        :raises NotReady: when setup has not succeeded, or the server is shutting down
        :raises Duplicate: when one with this id is running
        """
        if self.is_draining:
            raise NotReady(_WHY["stopped"])
        self.model.wake()
        state = self.model.state
        if state not in ("ready", "restarting"):
            raise NotReady(_WHY.get(state, state))
        if prediction.is_named and (prediction.id in self.running or self._waiting(prediction.id)):
            raise Duplicate(prediction.id)
        has_files = bool(self.schema.file_fields)
        if self.queue or self.ahead or has_files or len(self.running) >= self.slots or state != "ready" or self._is_batch:
            if self.is_full:
                raise QueueFull
        if prediction.is_named:
            self.finished.discard(prediction.id)
        prediction.hidden = self.schema.secret_fields
        if self._is_batch:
            self._batching.note_arrival()
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
        """A prediction that runs, waits, or ended not long ago."""
        return self.running.get(id) or self._waiting(id) or self.finished.find(id)

    def all(self) -> list[Prediction]:
        """What ``find`` finds, newest first."""
        known = [*self.finished.all(), *self.running.values(), *self.preparing.values(), *self.ahead, *self.queue]
        return sorted(known, key=lambda prediction: prediction.created_at, reverse=True)

    def cancel(self, id: str) -> bool:
        """Cancel what waits or runs; False when there is no such prediction.

        A running one is interrupted and given 0.8 s to end by itself; then it counts as canceled, and a model
        process that goes on regardless is replaced after a grace, unless it serves others too.
        """
        prediction = self.find(id)
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
        if self.model.process is not None:
            self.model.process.control(to_json(["cancel", id]))
        loop = asyncio.get_running_loop()
        loop.call_later(0.8, self._cancel_late, prediction)
        loop.call_later(self.settings.cancel_grace, self._cancel_hard, prediction)
        return True

    def cancel_running(self, prediction: Prediction) -> None:
        """Interrupt a run whose result nobody wants any more."""
        if self.model.process is not None and self.running.get(prediction.id) is prediction:
            self.model.process.control(to_json(["cancel", prediction.id]))
            asyncio.get_running_loop().call_later(self.settings.cancel_grace, self._cancel_hard, prediction)

    def _cancel_late(self, prediction: Prediction) -> None:
        if not prediction.is_terminal:
            self._end(prediction, "canceled")

    def _cancel_hard(self, prediction: Prediction) -> None:
        if self.running.get(prediction.id) is prediction and len(self.running) == 1 and self.model.process is not None:
            log.warning("The model ignores a cancellation and is restarted: %s", prediction.id)
            if prediction.canceled_at is not None:
                self._cancel_late(prediction)  # a grace below 0.8 s: the kill below is no failure of the prediction
            self.model.process.kill()

    async def stop(self, grace: float) -> bool:
        """Finish what was taken, within the grace, then end the model process; False when work was cut off."""
        deadline = time.monotonic() + grace
        while not self.is_idle and self.model.state in ("ready", "restarting") and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        is_clean = not (self.running or self.ahead or self.queue or self.preparing)
        self.model.state = "stopped"
        self.on_unavailable("The server was shut down before the prediction ended")
        await self.model.end(is_clean=is_clean)
        for _ in range(100):
            if not self._tasks:
                break
            await asyncio.sleep(0.05)
        return is_clean

    # --- what the supervisor tells

    def on_frame(self, frame: list[Any], has_files: bool) -> None:
        """Take what the model says about its work; the supervisor takes the rest."""
        kind = frame[0]
        if kind == "done":
            if self.model.process is not None:
                self.model.process.drain_pipes()
            self._done(frame, has_files)
        elif kind == "log":
            _, id, name, text = frame
            self._log_line(id, name, text)
            if name == "stderr" and self.model.process is not None:
                self.model.process.note_error(text)
            prediction = self.running.get(id) if id is not None else None
            if prediction is not None and not prediction.is_terminal:
                prediction.add_log(name, text)
            elif id is None:
                self.model.add_setup_log(text)
        elif kind == "output":
            prediction = self.running.get(frame[1])
            if prediction is not None and not prediction.is_terminal:
                self._output(prediction, frame[2], has_files)
        elif kind == "metric":
            prediction = self.running.get(frame[1])
            if prediction is not None and not prediction.is_terminal:
                prediction.add_metric(frame[2], frame[3], frame[4])
        elif kind == "span":
            self.tracer.adopt(frame[1], frame[2])
        else:
            self.model.take(frame)

    def on_text(self, name: str, text: str) -> None:
        """What was written to a file descriptor belongs to the one that runs, if there is just one."""
        if len(self.running) == 1:
            self._has_raw_output = True
            prediction = next(iter(self.running.values()))
            self._log_line(prediction.id, name, text)
            if not prediction.is_terminal:
                prediction.add_log(name, text)
        else:
            self._log_line(None, name, text)
            self.model.add_setup_log(text)

    def on_ready(self) -> None:
        """Give the model what has waited for it."""
        wanted = self.settings.concurrency or self.model.facts["concurrency"]
        self.slots = self.settings.batch_size if self._is_batch else wanted if self.model.facts["is_async"] else 1
        self._pump()

    def on_crash(self, message: str) -> None:
        """Fail what ran; what was only sent ahead waits again."""
        running, self.running = list(self.running.values()), {}
        self._take_back()
        for prediction in running:
            prediction.is_crash = True
            self._end(prediction, "failed", error=message)

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

    # --- inside

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
        try:
            await self.files.fetch(prediction, self.schema)
        except FileError as error:
            self.preparing.pop(prediction.id, None)
            self._end(prediction, "failed", error=f"Input validation error: {error}")
            return
        if self.preparing.pop(prediction.id, None) is None:
            self._clean(prediction)  # cancelled meanwhile
            return
        self.queue.append(prediction)
        self._pump()

    def _pump(self) -> None:
        process = self.model.process
        if self.model.state != "ready" or process is None:
            return
        if self._is_batch:
            return self._pump_batch(process)
        while self.queue and len(self.running) < self.slots:
            prediction = self.queue.popleft()
            self._begin(prediction)
            process.send(to_json(["run", *_job(prediction)]))
        if self.queue and self._mean_seconds < AHEAD_SECONDS and self.slots == 1 and not self._has_raw_output:
            self._send_ahead(process)

    def _send_ahead(self, process: ModelProcess) -> None:
        """Send the model its next ones while it works, when it takes less time than waking the two processes does.

        They still wait: a cancellation reaches them, and when the model dies they are taken back. A model that writes
        to its file descriptors gets none, since only the order of events tells whose such text is.
        """
        while self.queue and len(self.ahead) < AHEAD_LENGTH:
            prediction = self.queue.popleft()
            self.ahead.append(prediction)
            process.send_soon(to_json(["run", *_job(prediction)]))

    def _take_back(self) -> None:
        while self.ahead:
            prediction = self.ahead.pop()
            if prediction.canceled_at is not None:
                self._end(prediction, "canceled")
            else:
                self.queue.appendleft(prediction)

    def _begin(self, prediction: Prediction) -> None:
        if not self.running and self.model.process is not None:
            self.model.process.last_lines.clear()  # they are of other people's predictions
        self.running[prediction.id] = prediction
        prediction.start()
        if self.settings.predict_timeout is not None:
            asyncio.get_running_loop().call_later(self.settings.predict_timeout, self._predict_timeout, prediction)

    def _predict_timeout(self, prediction: Prediction) -> None:
        if prediction.id in self.running and not prediction.is_terminal:
            self._end(prediction, "failed", error=f"Prediction timed out after {self.settings.predict_timeout:g} s")
            self.cancel_running(prediction)

    def _pump_batch(self, process: ModelProcess, is_due: bool = False) -> None:
        """Send the next batch, or wait until it is due."""
        if self.running or not self.queue:
            return
        delay = 0.0 if is_due else self._batching.delay(len(self.queue), self.queue[0].created_at)
        if delay:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(delay, self._batch_due)
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = [self.queue.popleft() for _ in range(min(self._batching.size, len(self.queue)))]
        for prediction in batch:
            self._begin(prediction)
        spans = [prediction.span for prediction in batch]
        for span in spans:
            span.join(spans)
        lead = next((prediction.trace for prediction in batch if prediction.span), None)
        process.send(to_json(["batch", [_job(prediction) for prediction in batch], lead]))

    def _batch_due(self) -> None:
        self._timer = None
        if self.model.process is not None and self.model.state == "ready":
            self._pump_batch(self.model.process, is_due=True)

    def _log_line(self, id: str | None, name: str, text: str) -> None:
        prediction = self.running.get(id) if id is not None else None
        trace_id, span_id = prediction.trace_ids if prediction is not None else (None, None)
        _model_log.info(text, extra={"prediction_id": id, "stream": name, "trace_id": trace_id, "span_id": span_id})

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
            return await self.files.send(value, prediction)
        except FileError as error:
            self._end(prediction, "failed", error=str(error))
            return None

    def _done(self, frame: list[Any], has_files: bool) -> None:
        _, id, status, value, seconds = frame
        prediction = self.running.pop(id, None)
        if self.ahead:
            self._begin(self.ahead.popleft())
        self.model.note_success()
        self._mean_seconds = 0.8 * self._mean_seconds + 0.2 * seconds
        self._pump()  # the next one starts before this one's answer is written
        if prediction is None:
            return
        if has_files or prediction.tail is not None:
            prediction.left_model_at = time.time()
            prediction.tail = self.start(self._done_later(prediction, prediction.tail, status, value, seconds))
        else:
            self._conclude(prediction, status, value, seconds)

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
        if status == "failed":
            self._end(prediction, "failed", error=value, seconds=seconds)
        elif status == "canceled":
            self._end(prediction, "canceled", seconds=seconds)
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
        self.finished.add(prediction)
        for callback in self.freed:
            callback()

    def _clean(self, prediction: Prediction) -> None:
        if prediction.folder is not None:
            folder, prediction.folder = prediction.folder, None
            asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(folder, ignore_errors=True))


_model_log = logging.getLogger("layerwright.model")
_WHY = {
    "starting": "Setup has not finished yet",
    "failed": "Setup failed",
    "stopped": "The server is shutting down",
}


def _job(prediction: Prediction) -> list[Any]:
    values = prediction.input if prediction.sent_input is None else prediction.sent_input
    context = {**(prediction.context or {}), **prediction.trace} if prediction.trace else prediction.context
    return [prediction.id, values, context, prediction.folder]
