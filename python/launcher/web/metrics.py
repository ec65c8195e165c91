"""``/metrics`` in Prometheus' text format, named by its conventions: base units, ``_total`` for what only grows."""

from __future__ import annotations

import os
import resource
import time
from typing import Callable

from .. import COG_VERSION, VERSION
from ..histogram import Histogram
from ..runs import Runs
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
    """All metrics; where there are several models, the label ``model`` says whose."""
    targets: dict[str, Runs] = service.models.named or {"": service.engine}
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP {name} {text}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{labels} {value:.15g}" for labels, value in samples)

    def each(value: Callable[[Runs], float]) -> list[tuple[str, float]]:
        return [(_labels(model=name), value(runs)) for name, runs in targets.items()]

    metric("layerwright_build_info", "gauge", "1; the labels say what runs.", [(_about(service), 1)])
    ends = [
        (_labels(model=name, status=status), runs.counts[status])
        for name, runs in targets.items()
        for status in ("succeeded", "failed", "canceled")
    ]
    metric("layerwright_predictions_total", "counter", "Predictions that ended.", ends)
    metric("layerwright_predictions_running", "gauge", "Predictions that run.", each(lambda runs: len(runs.running)))
    metric("layerwright_predictions_waiting", "gauge", "Predictions that wait.", each(lambda runs: runs.waiting))
    metric("layerwright_slots", "gauge", "Predictions that can run at a time.", each(lambda runs: runs.slots))
    metric("layerwright_ready", "gauge", "1 when the model takes work.", each(lambda runs: runs.takes_work))
    restarts = [(_labels(model=name), engine.model.restarts) for name, engine in service.models.engines.items()]
    metric("layerwright_model_restarts_total", "counter", "Model processes that died.", restarts)
    durations = [({"model": name}, runs.seconds) for name, runs in targets.items()]
    lines += _histograms("layerwright_prediction_seconds", "Time in the model.", durations)
    if service.models.pipelines:
        steps = [
            ({"model": name, "step": step}, seconds)
            for name, pipeline in service.models.pipelines.items()
            for step, seconds in pipeline.step_seconds.items()
        ]
        lines += _histograms("layerwright_step_seconds", "Time in a step of a pipeline, of all its items together.", steps)
    own = _rss(os.getpid())
    memory = [(_labels(process="launcher"), own)]
    for name, engine in service.models.engines.items():
        if engine.model.process is not None:
            memory.append((_labels(model=name, process="model"), _rss(engine.model.process.pid)))
    metric("layerwright_resident_memory_bytes", "gauge", "Resident memory of each process.", [(k, v) for k, v in memory if v])
    # By Prometheus' own names, which its dashboards know: of the process that answers, which is not the model's.
    metric("process_resident_memory_bytes", "gauge", "Resident memory of the launcher.", [("", own)] if own else [])
    metric("process_cpu_seconds_total", "counter", "Processor time of the launcher.", [("", _cpu_seconds())])
    metric("process_start_time_seconds", "gauge", "When the launcher began, since the epoch.", [("", _STARTED)])
    if service.tracer.is_on:
        spans = [(_labels(result=result), count) for result, count in service.tracer.counts.items()]
        metric("layerwright_trace_spans_total", "counter", "Spans that were exported, and those that were dropped.", spans)
    for worker in service.queues:
        samples = [(_labels(event=name), count) for name, count in worker.counts.items()]
        metric("layerwright_queue_jobs_total", "counter", "Deliveries of the queue.", samples)
        metric("layerwright_queue_connected", "gauge", "1 when Redis answers.", [("", worker.is_connected)])
    return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    """Labels that have a value; a model without a name has none."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in values.items() if value]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _about(service: Service) -> str:
    settings = service.settings
    version = settings.model_version or ""
    return _labels(version=VERSION, cog_version=COG_VERSION, model=settings.model_name, model_version=version)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histograms(name: str, text: str, durations: list[tuple[dict[str, str], Histogram]]) -> list[str]:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
    for labels, seconds in durations:
        total = 0
        for bound, count in zip((*seconds.bounds, float("inf")), seconds.counts):
            total += count
            limit = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f"{name}_bucket{_labels(**labels, le=limit)} {total}")
        plain = _labels(**labels)
        lines += [f"{name}_sum{plain} {seconds.sum:.10g}", f"{name}_count{plain} {total}"]
    return lines


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as source:
            return int(source.read().split()[1]) * _PAGE
    except (OSError, ValueError):
        return 0
