"""KServe: the Open Inference Protocol v2 over REST, with binary tensors, and the older V1 routes.

Each input is a tensor (text and files BYTES, integers INT64, numbers FP64, flags BOOL), the output is the tensor
``output``. A list input has the shape [-1], anything else [1]; objects travel as JSON text in BYTES.
"""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ..engine import Engine
from ..schema import InvalidRequest
from .asgi import Exchange, Handler, HTTPError, Router
from .platforms import predict_instances
from .predictions import run_to_end

if TYPE_CHECKING:
    from ..service import Service

EXTENSIONS = ["model_repository", "binary_tensor_data"]
#: struct code of each datatype; FP16 has one too
_CODES = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_OF_TYPE = {"integer": "INT64", "number": "FP64", "boolean": "BOOL"}


def routes(router: Router, service: "Service") -> None:
    """``/v2`` and ``/v1/models``."""
    engine, name = service.engine, service.settings.model_name

    def guarded(handler: Handler) -> Handler:
        """Errors as this protocol spells them: ``{"error": text}``."""

        async def handle(exchange: Exchange) -> None:
            try:
                model = exchange.parameters.get("model", name)
                if model != name:
                    raise HTTPError(404, {"error": f"There is no model {model}; this server has {name}"})
                if exchange.parameters.get("version", "1") != "1":
                    raise HTTPError(404, {"error": f"There is no version {exchange.parameters['version']} of {name}"})
                await handler(exchange)
            except InvalidRequest as error:
                raise HTTPError(400, {"error": str(error)}) from None
            except HTTPError as error:
                body = error.body if "error" in error.body else {"error": _text(error.body.get("detail"))}
                status = 400 if error.status == 422 else error.status
                raise HTTPError(status, body, error.headers) from None

        return handle

    async def server(exchange: Exchange) -> None:
        await exchange.json(200, {"name": "layerwright", "version": "1", "extensions": EXTENSIONS})

    async def live(exchange: Exchange) -> None:
        await exchange.json(200, {"live": True})

    async def ready(exchange: Exchange) -> None:
        is_ready = engine.state == "ready"
        await exchange.json(200 if is_ready else 503, {"ready": is_ready, "live": True})

    async def model_ready(exchange: Exchange) -> None:
        is_ready = engine.state == "ready"
        await exchange.json(200 if is_ready else 503, {"name": name, "ready": is_ready})

    async def metadata(exchange: Exchange) -> None:
        await exchange.json(200, describe(engine, name))

    async def infer(exchange: Exchange) -> None:
        await _infer(service, exchange)

    async def index(exchange: Exchange) -> None:
        state = "READY" if engine.state == "ready" else "UNAVAILABLE"
        await exchange.json(200, [{"name": name, "version": "1", "state": state, "reason": ""}])

    async def load(exchange: Exchange) -> None:
        await exchange.json(200, {})  # the one model is loaded as long as the server runs

    async def list_v2(exchange: Exchange) -> None:
        await exchange.json(200, {"models": [name]})

    async def state_v1(exchange: Exchange) -> None:
        await exchange.json(200 if engine.state == "ready" else 503, {"name": name, "ready": engine.state == "ready"})

    async def predict_v1(exchange: Exchange) -> None:
        await predict_instances(service, exchange)

    router.add("GET", "/v2", guarded(server))
    router.add("GET", "/v2/", guarded(server))
    router.add("GET", "/v2/health/live", guarded(live))
    router.add("GET", "/v2/health/ready", guarded(ready))
    router.add("GET", "/v2/models", guarded(list_v2))
    router.add("POST", "/v2/repository/index", guarded(index))
    router.add("POST", "/v2/repository/models/{model}/load", guarded(load))
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.add("GET", prefix, guarded(metadata))
        router.add("GET", f"{prefix}/ready", guarded(model_ready))
        router.add("POST", f"{prefix}/infer", guarded(infer))
    router.add("POST", f"/v1/models/{name}:predict", guarded(predict_v1))
    router.add("GET", f"/v1/models/{name}", guarded(state_v1))


def _text(detail: Any) -> str:
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in detail)
    return str(detail)


