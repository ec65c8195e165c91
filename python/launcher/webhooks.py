"""Webhooks: snapshots of a prediction, posted as it goes on; signed when there is a secret."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any, Mapping

from pydantic_core import to_json

from .files import FileError, make_opener, mask_url
from .prediction import Prediction
from .settings import Settings
from .tracing.untraced import CLIENT

log = logging.getLogger("layerwright.webhooks")

RETRIES = 12
RETRY_STATUSES = frozenset((429, 500, 502, 503, 504))


class Webhooks:
    """Posts snapshots in order, one at a time for each prediction.

    ``start`` and ``output`` are sent as they happen, ``logs`` at most once per throttle interval; only ``completed``
    is retried, and it is always the last.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="webhooks")
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: dict[Prediction, _Follower] = {}

    def follow(self, prediction: Prediction, *, is_final: bool = True) -> None:
        """Send the events of a prediction to its webhook.

        :param is_final: send ``completed`` too; a queue worker does that by ``complete`` once its result is accepted
        """
        follower = _Follower(self, prediction, is_final)
        prediction.listeners.append(follower.listen)
        self._followers[prediction] = follower
        task = asyncio.get_running_loop().create_task(follower.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._followers.pop(prediction, None))

    def complete(self, prediction: Prediction) -> None:
        """Send ``completed`` after what ``follow`` has under way; without a webhook nothing happens."""
        if prediction.webhook is None:
            return
        if prediction not in self._followers:
            self.follow(prediction, is_final=False)
        self._followers[prediction].complete()

    def forget(self, prediction: Prediction) -> None:
        """Send nothing more about a prediction that starts again elsewhere."""
        follower = self._followers.get(prediction)
        if follower is not None:
            follower.queue.put_nowait(("end", None))

    async def drain(self, timeout: float) -> None:
        """Wait for webhooks that are on their way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def post(self, url: str, event: str, body: bytes, prediction: Prediction) -> None:
        """Send one event; a ``completed`` that fails for now is tried again, for about seven minutes."""
        address = urllib.parse.urlsplit(url)
        attributes = {"http.request.method": "POST", "server.address": address.hostname or "", "cog.webhook.event": event}
        span = prediction.span.child("webhook", CLIENT, attributes)
        span.link(prediction.span)
        problem = await self._try(url, event, body, span, {"prediction_id": prediction.id, "trace_id": prediction.trace_ids[0]})
        status = (problem or "").removeprefix("status ")
        span.end(None if problem is None else status if status.isdigit() else "_OTHER")

    async def _try(self, url: str, event: str, body: bytes, span: Any, extra: dict[str, Any]) -> str | None:
        """Send one event, by as many tries as it may have; None, or why the last one failed.

        :param extra: what a line of the log has besides
        """
        identity = "msg_" + uuid.uuid4().hex  # the same for every try, so that the receiver can tell
        loop = asyncio.get_running_loop()
        for attempt in range(RETRIES + 1 if event == "completed" else 1):
            if attempt:
                await asyncio.sleep(0.1 * 2 ** (attempt - 1))
                span.set("http.request.resend_count", attempt)
            headers = self.headers(identity, body, span.carrier)
            problem, is_final = await loop.run_in_executor(self._threads, self._post, url, body, headers)
            if problem is None:
                return None
            log.warning("Webhook to %s failed: %s", mask_url(url), problem, extra=extra)
            if is_final:
                break
        return problem

    def headers(self, identity: str, body: bytes, trace: Mapping[str, str]) -> dict[str, str]:
        """Authorization, trace context and, with a secret, a Standard Webhooks signature."""
        headers = {"Content-Type": "application/json", "User-Agent": "layerwright", **trace}
        if self.settings.webhook_token is not None:
            headers["Authorization"] = f"Bearer {self.settings.webhook_token}"
        secret = self.settings.webhook_secret
        if secret is not None:
            now = str(int(time.time()))
            headers.update({"webhook-id": identity, "webhook-timestamp": now})
            headers["webhook-signature"] = sign(secret, identity, now, body)
        return headers

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[str | None, bool]:
        try:
            request = urllib.request.Request(url, body, headers)  # noqa: S310 - http(s), checked by the schema
            with make_opener(self.settings.allow_private_webhooks).open(request, timeout=10):
                return None, True
        except urllib.error.HTTPError as error:
            return f"status {error.code}", error.code not in RETRY_STATUSES
        except FileError as error:
            return str(error), True
        except (http.client.InvalidURL, ValueError) as error:  # no later try would be another
            return str(error), True
        except (OSError, http.client.HTTPException) as error:
            return str(getattr(error, "reason", None) or error), False


def sign(secrets: str, identity: str, timestamp: str, body: bytes) -> str:
    """The ``webhook-signature`` header; several secrets, separated by spaces, let one be replaced."""
    signed = f"{identity}.{timestamp}.".encode() + body
    signatures = []
    for secret in secrets.split():
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signatures.append("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
    return " ".join(signatures)


class _Follower:
    def __init__(self, webhooks: Webhooks, prediction: Prediction, is_final: bool) -> None:
        self.webhooks, self.prediction, self.is_final = webhooks, prediction, is_final
        wanted = prediction.webhook_events_filter
        self.events = frozenset(wanted) if wanted is not None else frozenset(("start", "output", "logs", "completed"))
        self.queue: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        self.has_logs = False

    def listen(self, event: str, data: Any) -> None:
        """Queue what an event leads to."""
        if event == "completed":
            if self.is_final:
                self.complete()
        elif event == "log":
            if "logs" in self.events and not self.has_logs:
                self.has_logs = True
                self.queue.put_nowait(("logs", self._body()))
        elif event in self.events:
            self.queue.put_nowait((event, self._body()))

    def complete(self) -> None:
        """Queue the last event."""
        if "completed" in self.events:
            self.queue.put_nowait(("completed", self._body()))
        self.queue.put_nowait(("end", None))

    def _body(self) -> bytes:
        return to_json(self.prediction.snapshot(with_input=True), inf_nan_mode="null")

    async def run(self) -> None:
        """Post what is queued, in order, until the end."""
        last_logs = 0.0
        url = str(self.prediction.webhook)
        while True:
            event, body = await self.queue.get()
            if event == "end":
                return
            if event == "logs":
                delay = last_logs + self.webhooks.settings.throttle - time.monotonic()
                if delay > 0 and not self.prediction.is_terminal:
                    await asyncio.wait([self.prediction.done], timeout=delay)
                self.has_logs = False
                if self.prediction.is_terminal:
                    continue  # the completed event carries them
                last_logs = time.monotonic()
                if self.queue.empty():
                    body = self._body()  # else older snapshots would follow a newer one
            if body is not None:
                await self.webhooks.post(url, event, body, self.prediction)
