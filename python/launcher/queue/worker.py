"""The worker: runs the jobs that its intake takes, keeps their claims, writes their results."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import Any

from pydantic_core import to_json
from redis.exceptions import AuthenticationError, ResponseError

from ..runs import Duplicate, NotReady, QueueFull
from ..schema import InvalidRequest
from ..service import Service
from .connect import LOST, UNWELL, connect
from .intake import SCAN_SECONDS, Intake
from .job import Job, describe, now
from .source import Source
from .waiting import Watch

log = logging.getLogger("layerwright.queue")

CANCEL_SECONDS = 0.4
FLUSH_SECONDS = 0.05
#: how long a job waits here for one that runs, before another worker may have it
HELD_SECONDS = 1.0
#: how long the servers may take at the end
LEAVE_SECONDS = 1.0
#: how often the names of workers that are gone are looked for
SWEEP_SECONDS = 600.0
#: events above this go before the result: Redis takes no command above a gigabyte
EVENTS_BYTES = 1 << 20
_LOOK = "Look at Redis: its memory (maxmemory), disk (MISCONF) and role (READONLY), the user's rights and the database in LAYERWRIGHT_QUEUE."


async def start_workers(service: Service) -> list["Worker"]:
    """One worker over all URLs and queues; their streams take turns."""
    worker = Worker(service)
    worker.start()
    return [worker]


class Worker:
    """Runs the jobs of several sources in one engine."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.service, self.settings = service, settings
        self.models = service.models
        self.consumer = settings.consumer or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        clients = [connect(url) for url in settings.redis_urls]
        self.sources = [Source(client, stream, self.consumer) for client in clients for stream in settings.queues]
        #: all that this worker has in hand, and where each came from
        self.jobs: dict[Job, Source] = {}
        self.counts = {"delivered": 0, "redelivered": 0, "dead": 0, "lost": 0}
        self.is_connected = False
        self.intake = Intake(self, self.sources, self.models, settings)
        self._watches = [Watch(source, self.models.named, self._cancel_waiting) for source in self.sources]
        #: jobs that were held and have started, which Redis is yet to be told
        self._started: list[Job] = []
        self._has_complained = False
        self._refusals: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._takers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take work as soon as the model is ready."""
        self.models.whole.changed.add(self.intake.wake)
        for runs in self.models.everything:
            runs.freed.add(self.intake.wake)
        loop = asyncio.get_running_loop()
        steps = [self.intake.take, *([self.intake.take_aside] if self.models.named else [])]
        self._takers = [loop.create_task(self._forever(step)) for step in steps]
        self._loops = [loop.create_task(self._forever(step)) for step in (self._keep, self._watch_waiting)]

    async def stop(self, grace: float) -> None:
        """Take nothing new and give back what has not begun; finish what runs within the grace, give the rest back at once."""
        deadline = time.monotonic() + grace
        self.intake.close()
        # Not in the middle of a command: its answer may be a job, which nobody would know of. It listens for half a second.
        taking = asyncio.ensure_future(asyncio.wait(self._takers, timeout=2 * SCAN_SECONDS))
        await self._give_back_waiting()
        while self.jobs and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for job, source in list(self.jobs.items()):
            job.is_abandoned = True
            await self._return(job, source, counts=False)
        await taking
        for task in (*self._takers, *self._loops):
            task.cancel()
        await self._leave()
        for client in {id(source.client): source.client for source in self.sources}.values():
            await client.aclose()

    async def _leave(self) -> None:
        """Take this worker's name out of the groups, which would keep those of all that ever were."""
        # Whoever still reads would bring it back.
        await asyncio.wait((*self._takers, *self._loops), timeout=LEAVE_SECONDS)
        leaving = asyncio.gather(*(source.leave() for source in self.sources if source.has_group), return_exceptions=True)
        try:
            outcomes = await asyncio.wait_for(leaving, LEAVE_SECONDS)
        except asyncio.TimeoutError:
            outcomes = [TimeoutError("no answer")]
        for failure in outcomes:
            if isinstance(failure, BaseException):
                log.info("The name %s stays in the queue's group until others forget it: %s", self.consumer, failure)

    async def _forever(self, step: Any) -> None:
        """Repeat a step; a server that is away is waited for."""
        pause = 0.1
        while not (self.intake.is_closed and step in (self.intake.take, self.intake.take_aside)):
            try:
                await step()
                if not self.is_connected:
                    await self._greet()
                pause = 0.1
            except LOST as error:
                self._complain(error)
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    self._complain_refusal(str(error))
                for source in self.sources:
                    source.has_group = False
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)
            except Exception:  # a worker that has ended says nothing, and answers that it is ready
                log.exception("Unexpected error of the queue; it is tried again")
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _greet(self) -> None:
        """Say that the servers are there, once they are; a step may have had nothing to ask them."""
        for client in {id(source.client): source.client for source in self.sources}.values():
            await client.ping()
        if not self.is_connected:
            self.is_connected, self._has_complained = True, False
            log.info("Connected to the queue")

    def _complain(self, error: Exception) -> None:
        """Say once per outage that the servers are away, and what to try."""
        self.is_connected = False
        if self._has_complained:
            return
        self._has_complained = True
        is_login = isinstance(error, AuthenticationError)
        hint = "Check user and password in LAYERWRIGHT_QUEUE." if is_login else "It is tried again until it answers; LAYERWRIGHT_QUEUE names it."
        log.warning("The queue is not reachable: %s\nhint: %s", error, hint)

    def _complain_refusal(self, text: str) -> None:
        """Say what the servers refuse, the same thing once a minute, whichever script meets it."""
        text = text.partition(" script: ")[0]
        said_at = self._refusals.get(text)
        if said_at is None or time.monotonic() - said_at > 60:
            self._refusals = {text: time.monotonic()}
            log.error("The queue refused a command: %s\nhint: It is tried again. %s", text, _LOOK)

    # --- running

    def begin(self, job: Job, source: Source, verdict: str) -> None:
        """Go on with a job whose delivery has begun; the verdict is that of the script."""
        job.is_placed = verdict == "exhausted" or job.problem is not None
        if verdict == "exhausted":
            reason = f"{int(job.deliveries) - 1} deliveries ended without a result"
            job.fail(reason)
            self._spawn(job, self._finish(job, source, reason))
        elif job.problem is not None:
            job.fail(job.problem)
            self._spawn(job, self._finish(job, source, job.problem))
        else:
            self._spawn(job, self._run(job, source, is_canceled=verdict == "canceled"))

    def _spawn(self, job: Job, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                log.error("Unexpected error with job %s", job.id, exc_info=task.exception())
                self._forget(job)  # its claim ends by itself

        task.add_done_callback(ended)

    async def _run(self, job: Job, source: Source, *, is_canceled: bool) -> None:
        span = self.service.tracer.delivery(source.stream, job.entry, int(job.deliveries), job.carrier)
        try:
            await self._run_traced(job, source, span, is_canceled)
        finally:
            span.end()

    async def _run_traced(self, job: Job, source: Source, span: Any, is_canceled: bool) -> None:
        engine, job.is_placed = job.engine, True
        try:
            if engine is None:
                raise self._unknown_model(job)
            prediction = job.make_prediction(engine.schema)
        except InvalidRequest as error:
            span.refuse(422)
            job.fail(describe(error))
            await self._finish(job, source, "")
            return
        span.follow(prediction)
        if is_canceled:
            prediction.finish("canceled")
            await self._finish(job, source, "")
            return
        if prediction.webhook is not None:
            self.service.webhooks.follow(prediction, is_final=False)
        job.on_start = self._note_start
        try:
            engine.submit(prediction)
        except (NotReady, QueueFull, Duplicate):
            span.refuse(503)
            self.service.webhooks.forget(prediction)
            await self._return(job, source, counts=False)
            return
        while not prediction.is_terminal and not job.is_lost and not job.is_abandoned:
            await asyncio.wait([prediction.done], timeout=FLUSH_SECONDS)
            if not prediction.is_terminal:
                await self._write_progress(job, source)
        if job.is_abandoned:
            return
        if job.is_lost:
            self.counts["lost"] += 1
            log.warning("Another worker has taken over: %s", job.id)
            engine.cancel(job.id)
            self._forget(job)
            return
        if prediction.is_crash:
            if int(job.deliveries) < self.settings.max_deliveries:
                await self._return(job, source, counts=True)
                return
            await self._finish(job, source, prediction.error or "The model process died")
            return
        await self._finish(job, source, "")

    def _unknown_model(self, job: Job) -> InvalidRequest:
        problem = f"There is no model {job.message.get('model')}; this worker has {', '.join(self.models.named)}"
        return InvalidRequest([{"loc": ["body", "model"], "msg": problem, "type": "value_error"}])

    def _forget(self, job: Job) -> None:
        self.jobs.pop(job, None)
        self.intake.wake()

    def _note_start(self, job: Job) -> None:
        """A job that was held has started: that is a delivery. A batch is told of at once."""
        self._started.append(job)
        if len(self._started) == 1:
            self._spawn(job, self._tell_started())

    async def _tell_started(self) -> None:
        jobs, self._started = [job for job in self._started if job in self.jobs], []
        for source in {self.jobs[job]: None for job in jobs}:
            theirs = [job for job in jobs if self.jobs.get(job) is source]
            try:
                await source.tell_started(theirs)
            except UNWELL:
                self._started += theirs  # `_keep` tries again
            else:
                for job in theirs:
                    job.is_held = False

    async def _write_progress(self, job: Job, source: Source) -> None:
        if not job.events:
            return
        events, job.events = job.events, []
        flat = [part for event in events for part in event]
        state = job.state()
        if len(state) > job.limit:
            return  # `_finish` tells
        try:
            kept = await source.progress(keys=job.keys.all, args=[job.token, int(self.settings.state_seconds), state, *flat])
        except UNWELL:
            job.events[:0] = events
            return
        if not kept:
            job.is_lost = True
            return
        await self._respond(job, source)

    async def _respond(self, job: Job, source: Source) -> None:
        """Set Cog's key to the present state; it is no part of the result."""
        if job.response_queue is not None:
            try:
                await source.client.set(job.response_queue, job.state())
            except UNWELL as error:
                log.warning("The response key of %s was not written: %s", job.id, error)

    async def _finish(self, job: Job, source: Source, reason: str) -> None:
        """Write the result, however long the server is away or takes nothing."""
        followed = job.prediction
        if job.fail_if_too_large():
            job.events = []
            if followed is not None:
                self.service.webhooks.forget(followed)
            log.error("Job %s: %s", job.id, job.prediction.error if job.prediction is not None else "")
        prediction = job.prediction
        assert prediction is not None
        pause, has_complained = 0.1, False
        while not job.is_abandoned:
            try:
                if sum(len(data) for _, data in job.events) > EVENTS_BYTES:
                    flat = [part for event in job.events for part in event]
                    await source.progress(
                        keys=job.keys.all, args=[job.token, int(self.settings.state_seconds), "", *flat]
                    )
                    job.events = []
                arguments = [job.token, int(self.settings.state_seconds), job.state(), job.entry, prediction.status]
                arguments += [reason, job.payload, now(), job.id, job.deliveries]
                arguments += [part for event in job.events for part in event]
                is_ours = await source.finish(keys=job.keys.all, args=arguments)
                break
            except UNWELL as error:
                if isinstance(error, ResponseError) and not has_complained:
                    has_complained = True
                    log.error("Redis refuses the result of %s, which waits: %s\nhint: %s", job.id, error, _LOOK)
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
        else:
            return
        self._forget(job)
        if not is_ours:
            self.counts["lost"] += 1
            log.warning("A late result was refused, another worker has the job: %s", job.id)
            return
        if reason:
            self.counts["dead"] += 1
            log.error("Job %s is a dead letter: %s", job.id, reason.split("\n")[0])
        await self._respond(job, source)
        self.service.webhooks.complete(prediction)

    async def _return(self, job: Job, source: Source, *, counts: bool) -> None:
        """Make a job claimable at once.

        :param counts: this delivery is one of those after which a job is given up
        """
        self._forget(job)
        if job.prediction is not None:
            self.service.webhooks.forget(job.prediction)
        shown = job.prediction.shown_input() if job.prediction is not None else {}
        waiting = {"id": job.id, "status": "starting", "input": shown}
        deliveries = int(job.deliveries) - (0 if counts else 1)
        try:
            await source.give_back(keys=job.keys.all, args=[job.token, job.entry, deliveries, to_json(waiting)])
        except UNWELL as error:
            log.warning("Job %s could not be given back and will be claimed later: %s", job.id, error)

    async def _give_back_waiting(self, *, is_stuck: bool = False) -> None:
        """Give back what has not begun.

        :param is_stuck: only what waits for longer than was thought: its model is at work still, or not there
        """
        for job, source in list(self.jobs.items()):
            if job.prediction is None or job.engine is None or job not in self.jobs:
                continue
            if is_stuck:
                is_late = job.is_held and bool(job.engine.running) and not self.models.named
                if not (is_late or job.engine.model.state != "ready") or time.monotonic() - job.taken_at < HELD_SECONDS:
                    continue
            if job.engine.withdraw(job.prediction):
                job.is_abandoned = True
                await self._return(job, source, counts=False)

    # --- keeping claims, hearing cancellations

    async def _keep(self) -> None:
        await asyncio.sleep(CANCEL_SECONDS if self.jobs else 0.1)
        if self._started:
            await self._tell_started()
        await self._give_back_waiting(is_stuck=True)
        for job, source in list(self.jobs.items()):
            if not job.is_begun:
                continue
            due = time.monotonic() - job.last_beat >= self.settings.heartbeat - CANCEL_SECONDS / 2
            answer = await source.beat(
                keys=job.keys.all, args=[job.entry, job.token, self.consumer, "1" if due else "0"]
            )
            if due:
                job.last_beat = time.monotonic()
            if answer == 0 and job in self.jobs:
                job.is_lost = True
            elif answer == 2 or (job.cancel_key is not None and await source.client.exists(job.cancel_key)):
                if job.engine is not None:
                    job.engine.cancel(job.id)

    async def _watch_waiting(self) -> None:
        await asyncio.sleep(SCAN_SECONDS)
        for watch in self._watches:
            if watch.source.has_group:
                await watch.look()
                await self._sweep(watch.source)

    async def _sweep(self, source: Source) -> None:
        """Have the names of workers forgotten that are long gone."""
        if time.monotonic() < source.next_sweep:
            return
        idle = self.settings.consumer_idle
        # Before it is tried: what fails says so once, and is no reason to try all the time.
        source.next_sweep = time.monotonic() + min(idle, SWEEP_SECONDS)
        await source.forget_idle(int(idle * 1000))

    async def _cancel_waiting(self, source: Source, entry: str) -> None:
        found = await source.client.xrange(source.stream, min=entry, max=entry)
        if not found:
            return
        job = Job(source.stream, entry, found[0][1], self.consumer)
        engine = self.intake.engine_of(job)
        try:
            if engine is None:
                raise self._unknown_model(job)
            prediction = job.make_prediction(engine.schema)
        except InvalidRequest as error:
            prediction = job.fail(describe(error))
        prediction.finish("canceled")
        if await source.cancel_waiting(keys=job.keys.all, args=[job.state(), int(self.settings.state_seconds)]):
            log.info("Canceled before it began: %s", job.id)
            await self._respond(job, source)
            self.service.webhooks.complete(prediction)
