"""The engine: runs that one model process does."""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from typing import Any

from pydantic_core import to_json

from .batching import Batching
from .prediction import Prediction
from .process import ModelProcess, Reaper
from .runs import Runs
from .schema import Schema
from .settings import Settings
from .supervisor import Supervisor
from .tracing.untraced import NO_TRACER

log = logging.getLogger("layerwright.engine")

#: a model that is quicker than this is sent work ahead
AHEAD_SECONDS = 0.002
AHEAD_LENGTH = 16


class Engine(Runs):
    """Runs predictions in one model process, whose life the supervisor looks after."""

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
        name: str | None = None,
    ) -> None:
        """:param name: of the model, where there are several"""
        super().__init__(settings, schema, files, tracer)
        self.name = name
        self.model = Supervisor(settings, reference, reaper, self, is_lazy=is_lazy, tracer=tracer, name=name)
        self.slots = settings.concurrency or 1
        self._has_raw_output = False
        self._timer: asyncio.TimerHandle | None = None
        self._batching = Batching(settings.batch_size, settings.batch_wait)
        self._is_batch = settings.batch_size > 1

    def _interrupt(self, prediction: Prediction) -> None:
        """Interrupt it and give it 0.8 s to end by itself; then it counts as canceled.

        A model process that goes on regardless is replaced after a grace, unless it serves others too.
        """
        if self.model.process is not None:
            self.model.process.control(to_json(["cancel", prediction.id]))
        loop = asyncio.get_running_loop()
        loop.call_later(0.8, self._cancel_late, prediction)
        loop.call_later(self.settings.cancel_grace, self._cancel_hard, prediction)

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

    def _note_arrival(self) -> None:
        self._batching.note_arrival()

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

    # --- inside

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
        if self.queue and self.mean_seconds < AHEAD_SECONDS and self.slots == 1 and not self._has_raw_output:
            self._send_ahead(process)

    def _send_ahead(self, process: ModelProcess) -> None:
        """Send the model its next ones while it works, when it takes less time than waking the two processes does.

        They still wait: a cancellation reaches them, and when the model dies they are taken back. A model that writes
        to its file descriptors gets none, since only the order of events tells whose such text is.
        """
        while self.queue and len(self.ahead) < AHEAD_LENGTH and not self.queue[0].is_withdrawable:
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
        extra = {"prediction_id": id, "stream": name, "trace_id": trace_id, "span_id": span_id, "model": self.name}
        _model_log.info(text, extra=extra)

    def _done(self, frame: list[Any], has_files: bool) -> None:
        _, id, status, value, seconds = frame
        prediction = self.running.pop(id, None)
        if self.ahead:
            self._begin(self.ahead.popleft())
        self.model.note_success()
        self.mean_seconds = 0.8 * self.mean_seconds + 0.2 * seconds
        self._pump()  # the next one starts before this one's answer is written
        if prediction is None:
            return
        if has_files or prediction.tail is not None:
            prediction.left_model_at = time.time()
            prediction.tail = self.start(self._done_later(prediction, prediction.tail, status, value, seconds))
            self._tell_freed()
        else:
            self._conclude(prediction, status, value, seconds)


_model_log = logging.getLogger("layerwright.model")


def _job(prediction: Prediction) -> list[Any]:
    values = prediction.input if prediction.sent_input is None else prediction.sent_input
    context = {**(prediction.context or {}), **prediction.trace} if prediction.trace else prediction.context
    return [prediction.id, values, context, prediction.folder]
