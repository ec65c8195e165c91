"""The engine: a bounded queue, slots of the model process, cancellation, restarts and a short history."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import shutil
import time
from typing import Any, Callable

from pydantic_core import to_json

from .batching import Batching
from .files import FileError
from .hints import hint_for
from .histogram import Histogram
from .history import History
from .prediction import Prediction, timestamp
from .process import ModelProcess, Reaper
from .schema import Schema
from .settings import Settings

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
    """Runs predictions in one model process.

    The slot of a prediction is free before its answer is written, and a full set of slots queues instead of
    refusing, so a client that waits for each answer is never turned away.
    """

    def __init__(
        self, settings: Settings, reference: str, schema: Schema, files: Any, reaper: Reaper, *, is_lazy: bool = False
    ) -> None:
        self.settings, self.reference, self.schema, self.files = settings, reference, schema, files
        self.reaper = reaper
        self.process: ModelProcess | None = None
        #: starting, ready, failed (setup), restarting, stopped; lazy: started by the first submission
        self.state = "lazy" if is_lazy else "starting"
        self.is_lazy = is_lazy
        self.was_ready = False
        self.setup: dict[str, Any] = {"started_at": timestamp(), "status": "starting"}
        self.setup_logs: list[str] = []
        self.facts: dict[str, Any] = {}
        self.slots = settings.concurrency or 1
        self.queue: collections.deque[Prediction] = collections.deque()
        self.running: dict[str, Prediction] = {}
        #: sent to the model before their turn: its next ones, in order (see ``_send_ahead``)
        self.ahead: collections.deque[Prediction] = collections.deque()
        self._mean_seconds = 1.0
        self._has_raw_output = False
        self.preparing: dict[str, Prediction] = {}
        self.finished = History(settings.history, settings.history_seconds)
        #: called when the state changes, and when a slot is free again
        self.changed: set[Callable[[], None]] = set()
        self.freed: set[Callable[[], None]] = set()
        self.counts: collections.Counter[str] = collections.Counter()
        self.seconds = Histogram()
        self.restarts = 0
        #: finishes what it has and takes nothing more
        self.is_draining = False
        self._failures = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._health: dict[int, asyncio.Future[str | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._batching = Batching(settings.batch_size, settings.batch_wait)
        self._is_batch = settings.batch_size > 1

    # --- the life of the model process

    def spawn(self) -> ModelProcess:
        """Start the child; usable before there is a loop."""
        self.process = ModelProcess(
            self.settings.python, self.settings.project, self.reference, is_batch=self.settings.batch_size > 1
        )
        return self.process

    async def attach(self) -> None:
        """Listen to the child that ``spawn`` started; before the first turn of the loop may collect it."""
        await self._adopt()

    def _adopt(self) -> Any:
        process = self.process
        assert process is not None
        process.on_frame, process.on_text, process.on_exit = self._frame, self._text, self._exited
        self.reaper.watch(process.pid, process.exited)
        if self.settings.setup_timeout is not None:
            asyncio.get_running_loop().call_later(self.settings.setup_timeout, self._setup_timeout, process)
        return process.attach()

    def _setup_timeout(self, process: ModelProcess) -> None:
        if process is self.process and self.state in ("starting", "restarting") and process.is_alive:
            self._setup_failed(f"Setup timed out after {self.settings.setup_timeout:g} seconds\n")
            process.kill()

    def _setup_failed(self, text: str) -> None:
        reason = text.strip().rsplit("\n", 1)[-1]
        hint = hint_for(reason)
        whole = text.rstrip("\n") + "\n" + (f"\nhint: {hint}\n" if hint is not None else "")
        self.setup_logs.append(whole)
        self.setup.update(status="failed", completed_at=timestamp())
        self.state = "failed"
        log.error("Setup failed: %s", reason if whole.rstrip() == reason else f"{reason}\n{whole.rstrip()}")
        self._fail_all("Setup failed: the model is not available")
        self._notify()

    def _exited(self, how: str) -> None:
        self.process, process = None, self.process
        last = "\n".join(process.last_lines) if process is not None else ""
        for future in self._health.values():
            if not future.done():
                future.set_result("Healthcheck failed: the model process died")
        if self.state == "stopped":
            return
        if self.state == "starting":
            self._setup_failed(f"Model process {how} during setup\n")
            return
        if self.state == "failed":
            if self.is_lazy:
                self.state = "lazy"
            elif self.was_ready:
                self._restart_later()  # it worked before, so the cause may pass
            return
        message = f"Model process {how}" + (f"; its last lines were:\n{last}" if last else "")
        log.error("%s", message)
        running, self.running = list(self.running.values()), {}
        self._take_back()
        self.state = "restarting"
        for prediction in running:
            prediction.is_crash = True
            self._end(prediction, "failed", error=message)
        self._restart_later()

    def _restart_later(self) -> None:
        self.state = "restarting"
        delay = 0.0 if self._failures == 0 else min(30.0, 0.5 * 2 ** (self._failures - 1))
        self._failures += 1
        self.restarts += 1
        self._notify()
        asyncio.get_running_loop().call_later(delay, self._restart)

    def _restart(self) -> None:
        if self.state != "restarting":
            return
        self.setup = {"started_at": timestamp(), "status": "starting"}
        self.setup_logs = []
        try:
            self.spawn()
        except OSError as error:
            self._setup_failed(f"Model process cannot start: {error}\n")
            return
        self._spawn_task(self._adopt())

    # --- work

    def submit(self, prediction: Prediction) -> None:
        """Take a prediction.

        :raises QueueFull: when as many wait already as the settings allow
        :raises NotReady: when setup has not succeeded, or the server is shutting down
        :raises Duplicate: when one with this id is running
        """
        if self.is_draining:
            raise NotReady(_WHY["stopped"])
        if self.state == "lazy":
            self.state = "restarting"
            self._restart()
        if self.state not in ("ready", "restarting"):
            raise NotReady(_WHY.get(self.state, self.state))
        if prediction.is_named and (prediction.id in self.running or self._waiting(prediction.id)):
            raise Duplicate(prediction.id)
        has_files = bool(self.schema.file_fields)
        if self.queue or self.ahead or has_files or len(self.running) >= self.slots or self.state != "ready" or self._is_batch:
            if self.is_full:
                raise QueueFull
        if prediction.is_named:
            self.finished.discard(prediction.id)
        prediction.hidden = self.schema.secret_fields
        if self._is_batch:
            self._batching.note_arrival()
        if has_files:
            self.preparing[prediction.id] = prediction
            self._spawn_task(self._prepare(prediction))
        else:
            self.queue.append(prediction)
            self._pump()

    @property
    def takes_work(self) -> bool:
        """The model is set up, and the server stays."""
        return self.state == "ready" and not self.is_draining

    @property
    def is_full(self) -> bool:
        """The next prediction would be refused."""
        free = max(0, self.slots - len(self.running)) if self.state == "ready" else 0
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
        if self.process is not None:
            self.process.control(to_json(["cancel", id]))
        loop = asyncio.get_running_loop()
        loop.call_later(0.8, self._cancel_late, prediction)
        loop.call_later(self.settings.cancel_grace, self._cancel_hard, prediction)
        return True

    def _cancel_late(self, prediction: Prediction) -> None:
        if not prediction.is_terminal:
            self._end(prediction, "canceled")

    def _cancel_hard(self, prediction: Prediction) -> None:
        if self.running.get(prediction.id) is prediction and len(self.running) == 1 and self.process is not None:
            log.warning("The model ignores a cancellation and is restarted: %s", prediction.id)
            if prediction.canceled_at is not None:
                self._cancel_late(prediction)  # a grace below 0.8 s: the kill below is no failure of the prediction
            self.process.kill()

    async def healthcheck(self) -> str | None:
        """Ask the user's ``healthcheck()``; an error text, or None when all is well. It has 5 seconds."""
        if not self.facts.get("has_healthcheck") or self.process is None or self.state != "ready":
            return None
        number = len(self._health) and max(self._health) + 1
        future = self._health[number] = asyncio.get_running_loop().create_future()
        self.process.control(to_json(["health", number]))
        try:
            return await asyncio.wait_for(future, 5.0)
        except asyncio.TimeoutError:
            return "Healthcheck failed: user-defined healthcheck timed out after 5.0 seconds"
        finally:
            self._health.pop(number, None)

    async def stop(self, grace: float) -> bool:
        """Finish what was taken, within the grace, then end the model process; False when work was cut off."""
        deadline = time.monotonic() + grace
        while not self.is_idle and self.state in ("ready", "restarting") and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        is_clean = not (self.running or self.ahead or self.queue or self.preparing)
        self.state = "stopped"
        self._fail_all("The server was shut down before the prediction ended")
        process = self.process
        if process is not None:
            if is_clean:
                process.close_channel()
                for _ in range(100):
                    if not process.is_alive:
                        break
                    await asyncio.sleep(0.02)
            process.kill()
            for _ in range(100):
                if not process.is_alive:
                    break
                await asyncio.sleep(0.01)
        for _ in range(100):
            if not self._tasks:
                break
            await asyncio.sleep(0.05)
        return is_clean

    # --- inside

    def _waiting(self, id: str) -> Prediction | None:
        if id in self.preparing:
            return self.preparing[id]
        if not self.queue and not self.ahead:
            return None
        waiting = itertools.chain(self.ahead, self.queue)
        return next((prediction for prediction in waiting if prediction.id == id), None)

    def _spawn_task(self, coroutine: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

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
        process = self.process
        if self.state != "ready" or process is None:
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
        self.running[prediction.id] = prediction
        prediction.start()
        if self.settings.predict_timeout is not None:
            asyncio.get_running_loop().call_later(self.settings.predict_timeout, self._predict_timeout, prediction)

    def _predict_timeout(self, prediction: Prediction) -> None:
        if prediction.id in self.running and not prediction.is_terminal:
            self._end(prediction, "failed", error=f"Prediction timed out after {self.settings.predict_timeout:g} s")
            self.cancel_running(prediction)

    def cancel_running(self, prediction: Prediction) -> None:
        """Interrupt a run whose result nobody wants any more."""
        if self.process is not None and self.running.get(prediction.id) is prediction:
            self.process.control(to_json(["cancel", prediction.id]))
            asyncio.get_running_loop().call_later(self.settings.cancel_grace, self._cancel_hard, prediction)

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
        process.send(to_json(["batch", [_job(prediction) for prediction in batch]]))

    def _batch_due(self) -> None:
        self._timer = None
        if self.process is not None and self.state == "ready":
            self._pump_batch(self.process, is_due=True)

    def _text(self, name: str, text: str) -> None:
        """What was written to a file descriptor belongs to the one that runs, if there is just one."""
        if len(self.running) == 1:
            self._has_raw_output = True
            prediction = next(iter(self.running.values()))
            self._log_line(prediction.id, name, text)
            if not prediction.is_terminal:
                prediction.add_log(name, text)
        else:
            self._log_line(None, name, text)
            if self.state in ("starting", "restarting"):
                self.setup_logs.append(text)

    def _log_line(self, id: str | None, name: str, text: str) -> None:
        _model_log.info(text, extra={"prediction_id": id, "stream": name})

    def _frame(self, frame: list[Any], has_files: bool) -> None:
        kind = frame[0]
        if kind == "done":
            if self.process is not None:
                self.process.drain_pipes()
            self._done(frame, has_files)
        elif kind == "log":
            _, id, name, text = frame
            self._log_line(id, name, text)
            if name == "stderr" and self.process is not None:
                self.process.note_error(text)
            prediction = self.running.get(id) if id is not None else None
            if prediction is not None and not prediction.is_terminal:
                prediction.add_log(name, text)
            elif id is None and self.state in ("starting", "restarting"):
                self.setup_logs.append(text)
        elif kind == "output":
            prediction = self.running.get(frame[1])
            if prediction is not None and not prediction.is_terminal:
                self._output(prediction, frame[2], has_files)
        elif kind == "metric":
            prediction = self.running.get(frame[1])
            if prediction is not None and not prediction.is_terminal:
                prediction.add_metric(frame[2], frame[3], frame[4])
        elif kind == "ready":
            self._ready(frame[1])
        elif kind == "setup_failed":
            self._setup_failed(frame[1])
        elif kind == "health":
            future = self._health.get(frame[1])
            if future is not None and not future.done():
                future.set_result(frame[2])

    def _ready(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        wanted = self.settings.concurrency or facts["concurrency"]
        self.slots = self.settings.batch_size if self._is_batch else wanted if facts["is_async"] else 1
        self.setup.update(status="succeeded", completed_at=timestamp())
        self.state, self.was_ready = "ready", True
        log.info("Model is ready")
        self._notify()
        self._pump()

    def _output(self, prediction: Prediction, value: Any, has_files: bool) -> None:
        if has_files or prediction.tail is not None:
            prediction.tail = self._spawn_task(self._output_later(prediction, prediction.tail, value))
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
            return await self.files.send(value, prediction.id)
        except FileError as error:
            self._end(prediction, "failed", error=str(error))
            return None

    def _done(self, frame: list[Any], has_files: bool) -> None:
        _, id, status, value, seconds = frame
        prediction = self.running.pop(id, None)
        if self.ahead:
            self._begin(self.ahead.popleft())
        self._failures = 0
        self._mean_seconds = 0.8 * self._mean_seconds + 0.2 * seconds
        self._pump()  # the next one starts before this one's answer is written
        if prediction is None:
            return
        if has_files or prediction.tail is not None:
            prediction.tail = self._spawn_task(self._done_later(prediction, prediction.tail, status, value, seconds))
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

    def _fail_all(self, message: str) -> None:
        waiting = [*self.running.values(), *self.ahead, *self.queue, *self.preparing.values()]
        self.running, self.preparing = {}, {}
        self.ahead.clear()
        self.queue.clear()
        for prediction in waiting:
            self._end(prediction, "failed", error=message)

    def _notify(self) -> None:
        for callback in tuple(self.changed):
            callback()


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
