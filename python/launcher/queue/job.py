"""One delivery of a job: its message, the prediction it becomes, and what must be written about it."""

from __future__ import annotations

import time
from typing import Any, Callable

from pydantic_core import from_json, to_json

from ..prediction import Prediction, timestamp
from ..runs import Runs
from ..schema import InvalidRequest, Schema
from ..tracing.untraced import pass_on


class Keys:
    """The keys of a job."""

    def __init__(self, stream: str, id: str) -> None:
        self.stream, self.hash = stream, f"{stream}:p:{id}"
        self.events, self.dead = f"{self.hash}:events", f"{stream}:dead"

    @property
    def all(self) -> list[str]:
        """In the order the scripts take them."""
        return [self.stream, self.hash, self.events, self.dead]


class Job:
    """A message that was delivered to this worker."""

    def __init__(self, stream: str, entry: str, fields: dict[str, str], consumer: str, limit: int = 1 << 28) -> None:
        self.entry, self.limit = entry, limit
        self.payload: str = fields.get("value", "")
        self.problem: str | None = None
        message: Any = None
        try:
            message = from_json(self.payload.encode())
        except UnicodeEncodeError:  # see `surrogateescape` in connect
            self.problem = "The message is not UTF-8"
        except ValueError as error:
            self.problem = f"The message is not JSON: {error}"
        if self.problem is None and not isinstance(message, dict):
            self.problem = "The message is not a JSON object"
        self.message: dict[str, Any] = message if isinstance(message, dict) else {}
        id = self.message.get("id")
        self.id: str = id if isinstance(id, str) and id else entry
        self.keys = Keys(stream, self.id)
        #: whoever holds it may write about the job
        self.token = f"{consumer}/{entry}/{time.time_ns()}"
        self.deliveries = 1
        #: what runs it; None where there is no model of its name
        self.engine: Runs | None = None
        self.prediction: Prediction | None = None
        #: its delivery has begun: the token is in its hash
        self.is_begun = False
        #: the engine has it, or it needs none
        self.is_placed = False
        #: it waits in this worker, which does not count as a delivery
        self.is_held = False
        #: called when a job that was held starts
        self.on_start: Callable[[Job], None] | None = None
        self.taken_at = time.monotonic()
        self.events: list[tuple[str, bytes]] = []
        self.sequence = 0
        self.is_lost = False
        self.is_abandoned = False
        self.last_beat = time.monotonic()

    @property
    def cancel_key(self) -> str | None:
        """Cog's key whose existence cancels the job."""
        key = self.message.get("cancel_key")
        return key if isinstance(key, str) and key else None

    @property
    def response_queue(self) -> str | None:
        """Cog's key that is set to every snapshot."""
        key = self.message.get("response_queue")
        return key if isinstance(key, str) and key else None

    @property
    def carrier(self) -> dict[str, str]:
        """The trace context that the message may have, W3C's."""
        return {name: str(self.message.get(name) or "") for name in ("traceparent", "tracestate")}

    def make_prediction(self, schema: Schema) -> Prediction:
        """Check the message and make the prediction of it.

        :raises InvalidRequest: with all errors
        """
        self.prediction = Prediction(schema.check({**self.message, "id": self.id}), self.id)
        self.prediction.hidden = schema.secret_fields
        self.prediction.is_withdrawable = True
        pass_on(self.carrier).follow(self.prediction)
        self.prediction.listeners.append(self.listen)
        return self.prediction

    def fail(self, error: str) -> Prediction:
        """A prediction that failed before it could run."""
        prediction = Prediction({}, self.id)  # without the input: what is wrong with it may be a secret
        pass_on(self.carrier).follow(prediction)
        webhook = self.message.get("webhook")
        prediction.webhook = webhook if isinstance(webhook, str) and webhook.startswith("http") else None
        wanted = self.message.get("webhook_events_filter")
        prediction.webhook_events_filter = wanted if isinstance(wanted, list) else None
        prediction.finish("failed", error=error)
        self.prediction = prediction
        return prediction

    def fail_if_too_large(self) -> bool:
        """Make it a failure when its state is larger than may be written; true then."""
        size = len(self.state())
        if size <= self.limit:
            return False
        before = self.prediction
        prediction = self.fail(
            f"The result has {size} bytes, and the queue takes {self.limit} (LAYERWRIGHT_QUEUE_RESULT_MAX_BYTES); "
            "files are kept out of it by LAYERWRIGHT_UPLOAD_URL"
        )
        if before is not None:
            prediction.started_at, prediction.metrics = before.started_at, before.metrics
        return True

    def listen(self, event: str, data: Any) -> None:
        """Remember an event until it is written."""
        if event == "completed":
            return
        if event == "start":
            if self.is_held and self.on_start is not None:
                self.on_start(self)
            data = {"id": self.id, "status": "processing", "delivery": self.deliveries}
        body = to_json({**data, "sequence": self.sequence}, inf_nan_mode="null")
        if len(body) <= self.limit:  # else the result is too large as well
            self.events.append((event, body))
            self.sequence += 1

    def state(self) -> bytes:
        """The prediction object as others read it: Replicate's, with what the message said."""
        if self.prediction is None:
            return to_json({"id": self.id, "status": "starting"})
        kept = {key: value for key, value in self.message.items() if key in ("version", "created_at", "model")}
        body = {**self.prediction.snapshot(with_input=True), **kept, "deliveries": self.deliveries}
        return to_json(body, inf_nan_mode="null")


def describe(error: InvalidRequest) -> str:
    """All errors of an input in one line."""
    return f"Input validation error: {error}"


def now() -> str:
    """The present, for a record."""
    return timestamp()
