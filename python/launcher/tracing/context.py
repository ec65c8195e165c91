"""Trace context: the W3C headers, and Jaeger's header, to a value and back."""

from __future__ import annotations

import random
import re
from typing import Mapping, NamedTuple

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_JAEGER = re.compile(r"([0-9a-fA-F]{1,32}):([0-9a-fA-F]{1,16}):[^:]*:([0-9a-fA-F]{1,2})(?::.*)?\Z")
#: ids need not be secret, and the system's randomness takes 2 us each
_random = random.Random().getrandbits
#: W3C Trace Context, 3.3.1.5: what must be propagated at least
STATE_LENGTH = 512
#: W3C Baggage, 3.3.2: what must be propagated at least, in members and bytes
_BAGGAGE_MEMBERS, _BAGGAGE_LENGTH = 64, 8192
_HEX = re.compile(r"[0-9a-fA-F]{16}(?:[0-9a-fA-F]{16})?\Z")


class TraceContext(NamedTuple):
    """A place in a trace; ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    flags: int = 1
    state: str = ""
    #: what the caller wants to be known further on, as its header has it
    baggage: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whoever made it records it."""
        return bool(self.flags & 1)

    @property
    def carrier(self) -> dict[str, str]:
        """The headers that say it."""
        parent = f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"  # a later version is continued as this one (3.2.4)
        return {"traceparent": parent, "tracestate": self.state} if self.state else {"traceparent": parent}

    @property
    def jaeger(self) -> str:
        """The value of Jaeger's header."""
        return f"{self.trace_id}:{self.span_id}:0:{self.flags:x}"


def parse_traceparent(text: str, state: str = "") -> TraceContext | None:
    """A context of ``traceparent`` and ``tracestate``; None for what is none (W3C Trace Context, 3.2)."""
    match = _PARENT.match(text.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not _are_ids(trace_id, span_id):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & 3, state if _is_state(state) else "")


def parse_jaeger(text: str) -> TraceContext | None:
    """A context of ``trace:span:parent:flags``."""
    match = _JAEGER.match(text.strip())
    if match is None:
        return None
    trace_id, span_id = match[1].lower().zfill(32), match[2].lower().zfill(16)
    return TraceContext(trace_id, span_id, int(match[3], 16) & 1) if _are_ids(trace_id, span_id) else None


def parse_ids(trace_id: str, span_id: str, is_sampled: bool) -> TraceContext | None:
    """A context of ids of 64 or 128 bits and of 64; None for what are none."""
    if not _HEX.match(trace_id) or not _HEX.match(span_id) or len(span_id) != 16 or not _are_ids(trace_id, span_id):
        return None
    return TraceContext(trace_id.lower().zfill(32), span_id.lower(), int(is_sampled))


def is_baggage(text: str) -> bool:
    """It can be sent on as it is: printable, and within the specification's bounds."""
    is_small = len(text) <= _BAGGAGE_LENGTH and text.count(",") < _BAGGAGE_MEMBERS
    return bool(text) and is_small and text.isprintable() and text.isascii()


def parse_carrier(carrier: Mapping[str, str]) -> TraceContext | None:
    """A context of a mapping with the W3C names."""
    return parse_traceparent(carrier.get("traceparent", ""), carrier.get("tracestate", ""))


def make_trace_id() -> str:
    """A new trace's."""
    return f"{_random(128):032x}"


def make_span_id() -> str:
    """A new span's."""
    return f"{_random(64):016x}"


def _are_ids(trace_id: str, span_id: str) -> bool:
    return any(digit != "0" for digit in trace_id) and any(digit != "0" for digit in span_id)


def _is_state(text: str) -> bool:
    return len(text) <= STATE_LENGTH and text.isprintable() and text.isascii()
