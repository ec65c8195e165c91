"""OTLP/JSON to OTLP's protobuf, the encoding that every collector takes (opentelemetry-proto, ``trace/v1/trace.proto``).

Six messages of scalars do not need protobuf's compiler and its 1.3 MiB: each is a table of field numbers.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Mapping

#: gives the wire type and the bytes of a value
Encode = Callable[[Any], "tuple[int, bytes]"]


def encode(message: Mapping[str, Any], table: "Mapping[str, tuple[int, Encode]]") -> bytes:
    """A message; a list is a repeated field, and names that the table does not have are left out."""
    parts: list[bytes] = []
    for name, value in message.items():
        number, encoding = table.get(name, (0, _text))
        for item in value if isinstance(value, list) else (value,):
            if number:
                kind, data = encoding(item)
                parts += (_varint(number << 3 | kind), data)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _BYTES[value]
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


_BYTES = [bytes((value,)) for value in range(128)]


def _sized(data: bytes) -> tuple[int, bytes]:
    return 2, _varint(len(data)) + data


def _text(value: str) -> tuple[int, bytes]:
    return _sized(value.encode("utf-8", "replace"))


def _hex(value: str) -> tuple[int, bytes]:
    return _sized(bytes.fromhex(value))


def _int(value: Any) -> tuple[int, bytes]:
    return 0, _varint(int(value) & 0xFFFFFFFFFFFFFFFF)  # negative ones as two's complement of 64 bits


def _double(value: Any) -> tuple[int, bytes]:
    return 1, struct.pack("<d", float(value))


def _fixed64(value: Any) -> tuple[int, bytes]:
    return 1, struct.pack("<Q", int(value))


def _fixed32(value: Any) -> tuple[int, bytes]:
    return 5, struct.pack("<I", int(value))


def _message(table: "Mapping[str, tuple[int, Encode]]") -> Encode:
    return lambda value: _sized(encode(value, table))


_ANY: "dict[str, tuple[int, Encode]]" = {"stringValue": (1, _text), "boolValue": (2, _int), "intValue": (3, _int), "doubleValue": (4, _double)}
_ANY["arrayValue"] = (5, _message({"values": (1, _message(_ANY))}))
_KEY_VALUE = _message({"key": (1, _text), "value": (2, _message(_ANY))})
_EVENT = _message({"timeUnixNano": (1, _fixed64), "name": (2, _text), "attributes": (3, _KEY_VALUE)})
_LINK = _message({"traceId": (1, _hex), "spanId": (2, _hex), "traceState": (3, _text), "attributes": (4, _KEY_VALUE)})
_SPAN = _message(
    {
        "traceId": (1, _hex),
        "spanId": (2, _hex),
        "traceState": (3, _text),
        "parentSpanId": (4, _hex),
        "name": (5, _text),
        "kind": (6, _int),
        "startTimeUnixNano": (7, _fixed64),
        "endTimeUnixNano": (8, _fixed64),
        "attributes": (9, _KEY_VALUE),
        "events": (11, _EVENT),
        "links": (13, _LINK),
        "status": (15, _message({"message": (2, _text), "code": (3, _int)})),
        "flags": (16, _fixed32),
    }
)
_SCOPE = _message({"name": (1, _text), "version": (2, _text)})
_SCOPE_SPANS = _message({"scope": (1, _SCOPE), "spans": (2, _SPAN)})
_RESOURCE_SPANS = _message({"resource": (1, _message({"attributes": (1, _KEY_VALUE)})), "scopeSpans": (2, _SCOPE_SPANS)})
#: of ExportTraceServiceRequest
REQUEST: "dict[str, tuple[int, Encode]]" = {"resourceSpans": (1, _RESOURCE_SPANS)}