def describe(engine: Engine, name: str) -> dict[str, Any]:
    """Metadata: a tensor for each input, and ``output``."""
    required = set(engine.schema.input.get("required", ()))
    inputs = []
    for key, node in sorted(engine.schema.properties.items(), key=lambda item: item[1].get("x-order", 0)):
        datatype, shape = _tensor_type(engine, node)
        parameters = {} if key in required else {"optional": True}
        inputs.append({"name": key, "datatype": datatype, "shape": shape, **({"parameters": parameters} if parameters else {})})
    datatype, shape = _tensor_type(engine, engine.schema.output)
    output = {"name": "output", "datatype": datatype, "shape": shape}
    return {"name": name, "versions": ["1"], "platform": "layerwright", "inputs": inputs, "outputs": [output]}


def _tensor_type(engine: Engine, node: dict[str, Any]) -> tuple[str, list[int]]:
    node = engine.schema.resolve(node)
    if node.get("type") == "array" and isinstance(node.get("items"), dict):
        return _OF_TYPE.get(str(engine.schema.resolve(node["items"]).get("type")), "BYTES"), [-1]
    return _OF_TYPE.get(str(node.get("type")), "BYTES"), [1]


async def _infer(service: "Service", exchange: Exchange) -> None:
    engine = service.engine
    body = await exchange.body(service.settings.body_limit)
    head, rest = _split(body, exchange.header(b"inference-header-content-length"))
    try:
        message = from_json(head)
    except ValueError as error:
        raise HTTPError(400, {"error": f"The body is not JSON: {error}"}) from None
    if not isinstance(message, dict) or not isinstance(message.get("inputs"), list):
        raise HTTPError(400, {"error": "`inputs` must be a list of tensors"})
    id, wanted = message.get("id"), _object(message, "parameters")
    if id is not None and not isinstance(id, str):
        raise HTTPError(400, {"error": "`id` must be a string"})
    values = read_tensors(engine, message["inputs"], rest)
    binary = bool(wanted.get("binary_data_output"))
    outputs = message.get("outputs")
    if outputs is not None:
        binary = _check_outputs(outputs, binary)
    checked = engine.schema.check({"input": values})
    prediction = await run_to_end(service, engine, exchange, checked)
    if prediction.status != "succeeded":
        raise HTTPError(500, {"error": prediction.error or prediction.status})
    tensor = make_tensor(engine, prediction.output)
    # The server's own id when the client sent none: some clients require the field that the protocol leaves out.
    answer = {"model_name": service.settings.model_name, "model_version": "1", "id": id or prediction.id, "outputs": [tensor]}
    if not binary:
        await exchange.json(200, answer)
        return
    raw = pack(tensor.pop("data"), tensor["datatype"])
    tensor["parameters"] = {"binary_data_size": len(raw)}
    header = to_json(answer)
    headers = {"inference-header-content-length": str(len(header))}
    await exchange.bytes(200, header + raw, b"application/octet-stream", headers)


def _split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    if length is None:
        return body, b""
    if not length.isascii() or not length.isdigit() or int(length) > len(body):
        raise HTTPError(400, {"error": f"Inference-Header-Content-Length does not fit the body: {length}"})
    return body[: int(length)], body[int(length) :]


