"""What stands in for spans where nothing is traced: it hands the caller's trace context on, and costs nothing."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from .context import parse_carrier

#: span kinds of OTLP
INTERNAL, SERVER, CLIENT, CONSUMER = 1, 2, 3, 5


class Untraced:
    """Has the methods of every kind of span, and does nothing."""

    __slots__ = ("carrier", "model_carrier")

    #: for the model process
    environment: Mapping[str, str] = {}

    def __init__(self, carrier: Mapping[str, str], model_carrier: Mapping[str, str] | None = None) -> None:
        #: headers that continue the trace
        self.carrier = carrier
        #: the same for the model, with W3C's
        self.model_carrier = carrier if model_carrier is None else model_carrier

    def __bool__(self) -> bool:
        return False

    @property
    def trace_id(self) -> str | None:
        """Of the trace that is handed on."""
        context = parse_carrier(self.model_carrier)
        return None if context is None else context.trace_id

    def child(self, name: str, *_: Any, **options: Any) -> "Untraced":
        """Itself."""
        return self

    def set(self, name: str, value: Any) -> None:
        """Nothing."""

    def link(self, other: Any) -> None:
        """Nothing."""

    def end(self, *_: Any) -> None:
        """Nothing."""

    def follow(self, prediction: Any) -> None:
        """Let a prediction pass the trace context on."""
        prediction.span, prediction.trace = self, self.model_carrier

    def follow_step(self, prediction: Any, name: str, model: str) -> None:
        """Let a step's prediction pass the trace context on."""
        self.follow(prediction)

    def join(self, others: Any) -> None:
        """Nothing."""

    def refuse(self, status: int) -> None:
        """Nothing."""

    def answer(self, status: int) -> None:
        """Nothing."""


UNTRACED = Untraced({})


def pass_on(carrier: Mapping[str, str]) -> Untraced:
    """What hands a trace context on, unless it is malformed."""
    context = parse_carrier(carrier)
    return UNTRACED if context is None else Untraced(context.carrier)


class NoTracer:
    """A tracer that is off."""

    is_on = False
    #: requests without a trace context may get a trace
    starts_traces = False
    #: by how they ended
    counts: Mapping[str, int] = {}

    def setup(self, model: str | None) -> Untraced:
        """No spans of a setup."""
        return UNTRACED

    def request(self, method: str, route: Callable[[], str], header: Callable[[bytes], str | None]) -> Untraced:
        """What hands a request's trace context on."""
        parent = header(b"traceparent")
        return UNTRACED if parent is None else pass_on({"traceparent": parent, "tracestate": header(b"tracestate") or ""})

    def delivery(self, stream: str, entry: str, deliveries: int, carrier: Mapping[str, str]) -> Untraced:
        """What hands a job's trace context on."""
        return pass_on(carrier)

    def adopt(self, scope: Any, span: Any) -> None:
        """Nothing."""

    def close(self, timeout: float) -> None:
        """Nothing."""


NO_TRACER = NoTracer()
