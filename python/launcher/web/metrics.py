"""``/metrics`` in Prometheus' text format, named by its conventions: base units, ``_total`` for what only grows."""

from __future__ import annotations

import os
import resource
import time

from .. import COG_VERSION, VERSION
from ..engine import Engine
from ..service import Service
from .asgi import Exchange, Router

_KIND = b"text/plain; version=0.0.4; charset=utf-8"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STARTED = time.time()


def routes(router: Router, service: Service) -> None:
    """``/metrics``."""

    async def metrics(exchange: Exchange) -> None:
        await exchange.bytes(200, render(service).encode(), _KIND)

    router.add("GET", "/metrics", metrics)


def render(service: Service) -> str:
    """All metrics."""
    engine = service.engine
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP {name} {text}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{labels} {value:.15g}" for labels, value in samples)

    metric("layerwright_build_info", "gauge", "1; the labels say what runs.", [(_about(service), 1)])
    ends = [(f'{{status="{status}"}}', engine.counts[status]) for status in ("succeeded", "failed", "canceled")]
    metric("layerwright_predictions_total", "counter", "Predictions that ended.", ends)
    metric("layerwright_predictions_running", "gauge", "Predictions that run.", [("", len(engine.running))])
    metric("layerwright_predictions_waiting", "gauge", "Predictions that wait.", [("", len(engine.queue) + len(engine.ahead))])
    metric("layerwright_slots", "gauge", "Predictions that can run at a time.", [("", engine.slots)])
    metric("layerwright_ready", "gauge", "1 when the model takes work.", [("", engine.takes_work)])
    metric("layerwright_model_restarts_total", "counter", "Model processes that died.", [("", engine.model.restarts)])
    lines += _histogram("layerwright_prediction_seconds", "Time in the model.", engine)
    own = _rss(os.getpid())
    memory = [('{process="launcher"}', own)]
    if engine.model.process is not None:
        memory.append(('{process="model"}', _rss(engine.model.process.pid)))
    metric("layerwright_resident_memory_bytes", "gauge", "Resident memory of each process.", [(k, v) for k, v in memory if v])
    # By Prometheus' own names, which its dashboards know: of the process that answers, which is not the model's.
    metric("process_resident_memory_bytes", "gauge", "Resident memory of the launcher.", [("", own)] if own else [])
    metric("process_cpu_seconds_total", "counter", "Processor time of the launcher.", [("", _cpu_seconds())])
    metric("process_start_time_seconds", "gauge", "When the launcher began, since the epoch.", [("", _STARTED)])
    if service.tracer.is_on:
        spans = [(f'{{result="{result}"}}', count) for result, count in service.tracer.counts.items()]
        metric("layerwright_trace_spans_total", "counter", "Spans that were exported, and those that were dropped.", spans)
    for worker in service.queues:
        samples = [(f'{{event="{name}"}}', count) for name, count in worker.counts.items()]
        metric("layerwright_queue_jobs_total", "counter", "Deliveries of the queue.", samples)
        metric("layerwright_queue_connected", "gauge", "1 when Redis answers.", [("", worker.is_connected)])
    return "\n".join(lines) + "\n"


def _about(service: Service) -> str:
    model = service.settings.model_name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{version="{VERSION}",cog_version="{COG_VERSION}",model="{model}"}}'


def _histogram(name: str, text: str, engine: Engine) -> list[str]:
    lines, total = [f"# HELP {name} {text}", f"# TYPE {name} histogram"], 0
    for bound, count in zip((*engine.seconds.bounds, float("inf")), engine.seconds.counts):
        total += count
        label = "+Inf" if bound == float("inf") else f"{bound:g}"
        lines.append(f'{name}_bucket{{le="{label}"}} {total}')
    return [*lines, f"{name}_sum {engine.seconds.sum:.10g}", f"{name}_count {total}"]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as source:
            return int(source.read().split()[1]) * _PAGE
    except (OSError, ValueError):
        return 0