def _object(holder: dict[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HTTPError(400, {"error": f"`{key}` must be an object"})
    return value


def _check_outputs(outputs: Any, default: bool) -> bool:
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise HTTPError(400, {"error": "`outputs` must be a list of objects"})
    for one in outputs:
        if one.get("name") != "output":
            raise HTTPError(400, {"error": f"There is no output {one.get('name')}"})
        default = bool(_object(one, "parameters").get("binary_data", default))
    return default


def read_tensors(engine: Engine, tensors: list[Any], rest: bytes) -> dict[str, Any]:
    """Tensors to the input object.

    :raises HTTPError: 400 with the tensor's name
    """
    values: dict[str, Any] = {}
    position = 0
    for tensor in tensors:
        name, datatype, shape = _header(tensor)
        if name not in engine.schema.properties:
            raise HTTPError(400, {"error": f"There is no input {name}"})
        if name in values:
            raise HTTPError(400, {"error": f"Input {name} is given twice"})
        count = 1
        for size in shape:
            count *= size
        parameters = _object(tensor, "parameters")
        if "binary_data_size" in parameters:
            size = parameters["binary_data_size"]
            if isinstance(size, bool) or not isinstance(size, int) or size < 0 or position + size > len(rest):
                raise HTTPError(400, {"error": f"binary_data_size of {name} does not fit the body"})
            items = unpack(rest[position : position + size], datatype, name)
            position += size
        else:
            items = _flat(tensor.get("data"), name)
        if len(items) != count:
            raise HTTPError(400, {"error": f"Input {name} has {len(items)} elements, its shape says {count}"})
        values[name] = _value(engine, name, items, datatype, parameters)
    if position != len(rest):
        raise HTTPError(400, {"error": f"{len(rest) - position} bytes of binary data belong to no input"})
    return values


def _header(tensor: Any) -> tuple[str, str, list[int]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise HTTPError(400, {"error": "Every input needs a name"})
    name, datatype, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in _CODES):
        raise HTTPError(400, {"error": f"Unknown datatype of input {name}: {datatype}"})
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 1 << 31 for size in shape):
        raise HTTPError(400, {"error": f"The shape of input {name} must be a list of sizes"})
    return name, datatype, shape


def _flat(data: Any, name: str) -> list[Any]:
    """Row-major elements of flat or nested data."""
    if not isinstance(data, list):
        raise HTTPError(400, {"error": f"Input {name} has no data"})
    items: list[Any] = []
    stack = [iter(data)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                if len(stack) > 32:
                    raise HTTPError(400, {"error": f"The data of input {name} is nested too deeply"})
                stack.append(iter(item))
                break
            items.append(item)
        else:
            stack.pop()
    return items


def _value(engine: Engine, name: str, items: list[Any], datatype: str, parameters: dict[str, Any]) -> Any:
    node = engine.schema.resolve(engine.schema.properties[name])
    is_list = node.get("type") == "array"
    leaf = engine.schema.resolve(node["items"]) if is_list and isinstance(node.get("items"), dict) else node
    if datatype == "BYTES":
        items = [_text_value(item, leaf, name in engine.schema.file_fields, parameters) for item in items]
    if is_list:
        return items
    if len(items) != 1:
        raise HTTPError(400, {"error": f"Input {name} takes one element, not {len(items)}"})
    return items[0]


def _text_value(item: Any, node: dict[str, Any], is_file: bool, parameters: dict[str, Any]) -> Any:
    kind = str(parameters.get("content_type") or "")
    if is_file and isinstance(item, (str, bytes)):
        text = item if isinstance(item, str) else None
        if text is not None and text.partition(":")[0].lower() in ("data", "http", "https"):
            return text
        raw = item if isinstance(item, bytes) else str(item).encode()
        if isinstance(item, bytes) and item[:5] in (b"data:", b"http:", b"https"):
            return item.decode("utf-8", "replace")
        if kind == "base64":
            return f"data:application/octet-stream;base64,{raw.decode('ascii', 'replace')}"
        media = {"jpg": "image/jpeg", "png": "image/png"}.get(kind, "application/octet-stream")
        return f"data:{media};base64,{base64.b64encode(raw).decode()}"
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if isinstance(item, str) and node.get("type") not in ("string", None) and "enum" not in node:
        try:
            return from_json(item)
        except ValueError:
            return item
    return item


def make_tensor(engine: Engine, value: Any) -> dict[str, Any]:
    """The output as a tensor."""
    datatype, shape = _tensor_type(engine, engine.schema.output)
    items = value if isinstance(value, list) and shape == [-1] else [value]
    if datatype == "BYTES":
        items = [item if isinstance(item, str) else to_json(item, inf_nan_mode="null").decode() for item in items]
    return {"name": "output", "shape": [len(items)], "datatype": datatype, "data": items}


def pack(items: list[Any], datatype: str) -> bytes:
    """Elements to little-endian bytes; BYTES elements carry their length."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(raw)) + raw for raw in (str(item).encode() for item in items))
    return struct.pack(f"<{len(items)}{_CODES[datatype]}", *items)


def unpack(raw: bytes, datatype: str, name: str) -> list[Any]:
    """The inverse of ``pack``.

    :raises HTTPError: 400 when the bytes do not fit the datatype
    """
    if datatype != "BYTES":
        size = struct.calcsize("<" + _CODES[datatype])
        if len(raw) % size:
            raise HTTPError(400, {"error": f"The binary data of {name} is no whole number of {datatype}"})
        return list(struct.unpack(f"<{len(raw) // size}{_CODES[datatype]}", raw))
    items, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise HTTPError(400, {"error": f"The binary data of {name} ends within a length"})
        (size,) = struct.unpack_from("<I", raw, position)
        if position + 4 + size > len(raw):
            raise HTTPError(400, {"error": f"The binary data of {name} ends within an element"})
        items.append(raw[position + 4 : position + 4 + size])
        position += 4 + size
    return items
