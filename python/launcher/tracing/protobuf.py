"""OTLP/JSON to OTLP's protobuf, the encoding that every collector takes (opentelemetry-proto, ``trace/v1/trace.proto``).

A few messages of scalars do not need protobuf's compiler and its 1.3 MiB: each is a table of its fields.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Mapping, Tuple

#: what comes before each value (field number and wire type), and what makes the value's bytes
Field = Tuple[bytes, Callable[[Any], bytes]]
Table = Mapping[str, Field]


def encode(message: Mapping[str, Any], table: Table) -> bytes:
    """A message; a list is a repeated field, and names that the table does not have are left out."""
    parts: list[bytes] = []
    for name, value in message.items():
        field = table.get(name)
        if field is None:
            continue
        tag, encoding = field
        if isinstance(value, list):
            for item in value:
                parts += (tag, encoding(item))
        else:
            parts += (tag, encoding(value))
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
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5


def _field(number: int, wire_type: int, encoding: Callable[[Any], bytes]) -> Field:
    return _varint(number << 3 | wire_type), encoding


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _text(number: int) -> Field:
    return _field(number, _SIZED, lambda value: _sized(value.encode("utf-8", "replace")))


def _hex(number: int) -> Field:
    return _field(number, _SIZED, lambda value: _sized(bytes.fromhex(value)))


def _int(number: int) -> Field:
    # Negative ones as two's complement of 64 bits.
    return _field(number, _VARINT, lambda value: _varint(int(value) & 0xFFFFFFFFFFFFFFFF))


def _double(number: int) -> Field:
    return _field(number, _FIXED64, lambda value: struct.pack("<d", value))


def _fixed64(number: int) -> Field:
    return _field(number, _FIXED64, lambda value: int(value).to_bytes(8, "little"))


def _fixed32(number: int) -> Field:
    return _field(number, _FIXED32, lambda value: int(value).to_bytes(4, "little"))


def _message(number: int, table: Table) -> Field:
    return _field(number, _SIZED, lambda value: _sized(encode(value, table)))


_ANY: dict[str, Field] = {"stringValue": _text(1), "boolValue": _int(2), "intValue": _int(3), "doubleValue": _double(4)}
_ANY["arrayValue"] = _message(5, {"values": _message(1, _ANY)})
_KEY_VALUE: Table = {"key": _text(1), "value": _message(2, _ANY)}
_EVENT: Table = {"timeUnixNano": _fixed64(1), "name": _text(2), "attributes": _message(3, _KEY_VALUE)}
_LINK: Table = {"traceId": _hex(1), "spanId": _hex(2), "traceState": _text(3), "attributes": _message(4, _KEY_VALUE)}
_SPAN: Table = {
    "traceId": _hex(1),
    "spanId": _hex(2),
    "traceState": _text(3),
    "parentSpanId": _hex(4),
    "name": _text(5),
    "kind": _int(6),
    "startTimeUnixNano": _fixed64(7),
    "endTimeUnixNano": _fixed64(8),
    "attributes": _message(9, _KEY_VALUE),
    "events": _message(11, _EVENT),
    "links": _message(13, _LINK),
    "status": _message(15, {"message": _text(2), "code": _int(3)}),
    "flags": _fixed32(16),
}
_SCOPE_SPANS: Table = {"scope": _message(1, {"name": _text(1), "version": _text(2)}), "spans": _message(2, _SPAN)}
_RESOURCE: Table = {"attributes": _message(1, _KEY_VALUE)}
#: of ExportTraceServiceRequest
REQUEST: Table = {"resourceSpans": _message(1, {"resource": _message(1, _RESOURCE), "scopeSpans": _message(2, _SCOPE_SPANS)})}
