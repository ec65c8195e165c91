"""Which traces are recorded: the samplers that OpenTelemetry's specification names for ``OTEL_TRACES_SAMPLER``."""

from __future__ import annotations

from typing import Callable

from .context import TraceContext

#: decides by the parent's context and the id that the trace has
Sampler = Callable[["TraceContext | None", str], bool]

NAMES = ("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")


def make_sampler(name: str, ratio: float) -> Sampler:
    """A sampler by its name.

    :raises ValueError: for an unknown name or a ratio that is none
    """
    if name not in NAMES:
        raise ValueError(f"unknown sampler {name}, use one of {', '.join(NAMES)}")
    if not 0 <= ratio <= 1:
        raise ValueError(f"the sampler's argument is not between 0 and 1: {ratio}")
    bound = round(ratio * 2**64)

    def root(trace_id: str) -> bool:
        return name.endswith("on") or (name.endswith("ratio") and int(trace_id[16:], 16) < bound)

    if name.startswith("parentbased"):
        return lambda parent, trace_id: root(trace_id) if parent is None else parent.is_sampled
    return lambda parent, trace_id: root(trace_id)
