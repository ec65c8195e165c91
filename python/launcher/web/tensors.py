"""Tensors of the Open Inference Protocol, to and from the inputs and the output of the model at hand.

Each input is a tensor (text and files BYTES, integers INT64, numbers FP64, flags BOOL), the output is the tensor
``output``. A list input has the shape [-1], anything else [1]; objects travel as JSON text in BYTES. What is accepted is
written down for clients in ``oip_document``: the two agree, which a test tries with random requests.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Any

from pydantic_core import from_json, to_json

from ..schema import Schema
from .asgi import HTTPError

#: struct code of each datatype; FP16 has one too
_CODES = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_OF_TYPE = {"integer": "INT64", "number": "FP64", "boolean": "BOOL"}
_INTEGERS = tuple(code for code in _CODES if "INT" in code)
#: what a client may send for each datatype that the metadata names; in JSON the number that is written counts
ACCEPTED = {"INT64": _INTEGERS, "FP64": (*_INTEGERS, "FP16", "FP32", "FP64"), "BOOL": ("BOOL",), "BYTES": ("BYTES",)}
_IS_URL = re.compile(r"(?:data|https?):", re.I)


def refuse(message: str) -> HTTPError:
    """400, as the protocol spells it."""
    return HTTPError(400, {"error": message})


def describe_tensor(schema: Schema, node: dict[str, Any]) -> tuple[str, bool]:
    """The datatype of an input or output, and whether it is a list."""
    node = schema.resolve(node)
    is_list = node.get("type") == "array" and isinstance(node.get("items"), dict)
    leaf = schema.resolve(node["items"]) if is_list else node
    return _OF_TYPE.get(str(leaf.get("type")), "BYTES"), is_list


def take_object(holder: dict[str, Any], key: str) -> dict[str, Any]:
    """An object of a message, empty when it is not there."""
    value = holder.get(key, {})
    if not isinstance(value, dict):
        raise refuse(f"`{key}` must be an object")
    return value


def take_flag(holder: dict[str, Any], key: str, default: bool) -> bool:
    """A flag of a message."""
    value = holder.get(key, default)
    if not isinstance(value, bool):
        raise refuse(f"`{key}` must be true or false")
    return value


def read_tensors(schema: Schema, tensors: list[Any], rest: bytes | None) -> dict[str, Any]:
    """Tensors to the input object.

    :param rest: the binary part of the body; None when it has none
    :raises HTTPError: 400 with the tensor's name
    """
    values: dict[str, Any] = {}
    position = 0
    for tensor in tensors:
        name, datatype, shape = _header(schema, tensor)
        if name in values:
            raise refuse(f"Input {name} is given twice")
        parameters = take_object(tensor, "parameters")
        if "binary_data_size" in parameters:
            size = parameters["binary_data_size"]
            if rest is None or type(size) is not int or size < 0 or position + size > len(rest):
                raise refuse(f"binary_data_size of {name} does not fit the body")
            items = unpack(rest[position : position + size], datatype, name)
            position += size
        else:
            items = _flat(tensor.get("data"), shape, name)
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        if len(items) != count:
            raise refuse(f"Input {name} has {len(items)} elements, its shape says {count}")
        values[name] = _value(schema, name, items, parameters)
    if rest is not None and position != len(rest):
        raise refuse(f"{len(rest) - position} bytes of binary data belong to no input")
    return values


def _header(schema: Schema, tensor: Any) -> tuple[str, str, list[int]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise refuse("Every input needs a name")
    name, datatype, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if name not in schema.properties:
        raise refuse(f"There is no input {name}")
    expected, is_list = describe_tensor(schema, schema.properties[name])
    if datatype not in ACCEPTED[expected]:
        raise refuse(f"Input {name} takes the datatype {' or '.join(ACCEPTED[expected])}, not {datatype}")
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape):
        raise refuse(f"The shape of input {name} must be a list of sizes")
    # One dimension as the metadata says; a second one of size 1 is how some clients write a batch of one.
    if len(shape) not in (1, 2) or (len(shape) == 2 and 1 not in shape) or not (is_list or set(shape) == {1}):
        raise refuse(f"Input {name} takes the shape {'[-1]' if is_list else '[1]'}, not {shape}")
    return name, str(datatype), [int(size) for size in shape]


def _is_size(value: Any) -> bool:
    # JSON knows one kind of number: 2.0 is an integer.
    return (type(value) is int or (type(value) is float and value.is_integer())) and 0 <= value < 1 << 31


def _flat(data: Any, shape: list[int], name: str) -> list[Any]:
    """Row-major elements of data that is flat, or nested as the shape says."""
    if not isinstance(data, list):
        raise refuse(f"Input {name} has no data")
    if not any(isinstance(item, list) for item in data):
        return data
    fits = len(shape) == 2 and len(data) == shape[0] and all(isinstance(row, list) and len(row) == shape[1] for row in data)
    items = [item for row in data for item in row] if fits else data
    if not fits or any(isinstance(item, list) for item in items):
        raise refuse(f"The data of input {name} is nested otherwise than its shape {shape}")
    return items


def _value(schema: Schema, name: str, items: list[Any], parameters: dict[str, Any]) -> Any:
    node = schema.resolve(schema.properties[name])
    datatype, is_list = describe_tensor(schema, node)
    if datatype == "BYTES":
        leaf = schema.resolve(node["items"]) if is_list else node
        is_file = leaf.get("type") == "string" and leaf.get("format") == "uri"
        items = [_file_url(item, name, parameters) if is_file else _text_value(item, leaf) for item in items]
    return items if is_list else items[0]


def _file_url(item: Any, name: str, parameters: dict[str, Any]) -> Any:
    """A file as the URL that the model's input wants: a URL as it is, anything else as the file's contents."""
    kind = parameters.get("content_type", "")
    if not isinstance(kind, str):
        raise refuse(f"The content_type of input {name} must be a string")
    if not isinstance(item, (str, bytes)):
        return item
    raw = item if isinstance(item, bytes) else item.encode()
    text = raw.decode("utf-8", "replace") if raw[:6].lower().startswith((b"data:", b"http:", b"https:")) else ""
    if _IS_URL.match(text):
        return text
    if kind == "base64":
        try:
            raw = base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise refuse(f"Input {name} is not valid base64") from None
    media = {"jpg": "image/jpeg", "png": "image/png"}.get(kind, "application/octet-stream")
    return f"data:{media};base64,{base64.b64encode(raw).decode()}"


def _text_value(item: Any, node: dict[str, Any]) -> Any:
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if isinstance(item, str) and node.get("type") not in ("string", None) and "enum" not in node:
        try:
            return from_json(item)
        except ValueError:
            return item
    return item


def make_tensor(schema: Schema, value: Any) -> dict[str, Any]:
    """The output as a tensor."""
    datatype, is_list = describe_tensor(schema, schema.output)
    items = value if is_list and isinstance(value, list) else [value]
    if datatype == "BYTES":
        items = [item if isinstance(item, str) else to_json(item, inf_nan_mode="null").decode() for item in items]
    return {"name": "output", "shape": [len(items)], "datatype": datatype, "data": items}


def pack(items: list[Any], datatype: str) -> bytes:
    """Elements to little-endian bytes; BYTES elements carry their length.

    :raises HTTPError: 500 when an element of the output is none of the datatype
    """
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(raw)) + raw for raw in (str(item).encode() for item in items))
    try:
        return struct.pack(f"<{len(items)}{_CODES[datatype]}", *items)
    except struct.error as error:
        raise HTTPError(500, {"error": f"The output is no {datatype}: {error}"}) from None


def unpack(raw: bytes, datatype: str, name: str) -> list[Any]:
    """The inverse of ``pack``.

    :raises HTTPError: 400 when the bytes do not fit the datatype
    """
    if datatype != "BYTES":
        size = struct.calcsize("<" + _CODES[datatype])
        if len(raw) % size:
            raise refuse(f"The binary data of {name} is no whole number of {datatype}")
        return list(struct.unpack(f"<{len(raw) // size}{_CODES[datatype]}", raw))
    items, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise refuse(f"The binary data of {name} ends within a length")
        (size,) = struct.unpack_from("<I", raw, position)
        if position + 4 + size > len(raw):
            raise refuse(f"The binary data of {name} ends within an element")
        items.append(raw[position + 4 : position + 4 + size])
        position += 4 + size
    return items
