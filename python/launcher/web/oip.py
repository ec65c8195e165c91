"""KServe: the Open Inference Protocol v2 over REST, with binary tensors, and the older V1 routes."""

from __future__ import annotations

from typing import Any, Callable

from pydantic_core import from_json, to_json

from ..runs import Runs
from ..schema import InvalidRequest, Schema
from ..service import Service
from .asgi import Exchange, Handler, HTTPError, Router
from .platforms import predict_instances
from .submission import run_to_end
from .tensors import describe_tensor, make_tensor, pack, read_tensors, refuse, take_flag, take_object

EXTENSIONS = ["model_repository", "binary_tensor_data"]


def routes(router: Router, service: Service) -> None:
    """``/v2`` and ``/v1/models``."""
    name, models = service.settings.model_name, service.models
    # The server's name is that of what it serves where nobody names a model, unless one of several has that name.
    served: dict[str, Runs] = {**({} if models.named else {name: service.engine}), **models.named}
    known = {name: service.engine, **served}

    def model_of(exchange: Exchange) -> tuple[str, Runs]:
        found = exchange.parameters.get("model", models.default_name or name)
        if found not in known:
            raise HTTPError(404, {"error": f"There is no model {found}; this server has {', '.join(served)}"})
        return found, known[found]

    def guarded(handler: Handler) -> Handler:
        """Errors as this protocol spells them: ``{"error": text}``."""

        async def handle(exchange: Exchange) -> None:
            try:
                model, _ = model_of(exchange)
                if exchange.parameters.get("version", "1") != "1":
                    raise HTTPError(404, {"error": f"There is no version {exchange.parameters['version']} of {model}"})
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
        is_ready = models.take_work
        await exchange.json(200 if is_ready else 503, {"ready": is_ready, "live": True})

    async def model_ready(exchange: Exchange) -> None:
        model, engine = model_of(exchange)
        is_ready = engine.takes_work
        await exchange.json(200 if is_ready else 503, {"name": model, "ready": is_ready})

    async def metadata(exchange: Exchange) -> None:
        model, engine = model_of(exchange)
        await exchange.json(200, describe(engine.schema, model))

    async def document(exchange: Exchange) -> None:
        from .oip_document import make_document  # few ask for it

        model, engine = model_of(exchange)
        await exchange.json(200, make_document(engine.schema, model))

    async def infer(exchange: Exchange) -> None:
        model, engine = model_of(exchange)
        await _infer(service, engine, model, exchange)

    async def index(exchange: Exchange) -> None:
        states = {one: "READY" if engine.takes_work else "UNAVAILABLE" for one, engine in served.items()}
        entries = [{"name": one, "version": "1", "state": state, "reason": ""} for one, state in states.items()]
        await exchange.json(200, entries)

    async def load(exchange: Exchange) -> None:
        await exchange.json(200, {})  # every model is loaded as long as the server runs

    async def list_v2(exchange: Exchange) -> None:
        await exchange.json(200, {"models": list(served)})

    router.add("GET", "/v2", guarded(server))
    router.add("GET", "/v2/", guarded(server))
    router.add("GET", "/v2/openapi.json", guarded(document))
    router.add("GET", "/v2/health/live", guarded(live))
    router.add("GET", "/v2/health/ready", guarded(ready))
    router.add("GET", "/v2/models", guarded(list_v2))
    router.add("POST", "/v2/repository/index", guarded(index))
    router.add("POST", "/v2/repository/models/{model}/load", guarded(load))
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.add("GET", prefix, guarded(metadata))
        router.add("GET", f"{prefix}/ready", guarded(model_ready))
        router.add("POST", f"{prefix}/infer", guarded(infer))
    for one, engine in known.items():
        _add_v1(router, service, one, engine, guarded)


def _add_v1(router: Router, service: Service, name: str, engine: Runs, guarded: Callable[[Handler], Handler]) -> None:
    """KServe's older routes of one model."""

    async def state(exchange: Exchange) -> None:
        await exchange.json(200 if engine.takes_work else 503, {"name": name, "ready": engine.takes_work})

    async def predict(exchange: Exchange) -> None:
        await predict_instances(service, engine, exchange)

    router.add("POST", f"/v1/models/{name}:predict", guarded(predict))
    router.add("GET", f"/v1/models/{name}", guarded(state))


def _text(detail: Any) -> str:
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in detail)
    return str(detail)


def describe(schema: Schema, name: str) -> dict[str, Any]:
    """Metadata: a tensor for each input, and ``output``."""
    required = set(schema.input.get("required", ()))
    inputs = []
    for key, node in sorted(schema.properties.items(), key=lambda item: item[1].get("x-order", 0)):
        parameters = {} if key in required else {"parameters": {"optional": True}}
        inputs.append({**_facts(schema, key, node), **parameters})
    output = _facts(schema, "output", schema.output)
    return {"name": name, "versions": ["1"], "platform": "layerwright", "inputs": inputs, "outputs": [output]}


def _facts(schema: Schema, name: str, node: dict[str, Any]) -> dict[str, Any]:
    datatype, is_list = describe_tensor(schema, node)
    return {"name": name, "datatype": datatype, "shape": [-1 if is_list else 1]}


async def _infer(service: Service, engine: Runs, name: str, exchange: Exchange) -> None:
    body = await exchange.body(service.settings.body_limit)
    head, rest = _split(body, exchange.header(b"inference-header-content-length"))
    try:
        message = from_json(head)
    except ValueError as error:
        raise refuse(f"The body is not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("inputs"), list):
        raise refuse("`inputs` must be a list of tensors")
    if not isinstance(message.get("id", ""), str):
        raise refuse("`id` must be a string")
    values = read_tensors(engine.schema, message["inputs"], rest)
    is_binary = _wants_binary(message)
    checked = engine.schema.check({"input": values})
    prediction = await run_to_end(engine, exchange, checked)
    if prediction.status != "succeeded":
        raise HTTPError(500, {"error": prediction.error or prediction.status})
    tensor = make_tensor(engine.schema, prediction.output)
    # The server's own id when the client sent none: some clients require the field that the protocol leaves out.
    id = message.get("id") or prediction.id
    answer = {"model_name": name, "model_version": "1", "id": id, "outputs": [tensor]}
    if not is_binary:
        await exchange.json(200, answer)
        return
    raw = pack(tensor.pop("data"), tensor["datatype"])
    tensor["parameters"] = {"binary_data_size": len(raw)}
    header = to_json(answer)
    headers = {"inference-header-content-length": str(len(header))}
    await exchange.bytes(200, header + raw, b"application/octet-stream", headers)


def _split(body: bytes, length: str | None) -> tuple[bytes, bytes | None]:
    """The JSON part, and the binary one if there is one."""
    if length is None:
        return body, None
    if not length.isascii() or not length.isdigit() or int(length) > len(body):
        raise refuse(f"Inference-Header-Content-Length does not fit the body: {length}")
    return body[: int(length)], body[int(length) :]


def _wants_binary(message: dict[str, Any]) -> bool:
    """Whether the output is to be binary, by the request's parameter or the output's own."""
    is_binary = take_flag(take_object(message, "parameters"), "binary_data_output", False)
    outputs = message.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise refuse("`outputs` must be a list of objects")
    for one in outputs:
        if one.get("name") != "output":
            raise refuse(f"There is no output {one.get('name')}")
        is_binary = take_flag(take_object(one, "parameters"), "binary_data", is_binary)
    return is_binary
